//! How the hub learns that an actor has panicked, and how often it starts it again.
//!
//! `actix::Supervisor` does not survive a panic, so each actor that the hub must recreate holds a
//! [`Guard`]: when a panic takes the actor away, the guard is dropped with it and says so.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::hub::metrics::OVERFLOWS;
use crate::protocol::id::RoomId;

/// An actor that is recreated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ActorId {
    /// The hub actor itself.
    Hub,
    /// A room's actor on this node.
    Room(RoomId),
    /// A presence shard.
    Presence(usize),
    /// A writer of the journal.
    Writer(usize),
    /// A lane of the bridge to other nodes.
    Bridge(usize),
    /// The comparison of heads.
    AntiEntropy,
}

impl ActorId {
    /// The kind of actor, as metrics label it.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::Room(_) => "room",
            Self::Presence(_) => "presence",
            Self::Writer(_) => "writer",
            Self::Bridge(_) => "bridge",
            Self::AntiEntropy => "anti_entropy",
        }
    }
}

/// Which of the actors that bore an id one after the other.
pub(crate) type Life = u64;

/// An actor has panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Down {
    /// Which.
    pub(crate) id: ActorId,
    /// A report may come late, or twice: it counts for this life only.
    pub(crate) life: Life,
}

/// Places among the waiting reports that rooms do not take.
const RESERVED: usize = 256;

/// Held by an actor for its life.
#[derive(Debug)]
pub(crate) struct Guard {
    down: Down,
    reports: mpsc::Sender<Down>,
}

impl Guard {
    /// A guard that reports to `reports`.
    pub(crate) fn new(id: ActorId, life: Life, reports: mpsc::Sender<Down>) -> Self {
        Self {
            down: Down { id, life },
            reports,
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // An actor that ends in any other way was meant to. `Actor::stopped` cannot tell: actix
        // calls it for one that panics, too, while it is dropped.
        if !std::thread::panicking() {
            return;
        }
        // A dead room is also noticed when it is next asked for, or its head is compared: rooms
        // leave some places to the others, whose end nobody else notices.
        let is_room = matches!(self.down.id, ActorId::Room(_));
        let has_place = !is_room || self.reports.capacity() > RESERVED;
        if !has_place || self.reports.try_send(self.down).is_err() {
            OVERFLOWS.with_label_values(&["reports"]).inc();
            tracing::warn!(actor = ?self.down.id, "a report that an actor panicked was lost");
        }
    }
}

/// Limits restarts: at most `max` within `window`, so that an actor that cannot live does not
/// burn the node's time.
#[derive(Debug)]
pub(crate) struct Intensity {
    limits: RestartLimits,
    restarts: VecDeque<Instant>,
}

/// Bounds of restarts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RestartLimits {
    pub(crate) max: u32,
    pub(crate) window: Duration,
}

/// When an actor may be started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restart {
    /// At once, or after this time.
    After(Duration),
    /// It has had all the restarts of the window; after this time it may have another.
    TooMany(Duration),
}

/// The pause before the third restart in a window; each later one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Intensity {
    /// Within these limits.
    pub(crate) fn new(limits: RestartLimits) -> Self {
        Self {
            limits,
            restarts: VecDeque::new(),
        }
    }

    /// When to start the actor that has just ended; that restart is counted. The first two of a
    /// window are at once: a single bad event must not be felt.
    pub(crate) fn restart(&mut self, now: Instant) -> Restart {
        self.forget_before(now);
        let earlier = self.restarts.len();
        if earlier >= self.limits.max as usize {
            let oldest = self.restarts.front().copied().unwrap_or(now);
            let wait = self.limits.window.saturating_sub(now - oldest);
            return Restart::TooMany(wait);
        }
        self.restarts.push_back(now);
        let Some(doublings) = earlier.checked_sub(2) else {
            return Restart::After(Duration::ZERO);
        };
        let factor = 1 << doublings.min(16);
        Restart::After((FIRST_PAUSE * factor).min(LONGEST_PAUSE))
    }

    /// Whether nothing of the past bears on the next restart.
    pub(crate) fn is_calm(&mut self, now: Instant) -> bool {
        self.forget_before(now);
        self.restarts.is_empty()
    }

    fn forget_before(&mut self, now: Instant) {
        let window = self.limits.window;
        let is_old = |&at: &Instant| now.saturating_duration_since(at) >= window;
        while self.restarts.front().is_some_and(is_old) {
            self.restarts.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_tells_a_panic_from_an_end() {
        let (reports, mut downs) = mpsc::channel(2);
        drop(Guard::new(ActorId::Writer(1), 1, reports.clone()));
        assert!(downs.try_recv().is_err());
        let guard = Guard::new(ActorId::Bridge(0), 7, reports);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _guard = guard;
            panic!("as an actor does");
        }));
        assert!(panicked.is_err());
        let (id, life) = (ActorId::Bridge(0), 7);
        assert_eq!(downs.try_recv(), Ok(Down { id, life }));
    }

    #[test]
    fn rooms_leave_places_to_the_others() {
        let (reports, mut downs) = mpsc::channel(RESERVED + 1);
        let mut panicking = Vec::new();
        for life in 1..=2 {
            let id = ActorId::Room(RoomId::generate());
            panicking.push(Guard::new(id, life, reports.clone()));
        }
        panicking.push(Guard::new(ActorId::Bridge(0), 3, reports));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _panicking = panicking;
            panic!("as an actor does");
        }));
        assert!(panicked.is_err());
        assert_eq!(downs.try_recv().map(|down| down.life), Ok(1));
        assert_eq!(downs.try_recv().map(|down| down.life), Ok(3));
    }

    #[test]
    fn restarts_slow_down_and_are_limited_within_the_window() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let ms = |ms| Restart::After(Duration::from_millis(ms));
        let mut intensity = Intensity::new(RestartLimits {
            max: 4,
            window: Duration::from_secs(10),
        });
        let answers = [0, 1, 2, 3].map(|s| intensity.restart(at(s)));
        assert_eq!(answers, [ms(0), ms(0), ms(10), ms(20)]);
        let wait = Restart::TooMany(Duration::from_secs(6));
        assert_eq!(intensity.restart(at(4)), wait);
        assert_eq!(intensity.restart(at(10)), ms(20), "the first is forgotten");
        assert!(!intensity.is_calm(at(19)));
        assert!(intensity.is_calm(at(20)));
    }

    #[test]
    fn pauses_have_a_longest() {
        let mut intensity = Intensity::new(RestartLimits {
            max: 10_000,
            window: Duration::from_secs(10),
        });
        let now = Instant::now();
        for _ in 0..100 {
            intensity.restart(now);
        }
        assert_eq!(intensity.restart(now), Restart::After(LONGEST_PAUSE));
    }
}
