//! The rooms' logs as they are read. They are written by the hub's journal alone.

use tokio_postgres::Row;

use super::statement::{Statement, statement};
use super::{Store, StoreError};
use crate::protocol::event::{Epoch, Event, EventBody, Seq};
use crate::protocol::id::{EventId, RoomId, UserId};

const HEAD: Statement = statement!("room_events/head");
const AFTER: Statement = statement!("room_events/after");

/// Where a room's log stands: its life and its last event. None if there is no such room.
pub async fn head(store: &Store, room: RoomId) -> Result<Option<(Epoch, Seq)>, StoreError> {
    let conn = store.get().await?;
    let Some(row) = conn.query_opt(&HEAD, &[&room.0]).await? else {
        return Ok(None);
    };
    let last_seq: i64 = row.try_get("last_seq")?;
    Ok(Some((
        Epoch(row.try_get("epoch")?),
        last_seq.unsigned_abs(),
    )))
}

/// A page holds no more than the event that reaches so many bytes of data: a thousand long
/// messages must not be in memory at once for one client.
const PAGE_BYTES: i64 = 512 * 1024;

/// The events just after `seq`, ascending, at most `limit` and about 512 KiB; at least one if
/// there is one.
pub async fn after(
    store: &Store,
    room: RoomId,
    seq: Seq,
    limit: u32,
) -> Result<Vec<Event>, StoreError> {
    let conn = store.get().await?;
    let seq = i64::try_from(seq).unwrap_or(i64::MAX);
    let rows = conn
        .query(&AFTER, &[&room.0, &seq, &i64::from(limit), &PAGE_BYTES])
        .await?;
    rows.iter().map(|row| read(room, row)).collect()
}

fn read(room_id: RoomId, row: &Row) -> Result<Event, StoreError> {
    let seq: i64 = row.try_get("seq")?;
    let msg_no: Option<i64> = row.try_get("msg_no")?;
    let message_id: Option<uuid::Uuid> = row.try_get("message_id")?;
    let body = EventBody::from_log(
        row.try_get("kind")?,
        msg_no.map(i64::unsigned_abs),
        message_id.map(EventId),
        row.try_get("data")?,
    )
    .map_err(|source| StoreError::Corrupt {
        what: "event",
        source: source.into(),
    })?;
    Ok(Event {
        room_id,
        epoch: Epoch(row.try_get("epoch")?),
        seq: seq.unsigned_abs(),
        id: EventId(row.try_get("id")?),
        user_id: UserId(row.try_get("user_id")?),
        created_at: row.try_get("created_at")?,
        body,
    })
}
