//! Loads: who asks for the same shares one, and what it has read is kept if it may be.

use std::sync::Arc;
use std::time::Instant;

use super::copy::{Copy, Loaded};
use super::finding::Found;
use super::flights::{Boarding, Flight, Landing};
use super::key::Key;
use super::local::Filled;
use super::metrics::{LOAD_SECONDS, LOADS, ROOMS};
use super::tag::Tag;
use super::{CacheError, How, Inner};
use crate::fault;
use crate::protocol::cursor::Position;

/// What one who asks waits for.
pub(super) enum Boarded {
    /// A load, others' or one's own.
    On(Arc<Flight>, How),
    /// Nothing.
    Landed(Arc<Copy>),
    /// There are too many loads.
    Refused,
}

impl Inner {
    /// A load of this key, at least of this number: one that is under way, or a new one.
    pub(super) fn board<L, F>(
        self: &Arc<Self>,
        key: &Key,
        seen: Option<Position>,
        least_number: u64,
        load: &L,
    ) -> Boarded
    where
        L: Fn() -> F,
        F: Future<Output = Result<Option<Loaded>, CacheError>> + Send + 'static,
    {
        let tags = key.tags();
        let will_do = |flight: &Flight| {
            flight.number >= least_number
                && flight.may_keep
                && self.ledger.read().may_fill(&tags, flight.began)
        };
        let landed = || match self.look(key, seen) {
            Found::Fresh(copy) if least_number == 0 => Some(copy),
            _ => None,
        };
        let begin = || {
            let mut ledger = self.ledger.write();
            let began = ledger.begin(key.room(), self.now_ms());
            ROOMS.set(i64::try_from(ledger.rooms()).unwrap_or(i64::MAX));
            (began.unwrap_or_default(), began.is_some())
        };
        let most = self.settings.loads_waiting_max;
        match self.flights.board(key, most, will_do, landed, begin) {
            Boarding::Joined(flight) => Boarded::On(flight, How::Coalesced),
            Boarding::Landed(copy) => Boarded::Landed(copy),
            Boarding::Began(flight, landing) => {
                tokio::spawn(Arc::clone(self).fly(key.clone(), tags, landing, load()));
                Boarded::On(flight, How::Miss)
            }
            Boarding::Full => Boarded::Refused,
        }
    }

    /// Loads, and keeps what was read if it may be.
    async fn fly<F>(self: Arc<Self>, key: Key, tags: Vec<Tag>, landing: Landing, load: F)
    where
        F: Future<Output = Result<Option<Loaded>, CacheError>> + Send + 'static,
    {
        let started = Instant::now();
        let kind = key.kind().name();
        let reading = async {
            let turn = Arc::clone(&self.turns).acquire_owned().await;
            let read = load.await;
            drop(turn);
            read
        };
        let read = tokio::time::timeout(self.settings.load_timeout, reading).await;
        let (outcome, label) = match read {
            Err(_) => (Err(CacheError::Timeout), "timeout"),
            Ok(Err(error)) => (Err(error), "failed"),
            Ok(Ok(None)) => (Ok(None), "absent"),
            Ok(Ok(Some(loaded))) => {
                // Where a test holds up what was read.
                fault::point!("cache.load.read");
                let (copy, label) = self.keep(key, tags, landing.flight(), loaded);
                (Ok(Some(copy)), label)
            }
        };
        LOADS.with_label_values(&[kind, label]).inc();
        LOAD_SECONDS
            .with_label_values(&[kind])
            .observe(started.elapsed().as_secs_f64());
        landing.land(outcome);
    }

    fn keep(
        &self,
        key: Key,
        tags: Vec<Tag>,
        flight: &Flight,
        loaded: Loaded,
    ) -> (Arc<Copy>, &'static str) {
        let room = key.room();
        let copy = Arc::new(Copy {
            version: loaded.version,
            object: loaded.object,
            tags: loaded.tags.unwrap_or(tags),
            began: flight.began,
            loaded_at: Instant::now(),
            good_for: loaded.good_for,
            is_shared: loaded.is_shared,
            jitter: rand::random(),
        });
        if !flight.may_keep {
            return (copy, "unfollowed");
        }
        if let Some(room) = room {
            self.ledger.write().read(room, flight.began, loaded.version);
        }
        // Nothing is told while this is held: it is before all of it, or after.
        let ledger = self.ledger.read();
        if !ledger.may_fill(&copy.tags, flight.began)
            || !ledger.holds(&copy.tags, flight.began, copy.version)
        {
            return (copy, "outdated");
        }
        let filled = self.local.put(key, &copy);
        drop(ledger);
        let label = match filled {
            Filled::Kept => "filled",
            Filled::Older => "older",
        };
        (copy, label)
    }
}
