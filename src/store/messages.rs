//! Messages as they stand. They are written by the journal, with their events.

use tokio_postgres::Row;
use uuid::Uuid;

use super::statement::{Statement, statement};
use super::{Conn, Store, StoreError, rooms, seq};
use crate::protocol::body::Body;
use crate::protocol::command::{PageAnchor, PageRequest};
use crate::protocol::event::{Epoch, Role, Seq};
use crate::protocol::id::{EventId, RoomId, UserId};
use crate::protocol::reply::{MessagePage, MessageView, ReactionView};

const BEFORE: Statement = statement!("messages/before");
const AFTER: Statement = statement!("messages/after");
const THREAD_BEFORE: Statement = statement!("messages/thread_before");
const THREAD_AFTER: Statement = statement!("messages/thread_after");
const PINNED: Statement = statement!("messages/pinned");
const GET: Statement = statement!("messages/get");
const LOCATE: Statement = statement!("messages/locate");

/// A page holds at most so many bytes of bodies, unless its only message is larger. A hundred
/// messages of 64 KiB would be 39 MB of JSON if each character had to be escaped as six, held
/// whole in memory for every reader; this is 3 MB, and 5 KiB for each of a hundred messages.
const PAGE_BODY_BYTES: i64 = 512 * 1024;

/// A page, and the last event that touched what is on it.
#[derive(Debug, Clone, PartialEq)]
pub struct TouchedPage {
    /// The page.
    pub page: MessagePage,
    /// The last event that said or changed one of its messages; 0 if it has none.
    pub touched: Seq,
}

/// A page of a room's messages after `floor`, with the room's head at the same moment. None if
/// there is no such room. Whether the reader may read it is the caller's to check.
pub async fn page(
    store: &Store,
    room: RoomId,
    floor: Seq,
    request: PageRequest,
) -> Result<Option<MessagePage>, StoreError> {
    let read = page_touched(store, room, floor, request).await?;
    Ok(read.map(|it| it.page))
}

/// The same, with the last event that touched it.
pub async fn page_touched(
    store: &Store,
    room: RoomId,
    floor: Seq,
    request: PageRequest,
) -> Result<Option<TouchedPage>, StoreError> {
    page_by(&store.get().await?, room, floor, request).await
}

/// The same, by this connection.
pub(super) async fn page_by(
    conn: &Conn,
    room: RoomId,
    floor: Seq,
    request: PageRequest,
) -> Result<Option<TouchedPage>, StoreError> {
    let (limit, floor, bytes) = (i64::from(request.limit), seq::to_db(floor), PAGE_BODY_BYTES);
    let (statement, of_thread, position) = match request.anchor {
        PageAnchor::Newest => (&BEFORE, &THREAD_BEFORE, i64::MAX),
        PageAnchor::Before(before) => (&BEFORE, &THREAD_BEFORE, seq::to_db(before)),
        PageAnchor::After(after) => (&AFTER, &THREAD_AFTER, seq::to_db(after)),
    };
    let rows = match request.thread {
        None => {
            conn.query(statement, &[&room.0, &limit, &bytes, &floor, &position])
                .await?
        }
        Some(root) => {
            conn.query(
                of_thread,
                &[&room.0, &limit, &bytes, &floor, &position, &root.0],
            )
            .await?
        }
    };
    read_page(&rows, matches!(request.anchor, PageAnchor::After(_)))
}

/// What is pinned in a room after `floor`, as [`page_touched`] gives it, in the order in which it was
/// said: at most `limit` messages, and no more bytes than a page may have.
pub async fn pinned(
    store: &Store,
    room: RoomId,
    floor: Seq,
    limit: u32,
) -> Result<Option<TouchedPage>, StoreError> {
    let (limit, floor, bytes) = (i64::from(limit), seq::to_db(floor), PAGE_BODY_BYTES);
    let conn = store.get().await?;
    let rows = conn
        .query(&PINNED, &[&room.0, &limit, &bytes, &floor])
        .await?;
    read_page(&rows, true)
}

/// One message, if it is in this room and after `floor`.
pub async fn get(
    store: &Store,
    room: RoomId,
    floor: Seq,
    message: EventId,
) -> Result<Option<MessageView>, StoreError> {
    let floor = seq::to_db(floor);
    let conn = store.get().await?;
    let row = conn.query_opt(&GET, &[&room.0, &message.0, &floor]).await?;
    Ok(match row {
        Some(row) => read(&row)?,
        None => None,
    })
}

/// A message with what decides on who may see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Located {
    /// Where it is.
    pub room_id: RoomId,
    /// Whether only members may know of that room.
    pub is_private: bool,
    /// What the user is in it; none: no member.
    pub role: Option<Role>,
    /// The last event that this member may not see; 0 if all may be seen.
    pub history_floor: Seq,
    /// The message.
    pub message: MessageView,
}

/// A message, whichever room it is in, and what `user` is there.
pub async fn locate(
    store: &Store,
    message: EventId,
    user: UserId,
) -> Result<Option<Located>, StoreError> {
    let conn = store.get().await?;
    let row = conn.query_opt(&LOCATE, &[&message.0, &user.0]).await?;
    let Some(row) = row else { return Ok(None) };
    let Some(message) = read(&row)? else {
        return Ok(None);
    };
    Ok(Some(Located {
        room_id: RoomId(row.try_get("room_id")?),
        is_private: row.try_get("is_private")?,
        role: rooms::role(&row)?,
        history_floor: seq::from_db(row.try_get("history_floor")?)?,
        message,
    }))
}

fn read_page(rows: &[Row], is_forward: bool) -> Result<Option<TouchedPage>, StoreError> {
    let Some(head) = rows.first() else {
        return Ok(None);
    };
    let mut messages = Vec::with_capacity(rows.len());
    let mut touched = 0;
    for row in rows {
        let Some(message) = read(row)? else {
            continue;
        };
        messages.push(message);
        touched = touched.max(seq::from_db(row.try_get("touched_seq")?)?);
    }
    // None on a page without messages.
    let found: Option<i64> = head.try_get("found")?;
    let edge = if is_forward {
        messages.last()
    } else {
        messages.first()
    };
    let more = usize::try_from(found.unwrap_or(0)).is_ok_and(|found| found > messages.len());
    let next = edge.filter(|_| more).map(|message| message.seq);
    let page = MessagePage {
        messages,
        epoch: Epoch(head.try_get("epoch")?),
        last_seq: seq::from_db(head.try_get("last_seq")?)?,
        next,
    };
    Ok(Some(TouchedPage { page, touched }))
}

/// A row of nulls is a page without messages.
fn read(row: &Row) -> Result<Option<MessageView>, StoreError> {
    let Some(message_seq) = row.try_get::<_, Option<i64>>("seq")? else {
        return Ok(None);
    };
    let deleted_at: Option<jiff::Timestamp> = row.try_get("deleted_at")?;
    let mentions: Option<Vec<Uuid>> = row.try_get("mentions")?;
    let body = match row.try_get::<_, Option<&[u8]>>("body_bytes")? {
        Some(bytes) => Body::Bytes(bytes.into()),
        None => row.try_get::<_, &str>("body")?.into(),
    };
    Ok(Some(MessageView {
        seq: seq::from_db(message_seq)?,
        msg_no: seq::from_db(row.try_get("msg_no")?)?,
        id: EventId(row.try_get("id")?),
        user_id: UserId(row.try_get("user_id")?),
        encoding: body.encoding(),
        body,
        client_id: row.try_get("client_id")?,
        created_at: row.try_get("created_at")?,
        edited_at: row.try_get("edited_at")?,
        deleted: deleted_at.is_some(),
        thread: row.try_get::<_, Option<Uuid>>("thread_id")?.map(EventId),
        replies: seq::from_db(row.try_get("replies")?)?,
        mentions: mentions
            .unwrap_or_default()
            .into_iter()
            .map(UserId)
            .collect(),
        reactions: reactions(row.try_get("reactions")?)?,
        pinned_at: row.try_get("pinned_at")?,
    }))
}

/// Reads the column `reactions`, a list in JSON.
fn reactions(json: Option<&str>) -> Result<Vec<ReactionView>, StoreError> {
    let Some(json) = json else {
        return Ok(Vec::new());
    };
    serde_json::from_str(json).map_err(|source| StoreError::Corrupt {
        what: "reactions",
        source: source.into(),
    })
}
