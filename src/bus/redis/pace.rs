//! How often the bus's thread looks at its sockets.
//!
//! A message is little work and three wake-ups: to write it, to read the answer, to read what comes
//! back. While messages follow each other closely the thread rests for a moment before it waits
//! again, so that what gathers meanwhile is written with one write and read with one read, and the
//! threads behind it are woken once for all of it. Whatever comes alone is not held up.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// When to rest, and for how long.
#[derive(Debug)]
struct Pace {
    window: Duration,
    /// When it last began to wait for something to do.
    waits_since: Option<Instant>,
}

impl Pace {
    fn new(window: Duration) -> Self {
        Self {
            window,
            waits_since: None,
        }
    }

    /// There is nothing left to do at `now`. How long to rest before waiting again: not at all if
    /// nothing had come for as long as a rest is.
    fn rest(&mut self, now: Instant) -> Option<Duration> {
        let waited = self.waits_since.map(|since| now.duration_since(since));
        let is_busy = waited.is_some_and(|waited| waited < self.window);
        let rest = is_busy.then_some(self.window);
        self.waits_since = Some(now + rest.unwrap_or_default());
        rest
    }
}

/// What a runtime's thread does before it waits, if it may gather for that long; nothing but
/// sockets may depend on that thread.
pub(super) fn resting(window: Duration) -> impl Fn() + Send + Sync + 'static {
    let pace = Mutex::new(Pace::new(window));
    move || {
        if window.is_zero() {
            return;
        }
        let rest = pace.lock().rest(Instant::now());
        if let Some(rest) = rest {
            #[expect(
                clippy::disallowed_methods,
                reason = "to gather is what it is for; a timer of the runtime is no finer than 1 ms"
            )]
            std::thread::sleep(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_micros(500);

    #[test]
    fn what_comes_alone_is_not_held_up() {
        let mut pace = Pace::new(WINDOW);
        let mut now = Instant::now();
        for _ in 0..10 {
            assert_eq!(pace.rest(now), None);
            now += WINDOW;
        }
    }

    #[test]
    fn what_follows_closely_is_gathered_until_it_ends() {
        let mut pace = Pace::new(WINDOW);
        let mut now = Instant::now();
        let work = Duration::from_micros(20);
        assert_eq!(pace.rest(now), None);
        for _ in 0..10 {
            // Woken at once after each rest, as something had gathered.
            now += work;
            assert_eq!(pace.rest(now), Some(WINDOW));
            now += WINDOW;
        }
        // Nothing had, and the next comes late.
        now += WINDOW + work;
        assert_eq!(pace.rest(now), None);
    }
}
