//! What the hub does with messages for others: saying, changing and reading them.

use super::journal::entry::{Committed, Content};
use super::{HubHandle, refuse, room_not_found};
use crate::protocol::body::Body;
use crate::protocol::command::{MessageChange, PageRequest};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::id::{EventId, RoomId, RoomRef, UserId};
use crate::protocol::reply::{Changed, MessagePage, Published};
use crate::store;

/// Something to say, checked.
#[derive(Debug)]
pub struct NewMessage {
    /// What to say.
    pub body: Body,
    /// The sender's own key of it.
    pub client_id: String,
    /// The message that it replies to.
    pub thread: Option<EventId>,
    /// Who is named in it, each once.
    pub mentions: Vec<UserId>,
}

impl From<NewMessage> for Content {
    fn from(new: NewMessage) -> Self {
        Self::Message {
            body: new.body,
            client_id: new.client_id.into(),
            thread: new.thread,
            mentions: new.mentions.into(),
        }
    }
}

impl HubHandle {
    /// Says something in a room; the answer comes after the commit.
    pub async fn publish(
        &self,
        room: RoomId,
        sender: UserId,
        message: NewMessage,
    ) -> Result<Published, Refusal> {
        let committed = self.commit(room, sender, message.into()).await?;
        let Some(Committed {
            seq,
            msg_no: Some(msg_no),
            id,
            created_at,
        }) = committed
        else {
            return Err(Refusal::new(
                ErrorCode::Internal,
                "a message without a number",
            ));
        };
        Ok(Published {
            seq,
            msg_no,
            id,
            created_at,
        })
    }

    /// Changes a message, as an event in the room's sequence; the answer comes after the commit.
    /// Whether `user` may do it is decided in the transaction.
    pub async fn change_message(
        &self,
        room: RoomId,
        user: UserId,
        message_id: EventId,
        change: MessageChange,
        client_id: Option<String>,
    ) -> Result<Changed, Refusal> {
        let content = Content::Change {
            message_id,
            change,
            client_id: client_id.map(Into::into),
        };
        let committed = self.commit(room, user, content).await?;
        Ok(committed.map_or_else(Changed::default, |it| Changed {
            seq: Some(it.seq),
            id: Some(it.id),
            created_at: Some(it.created_at),
        }))
    }

    /// A page of a room's messages, for a member.
    pub(super) async fn history(
        &self,
        room: &RoomRef,
        user: UserId,
        page: PageRequest,
    ) -> Result<MessagePage, Refusal> {
        let access = self.member_access(room, user).await?;
        let floor = access.history_floor;
        let page = store::messages::page(&self.shared.store, access.room_id, floor, page)
            .await
            .map_err(|error| refuse(&error))?;
        page.ok_or_else(room_not_found)
    }
}
