//! Messages and custom events as parameters of their statements.

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::entry::{Content, Entry};
use crate::protocol::body::Body;
use crate::protocol::data::DataError;
use crate::protocol::event::{EventBody, EventKind};
use crate::protocol::id::UserId;

/// The parameters of `journal/append`.
#[derive(Default)]
pub(super) struct Appends<'a> {
    rooms: Vec<Uuid>,
    users: Vec<Uuid>,
    client_ids: Vec<Option<&'a str>>,
    ids: Vec<Uuid>,
    kinds: Vec<i16>,
    fingerprints: Vec<Vec<u8>>,
    /// Empty for what is said in bytes.
    bodies: Vec<Option<&'a str>>,
    body_bytes: Vec<Option<&'a [u8]>>,
    data: Vec<Vec<u8>>,
    threads: Vec<Option<Uuid>>,
    /// Each an array as Postgres reads it: an array of arrays would have to be rectangular.
    mentions: Vec<Option<String>>,
}

impl<'a> Appends<'a> {
    pub(super) fn of(batch: &'a [Entry]) -> Result<Self, DataError> {
        let mut this = Self::default();
        for entry in batch {
            let (kind, body, data) = match &entry.content {
                Content::Message {
                    body,
                    client_id,
                    mentions,
                    ..
                } => (
                    EventKind::Message,
                    Some(body),
                    EventBody::message_to_log(body, client_id, mentions)?,
                ),
                Content::Custom {
                    name,
                    data,
                    client_id,
                } => (
                    EventKind::Custom,
                    None,
                    EventBody::Custom {
                        name: name.clone(),
                        data: data.clone(),
                        client_id: client_id.clone(),
                    }
                    .to_log()?,
                ),
                Content::Change { .. } | Content::Membership(_) | Content::Room(_) => continue,
            };
            let (thread, mentions) = match &entry.content {
                Content::Message {
                    thread, mentions, ..
                } => (thread.map(|root| root.0), array(mentions)),
                _ => (None, None),
            };
            this.rooms.push(entry.room_id.0);
            this.users.push(entry.user_id.0);
            this.client_ids.push(entry.content.client_id());
            this.ids.push(entry.id.0);
            this.kinds.push(kind as i16);
            this.fingerprints.push(entry.content.fingerprint());
            this.bodies
                .push(body.map(|body| body.text().unwrap_or_default()));
            this.body_bytes.push(body.and_then(Body::bytes));
            this.data.push(data);
            this.threads.push(thread);
            this.mentions.push(mentions);
        }
        Ok(this)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    pub(super) fn parameters(&self) -> [&(dyn ToSql + Sync); 11] {
        [
            &self.rooms,
            &self.users,
            &self.client_ids,
            &self.ids,
            &self.kinds,
            &self.fingerprints,
            &self.bodies,
            &self.data,
            &self.threads,
            &self.mentions,
            &self.body_bytes,
        ]
    }
}

/// `{…,…}`; none if there is nobody.
fn array(users: &[UserId]) -> Option<String> {
    if users.is_empty() {
        return None;
    }
    let users: Vec<String> = users.iter().map(ToString::to_string).collect();
    Some(format!("{{{}}}", users.join(",")))
}

/// The parameters of `journal/note_messages`: the messages that reply to others, and who is named
/// in which. Most batches have neither, and then it is not sent.
#[derive(Default)]
pub(super) struct Notes {
    replies: Vec<Uuid>,
    mentioning: Vec<Uuid>,
    mentioned: Vec<Uuid>,
}

impl Notes {
    pub(super) fn of(batch: &[Entry]) -> Self {
        let mut this = Self::default();
        for entry in batch {
            if let Content::Message {
                thread, mentions, ..
            } = &entry.content
            {
                this.replies.extend(thread.map(|_| entry.id.0));
                for user in mentions {
                    this.mentioning.push(entry.id.0);
                    this.mentioned.push(user.0);
                }
            }
        }
        this
    }

    pub(super) fn is_empty(&self) -> bool {
        self.replies.is_empty() && self.mentioned.is_empty()
    }

    pub(super) fn parameters(&self) -> [&(dyn ToSql + Sync); 3] {
        [&self.replies, &self.mentioning, &self.mentioned]
    }
}
