//! When to look at the threads. Pure.

use super::Millis;

/// How often an idle node is looked at: each look is a wake-up.
const IDLE: Millis = 1000;

/// A thread that begins less than so much in a second is next to idle. What the node does by
/// itself, once or a few times a second, is far below.
const CALM: u64 = 100;

/// Work that has ended may go on: the node is taken for idle after so long.
const LINGER: Millis = 2000;

/// Often while there is work, seldom while there is next to none.
#[derive(Debug)]
pub(super) struct Pace {
    busy: Millis,
    looked: Option<(Millis, u64)>,
    /// When there was work.
    worked: Option<Millis>,
}

impl Pace {
    /// While there is work there are two looks in a stall.
    pub(super) fn new(stall: Millis) -> Self {
        Self {
            busy: (stall / 2).max(1),
            looked: None,
            worked: None,
        }
    }

    /// How long to wait for the next look. `begun` is what the busiest thread has begun since the
    /// last one; `is_busy`: a thread is in the midst of something.
    pub(super) fn next(&mut self, now: Millis, begun: u64, is_busy: bool) -> Millis {
        let (since, sum) = self.looked.unwrap_or((now, 0));
        let (past, sum) = (now.saturating_sub(since), sum + begun);
        if sum >= CALM {
            self.worked = Some(now);
        }
        // Counted anew each second.
        self.looked = Some(if past >= 1000 || sum >= CALM {
            (now, 0)
        } else {
            (since, sum)
        });
        let lingers = self.worked.is_some_and(|at| now < at + LINGER);
        // What a thread is in the midst of may be the beginning of a stall.
        if lingers || is_busy { self.busy } else { IDLE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_node_is_looked_at_once_a_second() {
        let mut pace = Pace::new(50);
        for second in 0..100 {
            assert_eq!(pace.next(second * 1000, 20, false), IDLE);
        }
    }

    #[test]
    fn work_is_looked_at_closely_and_for_a_while_after() {
        let mut pace = Pace::new(50);
        assert_eq!(pace.next(0, 0, false), IDLE);
        assert_eq!(pace.next(1000, 5000, false), 25);
        let mut now = 1025;
        while pace.next(now, 0, false) == 25 {
            now += 25;
        }
        assert_eq!(now, 1000 + LINGER);
    }

    #[test]
    fn little_at_a_time_adds_up() {
        let mut pace = Pace::new(50);
        pace.next(0, 1000, false);
        for look in 1..1000 {
            assert_eq!(pace.next(look * 25, 4, false), 25, "160 a second");
        }
    }

    #[test]
    fn what_may_be_a_stall_is_looked_at_again_soon() {
        let mut pace = Pace::new(50);
        assert_eq!(pace.next(0, 1, true), 25);
        assert_eq!(pace.next(25, 0, true), 25, "for as long as it lasts");
        assert_eq!(pace.next(50, 0, false), IDLE);
    }
}
