//! The threads that have connections in a room, and how many each has. Pure.

use crate::hub::fanout::FanoutHandle;

/// What a thread is known by.
pub(super) trait Thread {
    fn id(&self) -> usize;
    fn is_alive(&self) -> bool;
}

impl Thread for FanoutHandle {
    fn id(&self) -> usize {
        Self::id(self)
    }

    fn is_alive(&self) -> bool {
        Self::is_alive(self)
    }
}

/// The threads of a room. What they tell may come in another order than they told it, when a
/// mailbox is full: a count may be below zero for a moment, and comes right in the end.
#[derive(Debug)]
pub(super) struct Threads<T>(Vec<(T, isize)>);

impl<T: Thread> Threads<T> {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// So many connections of a thread have come, or gone if it is less than none. Whether that
    /// changes which threads there are.
    pub(super) fn count(&mut self, thread: &T, change: isize) -> bool
    where
        T: Clone,
    {
        let known = self.0.iter().position(|(it, _)| it.id() == thread.id());
        match known {
            Some(at) => {
                self.0[at].1 += change;
                let has_gone = self.0[at].1 == 0;
                if has_gone {
                    self.0.swap_remove(at);
                }
                has_gone
            }
            None if change != 0 && thread.is_alive() => {
                self.0.push((thread.clone(), change));
                true
            }
            None => false,
        }
    }

    /// Forgets those that have ended: what they had has gone with them.
    pub(super) fn forget_dead(&mut self) {
        self.0.retain(|(thread, _)| thread.is_alive());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(thread, _)| thread)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    #[derive(Clone)]
    struct Fake(usize, Rc<Cell<bool>>);

    impl Thread for Fake {
        fn id(&self) -> usize {
            self.0
        }

        fn is_alive(&self) -> bool {
            self.1.get()
        }
    }

    fn ids(threads: &Threads<Fake>) -> Vec<usize> {
        threads.iter().map(Thread::id).collect()
    }

    #[test]
    fn a_thread_is_there_as_long_as_it_has_connections() {
        let mut threads = Threads::new();
        let one = Fake(1, Rc::new(Cell::new(true)));
        threads.count(&one, 1);
        threads.count(&one, 2);
        threads.count(&one, -2);
        assert_eq!(ids(&threads), [1]);
        threads.count(&one, -1);
        assert!(threads.is_empty());
        threads.count(&one, 0);
        assert!(threads.is_empty());
    }

    #[test]
    fn a_departure_that_overtakes_its_arrival_leaves_nothing() {
        let mut threads = Threads::new();
        let one = Fake(1, Rc::new(Cell::new(true)));
        threads.count(&one, -1);
        threads.count(&one, 3);
        threads.count(&one, -2);
        assert!(threads.is_empty());
    }

    #[test]
    fn dead_threads_are_forgotten_and_their_departures_ignored() {
        let mut threads = Threads::new();
        let one = Fake(1, Rc::new(Cell::new(true)));
        threads.count(&one, 2);
        one.1.set(false);
        threads.forget_dead();
        threads.count(&one, -1);
        assert!(threads.is_empty());
    }
}
