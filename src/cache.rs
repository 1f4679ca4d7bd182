//! Copies of what is in the database, for answers that more than one may ask for.
//!
//! A request looks here first ([`Cache::get`], [`finding`]), after its permission was checked by a copy
//! of the membership. A copy is a finished body with its entity tag ([`copy`]); it does not depend on who asks.
//! Copies are in this process ([`local`]), and those of rooms and messages in Redis, too ([`shared`]).
//!
//! **Coherence** is decided in one place, [`ledger`] (pure): what of which room was touched, as the hub
//! tells it. By it a load that began before an invalidation never fills the cache after it, and a copy that
//! is there counts only if it was built from all that was told of its tags. When the telling may have
//! missed something, all copies are given up; what is lost without a trace is found by the comparison of
//! heads within two seconds. [`version`] has an older copy never take the place of a newer, here and in
//! Redis. [`least`] is what a client has seen already: no answer is older.
//!
//! **Loads** run detached from the requests that began them, at most `cache.loads_max` at once and each for
//! `cache.load_timeout_ms` at most; who asks for the same meanwhile waits for the same ([`loading`],
//! [`flights`]), unless something of it was told since that load began.
//!
//! If the database cannot answer, a copy that has become doubtful is given, marked as stale, while it is
//! not too old ([`staleness`]); one that was told to be out of date is not, and so no deleted text.

mod batch;
pub mod copy;
mod finding;
mod flights;
pub mod key;
pub mod least;
mod ledger;
mod loading;
mod local;
mod metrics;
mod progress;
pub mod reads;
mod replica_pages;
mod settings;
mod shared;
mod staleness;
pub mod stats;
mod tag;
mod told;
pub mod version;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use tokio::sync::{Semaphore, watch};

use self::copy::{Copy, Loaded};
use self::finding::Found;
use self::flights::Flights;
use self::key::Key;
use self::least::{Least, Standing, stands};
use self::ledger::Ledger;
use self::loading::Boarded;
use self::local::Local;
use self::metrics::{BEHIND, COALESCED, LOADS, STALE};
use self::settings::Settings;
use self::shared::SharedPages;
pub use self::tag::Tag;
use crate::config::Config;
use crate::metric::{CACHE_HITS, CACHE_MISSES};
use crate::protocol::cursor::Position;
use crate::protocol::id::RoomId;
use crate::protocol::text::Slug;
use crate::redis::Client;
use crate::store::replicas::Replicas;
use crate::store::{Store, StoreError};

/// Slugs whose rooms are remembered.
const SLUGS_MAX: u64 = 10_000;

/// A load that is over is noticed within this time.
const LANDING: Duration = Duration::from_millis(500);

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CacheError {
    /// The database could not answer.
    #[error(transparent)]
    Store(Arc<StoreError>),
    /// It did not answer in time.
    #[error("what was asked for was not read in time")]
    Timeout,
    /// Too much is being read.
    #[error("too much is being read at once")]
    Overloaded,
    /// The client says that it has seen what is not there.
    #[error("the cursor is beyond the end of the room's log")]
    Ahead,
    /// A defect: the load has panicked.
    #[error("a load has failed")]
    Failed,
}

impl CacheError {
    /// Whether the same may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::Timeout | Self::Overloaded => true,
            Self::Ahead | Self::Failed => false,
        }
    }
}

impl From<StoreError> for CacheError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

type Outcome = Result<Option<Arc<Copy>>, CacheError>;

/// How an answer came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// By a fresh copy.
    Hit,
    /// It was read for this request.
    Miss,
    /// It was read for another one, which asked for the same.
    Coalesced,
    /// By a copy that is not fresh.
    Stale,
}

impl How {
    /// As it stands in `X-Cache`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "HIT",
            Self::Miss => "MISS",
            Self::Coalesced => "COALESCED",
            Self::Stale => "STALE",
        }
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What was asked for.
    pub copy: Arc<Copy>,
    /// How it came about.
    pub how: How,
}

/// The copies. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cache {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    ledger: RwLock<Ledger>,
    local: Local,
    flights: Arc<Flights>,
    turns: Arc<Semaphore>,
    slugs: moka::sync::Cache<Slug, RoomId>,
    /// When all heads were last found as they are known, milliseconds since `started`.
    compared_ms: AtomicU64,
    started: Instant,
    outages: Option<watch::Receiver<bool>>,
    shared: Option<SharedPages>,
    replicas: Replicas,
}

impl Cache {
    /// Empty.
    #[must_use]
    pub fn new(
        config: &Config,
        store: &Store,
        replicas: &Replicas,
        redis: Option<&Client>,
    ) -> Self {
        let shared = redis.and_then(|client| SharedPages::new(client.clone(), config));
        let outages = Some(store.outages());
        Self::beside(Settings::new(config), outages, shared, replicas.clone())
    }

    #[cfg(test)]
    fn with(
        settings: Settings,
        outages: Option<watch::Receiver<bool>>,
        shared: Option<SharedPages>,
    ) -> Self {
        Self::beside(settings, outages, shared, Replicas::default())
    }

    fn beside(
        settings: Settings,
        outages: Option<watch::Receiver<bool>>,
        shared: Option<SharedPages>,
        replicas: Replicas,
    ) -> Self {
        let local = Local::new(settings.local_bytes, settings.lives());
        Self {
            inner: Arc::new(Inner {
                ledger: RwLock::new(Ledger::new(settings.rooms_max)),
                local,
                flights: Arc::default(),
                slugs: moka::sync::Cache::builder()
                    .max_capacity(SLUGS_MAX)
                    .time_to_live(settings.names)
                    .build(),
                turns: Arc::new(Semaphore::new(settings.loads_max)),
                compared_ms: AtomicU64::new(0),
                started: Instant::now(),
                outages,
                shared,
                replicas,
                settings,
            }),
        }
    }

    /// What `key` names, at least as new as what the client has seen: a copy, or what `load` reads. None
    /// if there is no such thing. `load` may be called more than once.
    pub async fn get<L, F>(
        &self,
        key: Key,
        least: &Least,
        load: L,
    ) -> Result<Option<Answer>, CacheError>
    where
        L: Fn() -> F,
        F: Future<Output = Result<Option<Loaded>, CacheError>> + Send + 'static,
    {
        let seen = key.room().and_then(|room| least.of(room));
        let kind = key.kind();
        let found = self.inner.look(&key, seen);
        match &found {
            Found::Fresh(copy) => {
                CACHE_HITS.with_label_values(&[kind.name()]).inc();
                let (copy, how) = (Arc::clone(copy), How::Hit);
                return Ok(Some(Answer { copy, how }));
            }
            Found::Aged(copy) => {
                CACHE_HITS.with_label_values(&[kind.name()]).inc();
                STALE.with_label_values(&[kind.name(), "aged"]).inc();
                // Whoever asks next finds what this reads.
                self.inner.board(&key, seen, 0, &load);
                let (copy, how) = (Arc::clone(copy), How::Stale);
                return Ok(Some(Answer { copy, how }));
            }
            Found::Reserve(_) | Found::Nothing => {}
        }
        CACHE_MISSES.with_label_values(&[kind.name()]).inc();
        match self.read(&key, seen, &load).await {
            Err(error) if error.is_retryable() => match found {
                Found::Reserve(copy) => {
                    STALE.with_label_values(&[kind.name(), "error"]).inc();
                    let how = How::Stale;
                    Ok(Some(Answer { copy, how }))
                }
                _ => Err(error),
            },
            outcome => outcome,
        }
    }

    /// By a load, of others or of one's own.
    async fn read<L, F>(
        &self,
        key: &Key,
        seen: Option<Position>,
        load: &L,
    ) -> Result<Option<Answer>, CacheError>
    where
        L: Fn() -> F,
        F: Future<Output = Result<Option<Loaded>, CacheError>> + Send + 'static,
    {
        let inner = &self.inner;
        // A load that begins from now on has read all that the client has seen.
        let own = inner.flights.next_number();
        let mut least_number = if key.kind().is_for_reserve() { own } else { 0 };
        loop {
            let (flight, how) = match inner.board(key, seen, least_number, load) {
                Boarded::On(flight, how) => (flight, how),
                Boarded::Landed(copy) => {
                    let how = How::Coalesced;
                    return Ok(Some(Answer { copy, how }));
                }
                Boarded::Refused => {
                    let labels = [key.kind().name(), "overloaded"];
                    LOADS.with_label_values(&labels).inc();
                    return Err(CacheError::Overloaded);
                }
            };
            if how == How::Coalesced {
                COALESCED.with_label_values(&[key.kind().name()]).inc();
            }
            // The load's own end comes first.
            let limit = inner.settings.load_timeout + LANDING;
            let landed = tokio::time::timeout(limit, flight.landed());
            let copy = landed.await.unwrap_or(Err(CacheError::Timeout))?;
            let is_late = flight.number >= own;
            let Some(copy) = copy else {
                if is_late || seen.is_none() {
                    return Ok(None);
                }
                least_number = own;
                continue;
            };
            let standing = seen.map_or(Standing::Reaches, |seen| stands(copy.version, seen));
            match standing {
                Standing::Behind if is_late && !copy.is_shared => {
                    return Err(CacheError::Ahead);
                }
                // Perhaps it began before that happened, or for somebody who has seen less.
                Standing::Behind | Standing::Elsewhere if !is_late || copy.is_shared => {
                    BEHIND.inc();
                    least_number = own.max(flight.number + 1);
                }
                _ => return Ok(Some(Answer { copy, how })),
            }
        }
    }
}

#[cfg(test)]
mod tests;
