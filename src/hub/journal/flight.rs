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

use super::changes::{MemberChanges, RoomChanges, refused, with_role};
use super::entry::{Content, Entry};
use crate::protocol::data::DataError;
use crate::protocol::error::ErrorCode;
use crate::protocol::event::{Epoch, EventBody, EventKind, Role, Seq};
use crate::protocol::id::EventId;
use crate::store::statement::{Statement, statement};

const LOCK_HEADS: Statement = statement!("journal/lock_heads");
const LOCK_FREE_HEADS: Statement = statement!("journal/lock_free_heads");
const APPEND: Statement = statement!("journal/append");
const CHANGE_MEMBERS: Statement = statement!("journal/change_members");
const CHANGE_ROOMS: Statement = statement!("journal/change_rooms");

/// A connection of the journal with its statements prepared. It is outside the pool, so that
/// reads can never keep a publish waiting for a connection.
#[derive(Debug)]
pub(super) struct Link {
    client: Client,
    lock_heads: tokio_postgres::Statement,
    lock_free_heads: tokio_postgres::Statement,
    append: tokio_postgres::Statement,
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
            change_members: client.prepare(CHANGE_MEMBERS.sql).await?,
            change_rooms: client.prepare(CHANGE_ROOMS.sql).await?,
            client,
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
            members: MemberChanges::of(batch)?,
            rooms: RoomChanges::of(batch)?,
        };
        let flight = self.transaction(batch, &parameters, locking);
        let answers = tokio::time::timeout(timeout, flight)
            .await
            .map_err(|_| FlightError::TimedOut)??;
        in_batch_order(batch, answers).map_err(FlightError::Lost)
    }

    async fn transaction(
        &self,
        batch: &[Entry],
        parameters: &Parameters<'_>,
        locking: Locking,
    ) -> Result<Answers, FlightError> {
        let Parameters {
            appends,
            members,
            rooms: changes,
        } = parameters;
        let mut rooms: Vec<Uuid> = batch.iter().map(|entry| entry.room_id.0).collect();
        rooms.sort_unstable();
        rooms.dedup();
        let lock = match locking {
            Locking::Wait => &self.lock_heads,
            Locking::SkipLocked => &self.lock_free_heads,
        };
        let lock_parameters: [&(dyn ToSql + Sync); 1] = [&rooms];
        let append_parameters = appends.parameters();
        let member_parameters = members.parameters();
        let room_parameters = changes.parameters();
        // Polled in this order for the first time, the requests are sent in this order.
        let (begun, locked, appended, rooms, members, committed) = tokio::join!(
            biased;
            self.client.batch_execute("BEGIN"),
            self.client.execute(lock, &lock_parameters),
            async {
                if appends.is_empty() { return Ok(Vec::new()); }
                self.client.query(&self.append, &append_parameters).await
            },
            async {
                if changes.is_empty() { return Ok(Vec::new()); }
                self.client.query(&self.change_rooms, &room_parameters).await
            },
            // Last, because it takes the lock of the control log's head, which all nodes want.
            async {
                if members.is_empty() { return Ok(Vec::new()); }
                self.client.query(&self.change_members, &member_parameters).await
            },
            self.client.batch_execute("COMMIT"),
        );
        // The first error is the cause; those after it are "transaction is aborted".
        begun.map_err(classify)?;
        locked.map_err(classify)?;
        let appended = appended.map_err(classify)?;
        let rooms = rooms.map_err(classify)?;
        let members = members.map_err(classify)?;
        committed.map_err(classify)?;
        Ok(Answers {
            appended,
            members,
            rooms,
        })
    }
}

/// What a batch's statements are given.
struct Parameters<'a> {
    appends: Appends<'a>,
    members: MemberChanges<'a>,
    rooms: RoomChanges<'a>,
}

/// What they answer.
struct Answers {
    appended: Vec<Row>,
    members: Vec<Row>,
    rooms: Vec<Row>,
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

/// The parameters of `journal/append`.
#[derive(Default)]
struct Appends<'a> {
    rooms: Vec<Uuid>,
    users: Vec<Uuid>,
    client_ids: Vec<Option<&'a str>>,
    ids: Vec<Uuid>,
    kinds: Vec<i16>,
    fingerprints: Vec<Vec<u8>>,
    bodies: Vec<Option<&'a str>>,
    data: Vec<Vec<u8>>,
}

impl<'a> Appends<'a> {
    fn of(batch: &'a [Entry]) -> Result<Self, DataError> {
        let mut this = Self::default();
        for entry in batch {
            let (kind, body, data) = match &entry.content {
                Content::Message { body, client_id } => (
                    EventKind::Message,
                    Some(&**body),
                    EventBody::message_to_log(body, client_id)?,
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
                Content::Membership(_) | Content::Room(_) => continue,
            };
            this.rooms.push(entry.room_id.0);
            this.users.push(entry.user_id.0);
            this.client_ids.push(entry.content.client_id());
            this.ids.push(entry.id.0);
            this.kinds.push(kind as i16);
            this.fingerprints.push(entry.content.fingerprint());
            this.bodies.push(body);
            this.data.push(data);
        }
        Ok(this)
    }

    fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    fn parameters(&self) -> [&(dyn ToSql + Sync); 8] {
        [
            &self.rooms,
            &self.users,
            &self.client_ids,
            &self.ids,
            &self.kinds,
            &self.fingerprints,
            &self.bodies,
            &self.data,
        ]
    }
}

fn in_batch_order(
    batch: &[Entry],
    answers: Answers,
) -> Result<Vec<Verdict>, tokio_postgres::Error> {
    let mut appended = answers.appended.into_iter();
    let mut members = answers.members.into_iter();
    let mut rooms = answers.rooms.into_iter();
    let verdicts = batch.iter().filter_map(|entry| match &entry.content {
        Content::Membership(_) => members
            .next()
            .map(|row| verdict(&row).and_then(|verdict| with_role(verdict, &row))),
        Content::Room(_) => rooms.next().map(|row| verdict(&row)),
        _ => appended.next().map(|row| verdict(&row)),
    });
    verdicts.collect()
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
