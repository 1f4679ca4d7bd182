//! The worker threads that have connections.

use std::sync::Arc;

use parking_lot::RwLock;

use crate::hub::fanout::{FanoutHandle, FanoutMessage};

/// The threads' fan-outs. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Workers {
    known: Arc<RwLock<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    next_id: usize,
    fanouts: Vec<FanoutHandle>,
}

impl Workers {
    /// Makes a thread known, under an id that no other has had.
    pub(crate) fn register(&self, make: impl FnOnce(usize) -> FanoutHandle) -> FanoutHandle {
        let mut known = self.known.write();
        let fanout = make(known.next_id);
        known.next_id += 1;
        known.fanouts.retain(FanoutHandle::is_alive);
        known.fanouts.push(fanout.clone());
        fanout
    }

    /// The ids of those that live.
    pub(crate) fn ids(&self) -> Vec<usize> {
        let known = self.known.read();
        let living = known.fanouts.iter().filter(|fanout| fanout.is_alive());
        living.map(FanoutHandle::id).collect()
    }

    /// Sends the thread of that id a message, if it lives.
    pub(crate) fn send_to(&self, id: usize, message: impl FnOnce() -> FanoutMessage) {
        let known = self.known.read();
        if let Some(fanout) = known.fanouts.iter().find(|it| it.id() == id) {
            fanout.send(message());
        }
    }

    /// Sends each of them a message.
    pub(crate) fn send(&self, message: impl Fn() -> FanoutMessage) {
        for fanout in &self.known.read().fanouts {
            fanout.send(message());
        }
    }
}
