//! Loads under way: who asks for the same at the same time shares one.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::copy::Copy;
use super::key::Key;
use super::ledger::Stamp;
use super::{CacheError, Outcome};

/// A load under way.
#[derive(Debug)]
pub(super) struct Flight {
    /// When it began, in invalidations.
    pub(super) began: Stamp,
    /// When it began, in loads.
    pub(super) number: u64,
    /// Whether what it reads may be kept.
    pub(super) may_keep: bool,
    done: watch::Sender<Option<Outcome>>,
}

impl Flight {
    /// Waits until it has landed.
    pub(super) async fn landed(&self) -> Outcome {
        let mut done = self.done.subscribe();
        match done.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Err(CacheError::Failed)),
            Err(_) => Err(CacheError::Failed),
        }
    }
}

/// All loads under way.
#[derive(Debug, Default)]
pub(super) struct Flights {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    flights: HashMap<Key, Arc<Flight>>,
    /// Those that somebody waits for, beside those that have been replaced in the table.
    under_way: usize,
}

/// What one who asks has to do.
pub(super) enum Boarding {
    /// To wait for this one, which is on its way.
    Joined(Arc<Flight>),
    /// To fly this one.
    Began(Arc<Flight>, Landing),
    /// Nothing: one has landed a moment ago, with this.
    Landed(Arc<Copy>),
    /// There are too many.
    Full,
}

impl Flights {
    /// The number that the next load has at least.
    pub(super) fn next_number(&self) -> u64 {
        self.table.lock().last + 1
    }

    /// Joins a load of this key that `will_do`, or begins one, of at most `max`, unless the last one has
    /// `landed` since the copies were looked at. `begin` says at which stamp, and whether what is read
    /// may be kept.
    pub(super) fn board(
        self: &Arc<Self>,
        key: &Key,
        max: usize,
        will_do: impl Fn(&Flight) -> bool,
        landed: impl FnOnce() -> Option<Arc<Copy>>,
        begin: impl FnOnce() -> (Stamp, bool),
    ) -> Boarding {
        let mut table = self.table.lock();
        if let Some(flight) = table.flights.get(key)
            && will_do(flight)
        {
            return Boarding::Joined(Arc::clone(flight));
        }
        if let Some(copy) = landed() {
            return Boarding::Landed(copy);
        }
        if table.under_way >= max {
            return Boarding::Full;
        }
        table.last += 1;
        table.under_way += 1;
        let (began, may_keep) = begin();
        let flight = Arc::new(Flight {
            began,
            number: table.last,
            may_keep,
            done: watch::Sender::new(None),
        });
        // One that will not do lands for those who wait for it, and nobody else joins it.
        table.flights.insert(key.clone(), Arc::clone(&flight));
        let landing = Landing {
            flights: Arc::clone(self),
            key: key.clone(),
            flight: Arc::clone(&flight),
        };
        Boarding::Began(flight, landing)
    }

    /// How many there are.
    pub(super) fn under_way(&self) -> usize {
        self.table.lock().under_way
    }
}

/// The end of a load, however that comes: who waits is told.
#[derive(Debug)]
pub(super) struct Landing {
    flights: Arc<Flights>,
    key: Key,
    flight: Arc<Flight>,
}

impl Landing {
    pub(super) fn flight(&self) -> &Flight {
        &self.flight
    }

    /// It has this outcome.
    pub(super) fn land(self, outcome: Result<Option<Arc<Copy>>, CacheError>) {
        // Nobody else joins it.
        self.leave();
        self.flight.done.send_replace(Some(outcome));
    }

    fn leave(&self) {
        let mut table = self.flights.table.lock();
        let is_it = |it: &Arc<Flight>| Arc::ptr_eq(it, &self.flight);
        if table.flights.get(&self.key).is_some_and(is_it) {
            table.flights.remove(&self.key);
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.leave();
        self.flights.table.lock().under_way -= 1;
        // It has panicked, or its runtime has ended.
        self.flight.done.send_if_modified(|outcome| {
            let is_lost = outcome.is_none();
            outcome.get_or_insert(Err(CacheError::Failed));
            is_lost
        });
    }
}
