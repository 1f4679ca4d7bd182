//! Messages as they stand. They are written by the journal, with their events.

use tokio_postgres::Row;

use super::statement::{Statement, statement};
use super::{Store, StoreError, seq};
use crate::protocol::command::{PageAnchor, PageRequest};
use crate::protocol::event::Epoch;
use crate::protocol::id::{EventId, RoomId, UserId};
use crate::protocol::reply::{MessagePage, MessageView};

const NEWEST: Statement = statement!("messages/newest");
const BEFORE: Statement = statement!("messages/before");
const AFTER: Statement = statement!("messages/after");

/// A page of a room's messages, with the room's head at the same moment. None if there is no
/// such room. Whether the reader may read it is the caller's to check.
pub async fn page(
    store: &Store,
    room: RoomId,
    request: PageRequest,
) -> Result<Option<MessagePage>, StoreError> {
    let conn = store.get().await?;
    // One more than asked for tells whether there is a next page.
    let limit = i64::from(request.limit) + 1;
    let rows = match request.anchor {
        PageAnchor::Newest => conn.query(&NEWEST, &[&room.0, &limit]).await?,
        PageAnchor::Before(before) => {
            conn.query(&BEFORE, &[&room.0, &limit, &seq::to_db(before)])
                .await?
        }
        PageAnchor::After(after) => {
            conn.query(&AFTER, &[&room.0, &limit, &seq::to_db(after)])
                .await?
        }
    };
    let Some(head) = rows.first() else {
        return Ok(None);
    };
    let mut messages = Vec::with_capacity(rows.len());
    for row in &rows {
        messages.extend(message(row)?);
    }
    let next = cut(&mut messages, request);
    Ok(Some(MessagePage {
        messages,
        epoch: Epoch(head.try_get("epoch")?),
        last_seq: seq::from_db(head.try_get("last_seq")?)?,
        next,
    }))
}

/// Takes off the message too many, if it is there, and says where the next page begins.
fn cut(messages: &mut Vec<MessageView>, request: PageRequest) -> Option<u64> {
    let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
    if messages.len() <= limit {
        return None;
    }
    if let PageAnchor::After(_) = request.anchor {
        messages.truncate(limit);
        messages.last().map(|message| message.seq)
    } else {
        messages.drain(..messages.len() - limit);
        messages.first().map(|message| message.seq)
    }
}

/// A row of nulls is a page without messages.
fn message(row: &Row) -> Result<Option<MessageView>, StoreError> {
    let Some(message_seq) = row.try_get::<_, Option<i64>>("seq")? else {
        return Ok(None);
    };
    Ok(Some(MessageView {
        seq: seq::from_db(message_seq)?,
        msg_no: seq::from_db(row.try_get("msg_no")?)?,
        id: EventId(row.try_get("id")?),
        user_id: UserId(row.try_get("user_id")?),
        body: row.try_get("body")?,
        client_id: row.try_get("client_id")?,
        created_at: row.try_get("created_at")?,
    }))
}
