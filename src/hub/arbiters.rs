//! The threads that rooms, presence and the journal run on, apart from those of the connections.

use actix::{Arbiter, ArbiterHandle};

use crate::hub::journal::index_of;
use crate::protocol::id::RoomId;

/// A fixed number of arbiters, and one of its own for the hub actor.
#[derive(Debug)]
pub(crate) struct Arbiters {
    hub: Arbiter,
    shared: Vec<ArbiterHandle>,
    owned: Vec<Arbiter>,
}

impl Arbiters {
    /// Starts `count` arbiters; within a running actix system.
    pub(crate) fn start(count: usize) -> Self {
        let owned: Vec<_> = (0..count.max(1)).map(|_| Arbiter::new()).collect();
        Self {
            hub: Arbiter::new(),
            shared: owned.iter().map(Arbiter::handle).collect(),
            owned,
        }
    }

    /// The hub actor's own.
    pub(crate) fn hub(&self) -> ArbiterHandle {
        self.hub.handle()
    }

    /// A room's, by hash.
    pub(crate) fn of_room(&self, room: RoomId) -> &ArbiterHandle {
        &self.shared[index_of(room, self.shared.len())]
    }

    /// One for the `number`th of something.
    pub(crate) fn by_number(&self, number: usize) -> &ArbiterHandle {
        &self.shared[number % self.shared.len()]
    }

    /// Ends them all.
    pub(crate) fn stop(&self) {
        for arbiter in &self.owned {
            arbiter.stop();
        }
        self.hub.stop();
    }
}
