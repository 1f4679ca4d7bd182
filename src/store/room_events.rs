//! The rooms' logs as they are read. They are written by the hub's journal alone.

use tokio_postgres::Row;

use super::statement::{Statement, statement};
use super::{Store, StoreError, seq};
use crate::protocol::event::{Epoch, Event, EventBody, Seq};
use crate::protocol::id::{EventId, RoomId, UserId};

const HEAD: Statement = statement!("room_events/head");
const AFTER: Statement = statement!("room_events/after");
const OTHER_HEADS: Statement = statement!("room_events/other_heads");
const BEGIN_EPOCH: Statement = statement!("room_events/begin_epoch");

/// Where a room's log stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Whose.
    pub room_id: RoomId,
    /// The log's life.
    pub epoch: Epoch,
    /// Its last event.
    pub last_seq: Seq,
}

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

/// Of rooms whose logs are thought to stand there, those that stand elsewhere, and where.
pub async fn other_heads(
    store: &Store,
    known: impl Iterator<Item = Head>,
) -> Result<Vec<Head>, StoreError> {
    let (mut rooms, mut epochs, mut seqs) = (Vec::new(), Vec::new(), Vec::new());
    for head in known {
        rooms.push(head.room_id.0);
        epochs.push(head.epoch.0);
        seqs.push(seq::to_db(head.last_seq));
    }
    let conn = store.get().await?;
    let rows = conn.query(&OTHER_HEADS, &[&rooms, &epochs, &seqs]).await?;
    rows.iter()
        .map(|row| {
            Ok(Head {
                room_id: RoomId(row.try_get("room_id")?),
                epoch: Epoch(row.try_get("epoch")?),
                last_seq: seq::from_db(row.try_get("last_seq")?)?,
            })
        })
        .collect()
}

/// Gives a log that has lost events up to `told` another epoch, unless that has been done or the
/// log is that long after all.
pub async fn begin_epoch(
    store: &Store,
    room: RoomId,
    epoch: Epoch,
    told: Seq,
) -> Result<(), StoreError> {
    let conn = store.get().await?;
    let next = rand::random_range(1..=i32::MAX);
    let told = seq::to_db(told);
    conn.execute(&BEGIN_EPOCH, &[&room.0, &epoch.0, &told, &next])
        .await?;
    Ok(())
}

/// A page holds no more than the event that reaches so many bytes of data: a thousand long
/// messages must not be in memory at once for one client.
const PAGE_BYTES: i64 = 512 * 1024;

/// A part of a room's log, with what its head said at the same moment.
#[derive(Debug, Clone, PartialEq)]
pub struct LogPage {
    /// The log's life.
    pub epoch: Epoch,
    /// The first event that retention has left; one more than `last_seq` if it has left none.
    pub first_seq: Seq,
    /// The last event.
    pub last_seq: Seq,
    /// The events, ascending and without a hole.
    pub events: Vec<Event>,
}

/// The events just after `seq`, ascending, at most `limit` and about 512 KiB; at least one if
/// there is one. None if there is no such room.
pub async fn page(
    store: &Store,
    room: RoomId,
    seq: Seq,
    limit: u32,
) -> Result<Option<LogPage>, StoreError> {
    let conn = store.get().await?;
    let seq = seq::to_db(seq);
    let rows = conn
        .query(&AFTER, &[&room.0, &seq, &i64::from(limit), &PAGE_BYTES])
        .await?;
    let Some(head) = rows.first() else {
        return Ok(None);
    };
    let mut events = Vec::with_capacity(rows.len());
    for row in &rows {
        events.extend(read(room, row)?);
    }
    Ok(Some(LogPage {
        epoch: Epoch(head.try_get("epoch")?),
        first_seq: seq::from_db(head.try_get("first_seq")?)?,
        last_seq: seq::from_db(head.try_get("last_seq")?)?,
        events,
    }))
}

/// The events of [`page`]; none if there is no such room.
pub async fn after(
    store: &Store,
    room: RoomId,
    seq: Seq,
    limit: u32,
) -> Result<Vec<Event>, StoreError> {
    let page = page(store, room, seq, limit).await?;
    Ok(page.map(|page| page.events).unwrap_or_default())
}

/// A row of nulls is a page without events.
fn read(room_id: RoomId, row: &Row) -> Result<Option<Event>, StoreError> {
    let Some(seq) = row.try_get::<_, Option<i64>>("seq")? else {
        return Ok(None);
    };
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
    Ok(Some(Event {
        room_id,
        epoch: Epoch(row.try_get("epoch")?),
        seq: seq.unsigned_abs(),
        id: EventId(row.try_get("id")?),
        user_id: UserId(row.try_get("user_id")?),
        created_at: row.try_get("created_at")?,
        body,
    }))
}
