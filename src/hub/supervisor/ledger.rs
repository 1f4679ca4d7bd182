//! What the hub actor knows of the others' lives. It stays when the hub actor itself panics. Pure.

use std::collections::HashMap;
use std::time::Instant;

use crate::hub::supervision::{ActorId, Down, Intensity, Life, Restart, RestartLimits};
use crate::protocol::id::RoomId;

/// Who lives, who waits to be started again, and how often each has been.
#[derive(Debug)]
pub(super) struct Ledger {
    limits: RestartLimits,
    last_life: Life,
    /// The actors that there are a fixed number of; rooms are in the registry.
    lives: HashMap<ActorId, Life>,
    /// For each kind of those.
    kinds: HashMap<&'static str, Intensity>,
    /// For each room that has panicked within the window.
    rooms: HashMap<RoomId, Intensity>,
    waiting: HashMap<ActorId, Wait>,
}

/// An actor that is not started yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait {
    /// When it may be.
    pub(super) until: Instant,
    /// It has had all the restarts that it may have: whoever wants it is refused meanwhile.
    pub(super) is_given_up: bool,
}

impl Ledger {
    pub(super) fn new(limits: RestartLimits) -> Self {
        Self {
            limits,
            last_life: 0,
            lives: HashMap::new(),
            kinds: HashMap::new(),
            rooms: HashMap::new(),
            waiting: HashMap::new(),
        }
    }

    /// A number for an actor that is being started, which no other has had.
    pub(super) fn next_life(&mut self) -> Life {
        self.last_life += 1;
        self.last_life
    }

    /// An actor of a fixed number lives. None if it did already.
    pub(super) fn begin(&mut self, id: ActorId) -> Option<Life> {
        if self.lives.contains_key(&id) {
            return None;
        }
        self.waiting.remove(&id);
        let life = self.next_life();
        self.lives.insert(id, life);
        Some(life)
    }

    /// An actor of a fixed number has ended. False if it was not the one that lives.
    pub(super) fn end(&mut self, down: Down) -> bool {
        let is_it = self.lives.get(&down.id) == Some(&down.life);
        if is_it {
            self.lives.remove(&down.id);
        }
        is_it
    }

    /// When to start an actor again; it waits until then, unless that is now.
    pub(super) fn restart(&mut self, id: ActorId, now: Instant) -> Restart {
        let limits = self.limits;
        let intensity = match id {
            ActorId::Room(room) => {
                self.rooms.retain(|_, intensity| !intensity.is_calm(now));
                self.rooms
                    .entry(room)
                    .or_insert_with(|| Intensity::new(limits))
            }
            _ => self
                .kinds
                .entry(id.kind())
                .or_insert_with(|| Intensity::new(limits)),
        };
        let restart = intensity.restart(now);
        let (pause, is_given_up) = match restart {
            Restart::After(pause) => (pause, false),
            Restart::TooMany(pause) => (pause, true),
        };
        if !pause.is_zero() {
            let until = now + pause;
            self.waiting.insert(id, Wait { until, is_given_up });
        }
        restart
    }

    /// Whether an actor waits to be started.
    pub(super) fn wait_of(&self, id: ActorId) -> Option<Wait> {
        self.waiting.get(&id).copied()
    }

    /// All that wait.
    pub(super) fn waits(&self) -> Vec<(ActorId, Wait)> {
        self.waiting.iter().map(|(id, wait)| (*id, *wait)).collect()
    }

    /// It waits no longer. False if it did not.
    pub(super) fn end_wait(&mut self, id: ActorId) -> bool {
        self.waiting.remove(&id).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ledger() -> Ledger {
        Ledger::new(RestartLimits {
            max: 3,
            window: Duration::from_secs(10),
        })
    }

    #[test]
    fn a_report_counts_for_one_life() {
        let mut ledger = ledger();
        let id = ActorId::Writer(0);
        let life = ledger.begin(id).unwrap();
        assert_eq!(ledger.begin(id), None, "it lives");
        assert!(ledger.end(Down { id, life }));
        assert!(!ledger.end(Down { id, life }), "told twice");
        let next = ledger.begin(id).unwrap();
        assert!(!ledger.end(Down { id, life }), "told late");
        assert!(ledger.end(Down { id, life: next }));
    }

    #[test]
    fn rooms_are_limited_one_by_one_and_wait() {
        let mut ledger = ledger();
        let now = Instant::now();
        let (bad, good) = (RoomId::generate(), RoomId::generate());
        let id = ActorId::Room(bad);
        let at_once = Restart::After(Duration::ZERO);
        assert_eq!(ledger.restart(id, now), at_once);
        assert_eq!(ledger.restart(id, now), at_once);
        assert_eq!(ledger.wait_of(id), None);
        let pause = Duration::from_millis(10);
        assert_eq!(ledger.restart(id, now), Restart::After(pause));
        assert!(!ledger.wait_of(id).unwrap().is_given_up);
        assert!(ledger.end_wait(id));
        let window = Duration::from_secs(10);
        assert_eq!(ledger.restart(id, now), Restart::TooMany(window));
        let until = now + window;
        let is_given_up = true;
        assert_eq!(ledger.waits(), [(id, Wait { until, is_given_up })]);
        assert_eq!(ledger.restart(ActorId::Room(good), now), at_once);
        ledger.restart(ActorId::Room(good), until + window);
        assert_eq!(ledger.rooms.len(), 1, "calm ones are forgotten");
    }
}
