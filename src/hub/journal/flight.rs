//! One batch on its way to Postgres and back.
//!
//! BEGIN, lock, write and COMMIT leave together, before the first answer is back, so that no
//! head stays locked while the node is waited for. Only if every statement has succeeded is
//! anything acknowledged: the COMMIT of an aborted transaction "succeeds" as a rollback.

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::appends::{Appends, Notes};
use super::changes::{MemberChanges, RoomChanges, refused, with_role};
use super::entry::{Content, Entry};
use super::message_changes::{ChangeLimits, MessageChanges};
use crate::protocol::data::DataError;
use crate::protocol::error::ErrorCode;
use crate::protocol::event::{Epoch, Role, Seq};
use crate::protocol::id::EventId;
use crate::store::statement::{Statement, statement};

const LOCK_HEADS: Statement = statement!("journal/lock_heads");
const LOCK_FREE_HEADS: Statement = statement!("journal/lock_free_heads");
const APPEND: Statement = statement!("journal/append");
const NOTE_MESSAGES: Statement = statement!("journal/note_messages");
const CHANGE_MESSAGES: Statement = statement!("journal/change_messages");
const CHANGE_MEMBERS: Statement = statement!("journal/change_members");
const CHANGE_ROOMS: Statement = statement!("journal/change_rooms");

/// A connection of the journal with its statements prepared. It is outside the pool, so that
/// reads can never keep a publish waiting for a connection.
#[derive(Debug)]
pub(super) struct Link {
    client: Client,
    limits: ChangeLimits,
    lock_heads: tokio_postgres::Statement,
    lock_free_heads: tokio_postgres::Statement,
    append: tokio_postgres::Statement,
    note_messages: tokio_postgres::Statement,
    change_messages: tokio_postgres::Statement,
    change_members: tokio_postgres::Statement,
    change_rooms: tokio_postgres::Statement,
}

/// Which heads a flight waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Locking {
    /// All, for the connection's lock time-out.
    Wait,
    /// Only those that nobody else has locked; entries of the others come back as
    /// [`Verdict::Locked`].
    SkipLocked,
}

/// Why a flight did not land. Nothing of it is stored, but for [`FlightError::Lost`].
#[derive(Debug, thiserror::Error)]
pub(super) enum FlightError {
    /// A head stayed locked for longer than the lock time-out.
    #[error("a head is locked")]
    Locked,
    /// The database refuses something in the batch.
    #[error("the database refuses the batch")]
    Refused(#[source] tokio_postgres::Error),
    /// The batch cannot be written down.
    #[error("the batch cannot be encoded: {0}")]
    Encode(#[from] DataError),
    /// The database cannot do it now: shutting down, disk full, serialization failure.
    #[error("the database cannot take the batch now")]
    Unavailable(#[source] tokio_postgres::Error),
    /// The connection was lost: the commit may have happened.
    #[error("the connection was lost")]
    Lost(#[source] tokio_postgres::Error),
    /// No answer in time: the commit may have happened or may happen yet.
    #[error("no answer within the time-out")]
    TimedOut,
}

/// What the database found about an entry, in the transaction that has committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is in the log now.
    Accepted(Place),
    /// It was in the log already.
    Duplicate(Place),
    /// A change that changes nothing.
    Unchanged,
    /// Somebody else has the head locked; nothing was done.
    Locked,
    /// A rule forbids it.
    Forbidden(ErrorCode),
}

/// An entry's place in its room's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) epoch: Epoch,
    pub(super) seq: Seq,
    pub(super) msg_no: Option<u64>,
    pub(super) id: EventId,
    pub(super) created_at: Timestamp,
    /// The role that a membership change has given.
    pub(super) role: Option<Role>,
}

impl Link {
    /// Prepares a fresh connection. `lock_timeout` is how long [`Locking::Wait`] waits for a
    /// head, `timeout` how long the server may take over a statement.
    pub(super) async fn prepare(
        client: Client,
        limits: ChangeLimits,
        lock_timeout: Duration,
        timeout: Duration,
    ) -> Result<Self, tokio_postgres::Error> {
        // The plans must be index look-ups whatever the statistics say: a plan made while the
        // tables were small would scan them for as long as it is cached.
        client
            .batch_execute(&format!(
                "SET synchronous_commit = on;
                 SET lock_timeout = {};
                 SET statement_timeout = {};
                 SET idle_in_transaction_session_timeout = {};
                 SET enable_seqscan = off;
                 SET enable_hashjoin = off;
                 SET enable_mergejoin = off;
                 SET enable_bitmapscan = off;
                 SET jit = off;
                 SET plan_cache_mode = force_generic_plan",
                lock_timeout.as_millis(),
                timeout.as_millis(),
                timeout.as_millis(),
            ))
            .await?;
        Ok(Self {
            lock_heads: client.prepare(LOCK_HEADS.sql).await?,
            lock_free_heads: client.prepare(LOCK_FREE_HEADS.sql).await?,
            append: client.prepare(APPEND.sql).await?,
            note_messages: client.prepare(NOTE_MESSAGES.sql).await?,
            change_messages: client.prepare(CHANGE_MESSAGES.sql).await?,
            change_members: client.prepare(CHANGE_MEMBERS.sql).await?,
            change_rooms: client.prepare(CHANGE_ROOMS.sql).await?,
            client,
            limits,
        })
    }

    /// Whether the connection is gone.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Writes a batch that keeps the rules of [`super::queue`]; the verdicts are in its order.
    pub(super) async fn fly(
        &self,
        batch: &[Entry],
        locking: Locking,
        timeout: Duration,
    ) -> Result<Vec<Verdict>, FlightError> {
        let parameters = Parameters {
            appends: Appends::of(batch)?,
            notes: Notes::of(batch),
            message_changes: MessageChanges::of(batch, self.limits)?,
            member_changes: MemberChanges::of(batch)?,
            room_changes: RoomChanges::of(batch)?,
        };
        let flight = self.transaction(batch, &parameters, locking);
        let rows = tokio::time::timeout(timeout, flight)
            .await
            .map_err(|_| FlightError::TimedOut)??;
        in_batch_order(batch, rows).map_err(FlightError::Lost)
    }

    async fn transaction(
        &self,
        batch: &[Entry],
        parameters: &Parameters<'_>,
        locking: Locking,
    ) -> Result<Rows, FlightError> {
        let mut rooms: Vec<Uuid> = batch.iter().map(|entry| entry.room_id.0).collect();
        rooms.sort_unstable();
        rooms.dedup();
        let lock = match locking {
            Locking::Wait => &self.lock_heads,
            Locking::SkipLocked => &self.lock_free_heads,
        };
        let lock_parameters: [&(dyn ToSql + Sync); 1] = [&rooms];
        let append = parameters.appends.parameters();
        let note = parameters.notes.parameters();
        let change_messages = parameters.message_changes.parameters();
        let change_rooms = parameters.room_changes.parameters();
        let change_members = parameters.member_changes.parameters();
        // Polled in this order for the first time, the requests are sent in this order.
        let (
            begun,
            locked,
            appended,
            noted,
            messages_changed,
            rooms_changed,
            members_changed,
            committed,
        ) = tokio::join!(
            biased;
            self.client.batch_execute("BEGIN"),
            self.client.execute(lock, &lock_parameters),
            self.query_unless(parameters.appends.is_empty(), &self.append, &append),
            self.query_unless(parameters.notes.is_empty(), &self.note_messages, &note),
            self.query_unless(
                parameters.message_changes.is_empty(),
                &self.change_messages,
                &change_messages
            ),
            self.query_unless(parameters.room_changes.is_empty(), &self.change_rooms, &change_rooms),
            // Last, because it takes the lock of the control log's head, which all nodes want.
            self.query_unless(
                parameters.member_changes.is_empty(),
                &self.change_members,
                &change_members
            ),
            self.client.batch_execute("COMMIT"),
        );
        // The first error is the cause; those after it are "transaction is aborted".
        begun.map_err(classify)?;
        locked.map_err(classify)?;
        let appended = appended.map_err(classify)?;
        noted.map_err(classify)?;
        let messages_changed = messages_changed.map_err(classify)?;
        let rooms_changed = rooms_changed.map_err(classify)?;
        let members_changed = members_changed.map_err(classify)?;
        committed.map_err(classify)?;
        Ok(Rows {
            appended,
            messages_changed,
            rooms_changed,
            members_changed,
        })
    }

    /// A statement's rows; it is not sent if there is nothing for it to do.
    async fn query_unless(
        &self,
        is_empty: bool,
        statement: &tokio_postgres::Statement,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        if is_empty {
            return Ok(Vec::new());
        }
        self.client.query(statement, parameters).await
    }
}

/// What the statements of a flight are given.
struct Parameters<'a> {
    appends: Appends<'a>,
    notes: Notes,
    message_changes: MessageChanges<'a>,
    member_changes: MemberChanges<'a>,
    room_changes: RoomChanges<'a>,
}

/// The verdicts of each statement, in the batch's order.
struct Rows {
    appended: Vec<Row>,
    messages_changed: Vec<Row>,
    rooms_changed: Vec<Row>,
    members_changed: Vec<Row>,
}

fn classify(error: tokio_postgres::Error) -> FlightError {
    let Some(state) = error.code() else {
        return FlightError::Lost(error);
    };
    if *state == SqlState::LOCK_NOT_AVAILABLE {
        return FlightError::Locked;
    }
    match &state.code()[..2] {
        // Told to go in the middle of the flight: the server may have been at the COMMIT.
        "57" if *state != SqlState::QUERY_CANCELED => FlightError::Lost(error),
        // 40 deadlock or serialization, 53 out of disk, memory or connections, 55 not in the
        // right state, 57014 statement time-out, 58 I/O errors, 25 read-only, XX corruption.
        "40" | "53" | "55" | "57" | "58" | "25" | "XX" => FlightError::Unavailable(error),
        _ => FlightError::Refused(error),
    }
}

fn in_batch_order(batch: &[Entry], rows: Rows) -> Result<Vec<Verdict>, tokio_postgres::Error> {
    let mut appended = rows.appended.into_iter();
    let mut messages_changed = rows.messages_changed.into_iter();
    let mut rooms_changed = rows.rooms_changed.into_iter();
    let mut members_changed = rows.members_changed.into_iter();
    let rows = batch.iter().filter_map(|entry| {
        let row = match entry.content {
            Content::Message { .. } | Content::Custom { .. } => appended.next(),
            Content::Change { .. } => messages_changed.next(),
            Content::Room(_) => rooms_changed.next(),
            Content::Membership(_) => members_changed.next(),
        };
        row.map(|row| (entry, row))
    });
    rows.map(|(entry, row)| match entry.content {
        Content::Membership(_) => with_role(verdict(&row)?, &row),
        _ => verdict(&row),
    })
    .collect()
}

fn verdict(row: &Row) -> Result<Verdict, tokio_postgres::Error> {
    Ok(match row.try_get::<_, &str>("verdict")? {
        "accepted" => Verdict::Accepted(place(row)?),
        "duplicate" => Verdict::Duplicate(place(row)?),
        "unchanged" => Verdict::Unchanged,
        "locked" => Verdict::Locked,
        "client_id_reused" => Verdict::Forbidden(ErrorCode::ClientIdReused),
        "room_not_found" => Verdict::Forbidden(ErrorCode::RoomNotFound),
        "user_not_found" => Verdict::Forbidden(ErrorCode::UserNotFound),
        "not_a_member" => Verdict::Forbidden(ErrorCode::NotAMember),
        "muted" => Verdict::Forbidden(ErrorCode::Muted),
        "message_not_found" => Verdict::Forbidden(ErrorCode::MessageNotFound),
        "message_deleted" => Verdict::Forbidden(ErrorCode::MessageDeleted),
        "too_many_reactions" => Verdict::Forbidden(ErrorCode::TooManyReactions),
        "too_many_pins" => Verdict::Forbidden(ErrorCode::TooManyPins),
        "last_owner" => Verdict::Forbidden(ErrorCode::LastOwner),
        other => Verdict::Forbidden(refused(other)),
    })
}

fn place(row: &Row) -> Result<Place, tokio_postgres::Error> {
    Ok(Place {
        // A room's head may be gone when an old duplicate is asked for again.
        epoch: Epoch(row.try_get::<_, Option<i32>>("epoch")?.unwrap_or_default()),
        seq: row.try_get::<_, i64>("seq")?.unsigned_abs(),
        msg_no: row
            .try_get::<_, Option<i64>>("msg_no")?
            .map(i64::unsigned_abs),
        id: EventId(row.try_get("id")?),
        created_at: row.try_get("created_at")?,
        role: None,
    })
}
