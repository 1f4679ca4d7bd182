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

/// A page holds at most so many bytes of bodies, unless its only message is larger. A hundred
/// messages of 64 KiB would be 39 MB of JSON if each character had to be escaped as six, held
/// whole in memory for every reader; this is 3 MB, and 5 KiB for each of a hundred messages.
const PAGE_BODY_BYTES: i64 = 512 * 1024;

/// A page of a room's messages, with the room's head at the same moment. None if there is no
/// such room. Whether the reader may read it is the caller's to check.
pub async fn page(
    store: &Store,
    room: RoomId,
    request: PageRequest,
) -> Result<Option<MessagePage>, StoreError> {
    let conn = store.get().await?;
    let limit = i64::from(request.limit);
    let bytes = PAGE_BODY_BYTES;
    let rows = match request.anchor {
        PageAnchor::Newest => conn.query(&NEWEST, &[&room.0, &limit, &bytes]).await?,
        PageAnchor::Before(before) => {
            let before = seq::to_db(before);
            conn.query(&BEFORE, &[&room.0, &limit, &bytes, &before])
                .await?
        }
        PageAnchor::After(after) => {
            let after = seq::to_db(after);
            conn.query(&AFTER, &[&room.0, &limit, &bytes, &after])
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
    // None on a page without messages.
    let found: Option<i64> = head.try_get("found")?;
    let edge = match request.anchor {
        PageAnchor::After(_) => messages.last(),
        PageAnchor::Newest | PageAnchor::Before(_) => messages.first(),
    };
    let more = usize::try_from(found.unwrap_or(0)).is_ok_and(|found| found > messages.len());
    let next = edge.filter(|_| more).map(|message| message.seq);
    Ok(Some(MessagePage {
        messages,
        epoch: Epoch(head.try_get("epoch")?),
        last_seq: seq::from_db(head.try_get("last_seq")?)?,
        next,
    }))
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
