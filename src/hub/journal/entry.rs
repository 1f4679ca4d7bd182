//! What is handed to the journal, and how its fate is told.

mod fingerprint;

use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::Permit;
use crate::hub::fanout::ReplyAddress;
use crate::protocol::body::Body;
use crate::protocol::command::MessageChange;
use crate::protocol::data::Data;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::event::{MembershipChange, Role, RoomSettings, Seq};
use crate::protocol::id::{EventId, InvitationId, RoomId, UserId};
use crate::protocol::reply::{Changed, Emitted, Published, Reply};

/// A change of a room that waits for its place in the room's log.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The room.
    pub(crate) room_id: RoomId,
    /// Who does it.
    pub(crate) user_id: UserId,
    /// The id that the event will have.
    pub(crate) id: EventId,
    /// What is done.
    pub(crate) content: Content,
    /// When the node got it.
    pub(crate) received_at: Instant,
    /// Whom to tell.
    pub(crate) reply_to: ReplyTo,
    /// Its place in a writer's count, once it has one.
    pub(crate) permit: Option<Permit>,
}

/// What is done.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// Something is said.
    Message {
        body: Body,
        client_id: Box<str>,
        thread: Option<EventId>,
        mentions: Box<[UserId]>,
    },
    /// The application's own event.
    Custom {
        name: Box<str>,
        data: Data,
        client_id: Option<Box<str>>,
    },
    /// A message changes.
    Change {
        message_id: EventId,
        change: MessageChange,
        client_id: Option<Box<str>>,
    },
    /// A membership changes.
    Membership(MemberChange),
    /// What is said of the room changes.
    Room(RoomChange),
}

/// A change of a membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberChange {
    /// Whose.
    pub member_id: UserId,
    /// What becomes of it.
    pub change: MembershipChange,
    /// The role from then on; none for those who go.
    pub role: Option<Role>,
    /// Until when somebody is banned or muted; none for ever.
    pub until: Option<Timestamp>,
    /// Why somebody is banned.
    pub reason: Box<str>,
    /// By which invitation somebody joins.
    pub invitation: Option<InvitationId>,
}

impl MemberChange {
    /// A change that says no more than this.
    #[must_use]
    pub fn new(member_id: UserId, change: MembershipChange) -> Self {
        Self {
            member_id,
            change,
            role: None,
            until: None,
            reason: Box::default(),
            invitation: None,
        }
    }

    /// With the role from then on.
    #[must_use]
    pub fn with_role(self, role: Role) -> Self {
        Self {
            role: Some(role),
            ..self
        }
    }

    /// Whether it is done to somebody by another.
    #[must_use]
    pub const fn is_privileged(&self) -> bool {
        !matches!(
            self.change,
            MembershipChange::Joined | MembershipChange::Left
        )
    }
}

/// A change of what is said of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomChange {
    /// All of it, as it will be.
    pub settings: RoomSettings,
    /// The version of the room that it was made of.
    pub version: i64,
}

impl Content {
    /// The sender's own key.
    pub(crate) fn client_id(&self) -> Option<&str> {
        match self {
            Self::Message { client_id, .. } => Some(client_id),
            Self::Custom { client_id, .. } | Self::Change { client_id, .. } => client_id.as_deref(),
            Self::Membership(_) | Self::Room(_) => None,
        }
    }
}

impl Entry {
    /// About how much the entry weighs in a batch, bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        128 + match &self.content {
            Content::Message {
                body,
                client_id,
                mentions,
                ..
            } => 2 * body.len() + client_id.len() + size_of_val(&**mentions),
            Content::Change { change, .. } => match change {
                MessageChange::Edit { body } => 2 * body.len(),
                MessageChange::React { emoji, .. } => emoji.len(),
                MessageChange::Delete | MessageChange::Pin { .. } => 0,
            },
            Content::Custom { name, data, .. } => name.len() + data.message_pack().len(),
            Content::Membership(change) => change.reason.len(),
            Content::Room(change) => 2 * (change.settings.name.len() + change.settings.topic.len()),
        }
    }
}

/// An entry has its place in the log, for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) seq: Seq,
    pub(crate) msg_no: Option<u64>,
    pub(crate) id: EventId,
    pub(crate) created_at: Timestamp,
}

/// What became of an entry. `Ok(None)` is a change that changed nothing.
pub(crate) type Outcome = Result<Option<Committed>, Refusal>;

/// Whom to tell what became of an entry. Whoever is not told otherwise, because the writer
/// panicked or the node is going down, is told `unknown, retry` when this is dropped.
#[derive(Debug)]
pub(crate) struct ReplyTo(Option<Recipient>);

#[derive(Debug)]
enum Recipient {
    Caller(oneshot::Sender<Outcome>),
    Connection(ReplyAddress),
}

impl ReplyTo {
    /// Somebody on this node who waits.
    pub(crate) fn caller() -> (Self, oneshot::Receiver<Outcome>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Some(Recipient::Caller(sender))), receiver)
    }

    /// A connection's request.
    pub(crate) fn connection(address: ReplyAddress) -> Self {
        Self(Some(Recipient::Connection(address)))
    }

    /// Tells.
    pub(crate) fn send(mut self, outcome: Outcome) {
        self.tell(outcome);
    }

    fn tell(&mut self, outcome: Outcome) {
        match self.0.take() {
            // The caller has gone: nobody wants to know.
            Some(Recipient::Caller(sender)) => drop(sender.send(outcome)),
            Some(Recipient::Connection(address)) => address.send(outcome.map(reply)),
            None => {}
        }
    }
}

impl Drop for ReplyTo {
    fn drop(&mut self) {
        if self.0.is_some() {
            self.tell(Err(unknown()));
        }
    }
}

/// The refusal of an entry whose fate is not known.
pub(crate) fn unknown() -> Refusal {
    Refusal::new(
        ErrorCode::Unknown,
        "the commit was interrupted: it may be stored or not; send it again with the same client_id",
    )
}

/// The refusal of an entry while Postgres cannot be reached.
pub(crate) fn unavailable() -> Refusal {
    Refusal::new(
        ErrorCode::Unavailable,
        "the database is not available; nothing was stored, try again",
    )
}

fn reply(committed: Option<Committed>) -> Reply {
    match committed {
        Some(Committed {
            seq,
            msg_no: Some(msg_no),
            id,
            created_at,
        }) => Reply::Published(Published {
            seq,
            msg_no,
            id,
            created_at,
        }),
        // A change's reply has the same form.
        Some(Committed {
            seq,
            msg_no: None,
            id,
            created_at,
        }) => Reply::Emitted(Emitted {
            seq,
            id,
            created_at,
        }),
        None => Reply::Changed(Changed::default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_is_forgotten_is_told_unknown() {
        let (reply_to, receiver) = ReplyTo::caller();
        drop(reply_to);
        let outcome = receiver.await.unwrap();
        assert_eq!(outcome.unwrap_err().code, ErrorCode::Unknown);
    }
}
