//! Changes of messages as parameters of their statement.

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::entry::{Content, Entry};
use super::settled::changed;
use crate::protocol::command::MessageChange;
use crate::protocol::data::DataError;

/// What a room and its messages may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChangeLimits {
    /// Different emojis on one message.
    pub(crate) reactions_per_message: i64,
    /// Pinned messages of one room.
    pub(crate) pins_per_room: i64,
}

/// The parameters of `journal/change_messages`.
pub(super) struct MessageChanges<'a> {
    rooms: Vec<Uuid>,
    users: Vec<Uuid>,
    client_ids: Vec<Option<&'a str>>,
    ids: Vec<Uuid>,
    kinds: Vec<i16>,
    fingerprints: Vec<Vec<u8>>,
    messages: Vec<Uuid>,
    /// What an edit says, or what is reacted with.
    texts: Vec<Option<&'a str>>,
    /// What an edit says in bytes; its text is empty then.
    bytes: Vec<Option<&'a [u8]>>,
    /// Whether a reaction or pin is to be there.
    wanted: Vec<bool>,
    data: Vec<Vec<u8>>,
    limits: ChangeLimits,
}

impl<'a> MessageChanges<'a> {
    pub(super) fn of(batch: &'a [Entry], limits: ChangeLimits) -> Result<Self, DataError> {
        let mut this = Self {
            rooms: Vec::new(),
            users: Vec::new(),
            client_ids: Vec::new(),
            ids: Vec::new(),
            kinds: Vec::new(),
            fingerprints: Vec::new(),
            messages: Vec::new(),
            texts: Vec::new(),
            bytes: Vec::new(),
            wanted: Vec::new(),
            data: Vec::new(),
            limits,
        };
        for entry in batch {
            let Content::Change {
                message_id, change, ..
            } = &entry.content
            else {
                continue;
            };
            let (text, is_wanted) = match change {
                MessageChange::Edit { body } => (Some(body.text().unwrap_or_default()), true),
                MessageChange::Delete => (None, true),
                MessageChange::React { emoji, remove } => (Some(&**emoji), !remove),
                MessageChange::Pin { pinned } => (None, *pinned),
            };
            let bytes = match change {
                MessageChange::Edit { body } => body.bytes(),
                _ => None,
            };
            let event = changed(*message_id, change);
            this.rooms.push(entry.room_id.0);
            this.users.push(entry.user_id.0);
            this.client_ids.push(entry.content.client_id());
            this.ids.push(entry.id.0);
            this.kinds.push(event.kind() as i16);
            this.fingerprints.push(entry.content.fingerprint());
            this.messages.push(message_id.0);
            this.texts.push(text);
            this.bytes.push(bytes);
            this.wanted.push(is_wanted);
            this.data.push(event.to_log()?);
        }
        Ok(this)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    pub(super) fn parameters(&self) -> [&(dyn ToSql + Sync); 13] {
        [
            &self.rooms,
            &self.users,
            &self.client_ids,
            &self.ids,
            &self.kinds,
            &self.fingerprints,
            &self.messages,
            &self.texts,
            &self.wanted,
            &self.data,
            &self.limits.reactions_per_message,
            &self.limits.pins_per_room,
            &self.bytes,
        ]
    }
}
