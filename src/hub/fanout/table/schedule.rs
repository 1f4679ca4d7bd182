//! Who is written to next: rooms, in turns. Pure.
//!
//! In one pass of the thread's loop a bounded number of units is spent, a unit being about the cost
//! of one small write, or the time that such a write usually takes if that comes to more. Whoever has little to do is done in its first turn and goes before all who
//! have much, for whom a quarter of each pass is set aside. So neither waits for long: a small room
//! for the small ones before it, whatever a huge room has to do, and a huge room goes on however
//! many small ones there are.

use std::collections::VecDeque;
use std::time::Duration;

/// What one pass of the loop spends: about a millisecond, after which sockets are read again.
pub(super) const PASS_UNITS: usize = 256;

/// The time that a unit stands for. Where writes take longer, fewer of them go into a pass.
const UNIT: Duration = Duration::from_micros(4);

/// What one turn spends. Who needs more than that has much to do.
pub(super) const TURN_UNITS: usize = 64;

/// Those who have something to do, `K` being what they are known by.
#[derive(Debug)]
pub(super) struct Schedule<K> {
    small: VecDeque<K>,
    large: VecDeque<K>,
    /// What is left of the pass.
    left: usize,
    /// Has one who has much to do had a turn in this pass?
    is_large_served: bool,
}

impl<K: Copy + PartialEq> Schedule<K> {
    pub(super) const fn new() -> Self {
        Self {
            small: VecDeque::new(),
            large: VecDeque::new(),
            left: 0,
            is_large_served: false,
        }
    }

    /// Whether nobody has anything to do.
    pub(super) fn is_empty(&self) -> bool {
        self.small.is_empty() && self.large.is_empty()
    }

    /// One more, that was not here, has about so many units to do.
    pub(super) fn add(&mut self, key: K, units: usize) {
        if units > TURN_UNITS {
            self.large.push_back(key);
        } else {
            self.small.push_back(key);
        }
    }

    /// One has nothing to do any more.
    pub(super) fn remove(&mut self, key: K) {
        self.small.retain(|it| *it != key);
        self.large.retain(|it| *it != key);
    }

    /// A pass begins.
    pub(super) fn begin_pass(&mut self) {
        self.left = PASS_UNITS;
        self.is_large_served = false;
    }

    /// Whose turn it is in this pass, and how many units it may spend. It is not here any more: if
    /// it is not done in its turn it is added again.
    pub(super) fn turn(&mut self) -> Option<(K, usize)> {
        let is_large_due = !self.is_large_served && self.left <= TURN_UNITS;
        // A turn that took too long may have used up their share, too.
        if self.left == 0 && (self.is_large_served || self.large.is_empty()) {
            return None;
        }
        let small = if is_large_due && !self.large.is_empty() {
            None
        } else {
            self.small.pop_front()
        };
        let key = if let Some(key) = small {
            key
        } else {
            self.is_large_served = true;
            self.large.pop_front()?
        };
        let units = match self.left {
            0 => TURN_UNITS,
            left => left.min(TURN_UNITS),
        };
        Some((key, units))
    }

    /// So much was spent in a turn, in units and in time.
    pub(super) fn spent(&mut self, units: usize, time: Duration) {
        let by_time = time.as_nanos() / UNIT.as_nanos();
        let by_time = usize::try_from(by_time).unwrap_or(usize::MAX);
        // A turn in which there was nothing to do is not free either.
        self.left = self.left.saturating_sub(units.max(by_time).max(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rooms with so many units to do each.
    struct Rooms {
        schedule: Schedule<usize>,
        sizes: Vec<usize>,
        to_do: Vec<usize>,
        /// Units spent by all.
        spent: usize,
        passes: usize,
    }

    impl Rooms {
        fn new() -> Self {
            Self {
                schedule: Schedule::new(),
                sizes: Vec::new(),
                to_do: Vec::new(),
                spent: 0,
                passes: 0,
            }
        }

        fn add(&mut self, units: usize) -> usize {
            self.sizes.push(units);
            self.to_do.push(units);
            self.schedule.add(self.to_do.len() - 1, units);
            self.to_do.len() - 1
        }

        fn pass(&mut self) {
            self.schedule.begin_pass();
            let before = self.spent;
            while let Some((room, units)) = self.schedule.turn() {
                let spent = units.min(self.to_do[room]);
                self.to_do[room] -= spent;
                self.spent += spent;
                self.schedule.spent(spent, Duration::ZERO);
                if self.to_do[room] > 0 {
                    self.schedule.add(room, self.sizes[room]);
                }
            }
            assert!(self.spent - before <= PASS_UNITS);
            self.passes += 1;
        }
    }

    #[test]
    fn a_small_room_does_not_wait_for_huge_ones_with_a_backlog() {
        let mut rooms = Rooms::new();
        for _ in 0..20 {
            rooms.add(1_000_000);
        }
        for _ in 0..10 {
            rooms.pass();
            let small = rooms.add(2);
            rooms.pass();
            assert_eq!(rooms.to_do[small], 0, "done in the next pass");
        }
    }

    #[test]
    fn a_huge_room_goes_on_however_many_small_ones_there_are() {
        let mut rooms = Rooms::new();
        let huge = rooms.add(10_000);
        while rooms.to_do[huge] > 0 {
            for _ in 0..PASS_UNITS {
                rooms.add(2);
            }
            rooms.pass();
        }
        let fourth = TURN_UNITS * rooms.passes;
        assert!((10_000..10_000 + TURN_UNITS).contains(&fourth));
    }

    #[test]
    fn huge_rooms_take_turns() {
        let mut rooms = Rooms::new();
        let huge = [rooms.add(10_000), rooms.add(10_000), rooms.add(10_000)];
        for _ in 0..30 {
            rooms.pass();
        }
        let to_do = huge.map(|room| rooms.to_do[room]);
        let spread = to_do.iter().max().unwrap() - to_do.iter().min().unwrap();
        assert!(spread <= TURN_UNITS, "{to_do:?}");
        assert_eq!(rooms.spent, 30 * PASS_UNITS, "nothing is left unused");
    }

    #[test]
    fn small_rooms_go_in_the_order_of_their_coming() {
        let mut schedule = Schedule::new();
        for key in 0..5 {
            schedule.add(key, 2);
        }
        schedule.remove(2);
        schedule.begin_pass();
        let turns: Vec<_> = std::iter::from_fn(|| schedule.turn()).collect();
        assert_eq!(
            turns.iter().map(|(key, _)| *key).collect::<Vec<_>>(),
            [0, 1, 3, 4]
        );
        assert!(schedule.is_empty());
    }
}
