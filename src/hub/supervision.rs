//! How the hub learns that an actor has ended.
//!
//! `actix::Supervisor` does not survive a panic, so each actor that the hub must recreate holds a
//! [`Guard`]: when the actor goes, however it goes, the guard is dropped and says so.

use tokio::sync::mpsc;

use crate::protocol::id::RoomId;

/// An actor that the hub recreates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ActorId {
    /// A room's actor on this node.
    Room(RoomId),
    /// A presence shard.
    Presence(usize),
    /// A writer of the journal.
    Writer(usize),
    /// The bridge to other nodes.
    Bridge,
}

impl ActorId {
    /// The kind of actor, as metrics label it.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Room(_) => "room",
            Self::Presence(_) => "presence",
            Self::Writer(_) => "writer",
            Self::Bridge => "bridge",
        }
    }
}

/// An actor has ended that was not meant to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Down {
    /// Which.
    pub(crate) id: ActorId,
}

/// Held by an actor for its life.
#[derive(Debug)]
pub(crate) struct Guard {
    id: ActorId,
    reports: mpsc::Sender<Down>,
    finished: bool,
}

impl Guard {
    /// A guard that reports to `reports`.
    pub(crate) fn new(id: ActorId, reports: mpsc::Sender<Down>) -> Self {
        Self {
            id,
            reports,
            finished: false,
        }
    }

    /// The actor ends because it is meant to.
    pub(crate) fn finish(&mut self) {
        self.finished = true;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let down = Down { id: self.id };
        // Full or closed: the hub notices a dead room when it is next asked for, and is itself
        // going down in the other case.
        if self.reports.try_send(down).is_err() {
            tracing::debug!(id = ?self.id, "nobody hears that an actor ended");
        }
    }
}

/// Limits restarts: at most `max` within `window`, so that an actor that cannot live does not
/// burn the node's time.
#[derive(Debug)]
pub(crate) struct Intensity {
    max: usize,
    window: std::time::Duration,
    restarts: std::collections::VecDeque<std::time::Instant>,
}

impl Intensity {
    /// At most `max` restarts within `window`.
    pub(crate) fn new(max: u32, window: std::time::Duration) -> Self {
        Self {
            max: max as usize,
            window,
            restarts: std::collections::VecDeque::new(),
        }
    }

    /// Whether another restart is allowed now; if so it counts.
    pub(crate) fn allow(&mut self, now: std::time::Instant) -> bool {
        while let Some(&first) = self.restarts.front() {
            if now.duration_since(first) < self.window {
                break;
            }
            self.restarts.pop_front();
        }
        let allowed = self.restarts.len() < self.max;
        if allowed {
            self.restarts.push_back(now);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_guard_tells_an_end_from_a_panic() {
        let (reports, mut downs) = mpsc::channel(2);
        let mut guard = Guard::new(ActorId::Writer(1), reports.clone());
        guard.finish();
        drop(guard);
        drop(Guard::new(ActorId::Bridge, reports));
        let id = ActorId::Bridge;
        assert_eq!(downs.try_recv(), Ok(Down { id }));
        assert!(downs.try_recv().is_err());
    }

    #[test]
    fn restarts_are_limited_within_the_window() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut intensity = Intensity::new(2, Duration::from_secs(10));
        assert!(intensity.allow(at(0)));
        assert!(intensity.allow(at(1)));
        assert!(!intensity.allow(at(2)));
        assert!(intensity.allow(at(10)));
        assert!(!intensity.allow(at(10)));
    }
}
