//! Who is connected to this node, and what has been written of it. Pure.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use crate::protocol::id::UserId;

/// Who has come and who has gone.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) come: Vec<UserId>,
    pub(super) gone: Vec<UserId>,
}

impl Page {
    pub(super) fn is_empty(&self) -> bool {
        self.come.is_empty() && self.gone.is_empty()
    }
}

#[derive(Debug)]
pub(super) struct Book {
    grace: Duration,
    connections: HashMap<UserId, u32>,
    /// Those of whom it is written that they are connected.
    written: HashSet<UserId>,
    /// Those whose last connection has ended, and until when they may come back.
    leaving: VecDeque<(Instant, UserId)>,
    /// Those to be looked at when it is written the next time.
    changed: HashSet<UserId>,
}

impl Book {
    pub(super) fn new(grace: Duration) -> Self {
        Self {
            grace,
            connections: HashMap::new(),
            written: HashSet::new(),
            leaving: VecDeque::new(),
            changed: HashSet::new(),
        }
    }

    /// A connection of a user has begun.
    pub(super) fn arrive(&mut self, user: UserId) {
        *self.connections.entry(user).or_default() += 1;
        if !self.written.contains(&user) {
            self.changed.insert(user);
        }
    }

    /// It has ended.
    pub(super) fn depart(&mut self, user: UserId, now: Instant) {
        let Some(connections) = self.connections.get_mut(&user) else {
            return;
        };
        *connections -= 1;
        if *connections == 0 {
            self.connections.remove(&user);
            if self.written.contains(&user) {
                self.leaving.push_back((now + self.grace, user));
            }
        }
    }

    /// What is to be written, of at most so many users. They are taken for written.
    pub(super) fn take(&mut self, now: Instant, max: usize) -> Page {
        while let Some((until, user)) = self.leaving.front().copied()
            && until <= now
        {
            self.leaving.pop_front();
            self.changed.insert(user);
        }
        let mut page = Page::default();
        let some: Vec<_> = self.changed.iter().take(max).copied().collect();
        for user in some {
            self.changed.remove(&user);
            match (
                self.connections.contains_key(&user),
                self.written.contains(&user),
            ) {
                (true, false) => {
                    self.written.insert(user);
                    page.come.push(user);
                }
                (false, true) => {
                    self.written.remove(&user);
                    page.gone.push(user);
                }
                // They came back, or were gone, before anything was written.
                _ => {}
            }
        }
        page
    }

    /// It was not written, or nobody knows.
    pub(super) fn failed(&mut self, page: &Page) {
        for user in &page.come {
            self.written.remove(user);
        }
        self.written.extend(&page.gone);
        self.changed.extend(page.come.iter().chain(&page.gone));
    }

    /// How many users are written to be connected.
    pub(super) fn written(&self) -> usize {
        self.written.len()
    }

    /// Something else is written: all of it is written again.
    pub(super) fn write_again(&mut self) {
        self.changed.extend(self.connections.keys());
        // Who is not connected is written down as that, too.
        let gone = self.written.drain().collect::<Vec<_>>();
        for user in gone {
            if !self.connections.contains_key(&user) {
                self.written.insert(user);
                self.changed.insert(user);
            }
        }
    }

    /// Nobody may come back any more.
    pub(super) fn end(&mut self) {
        self.connections.clear();
        self.leaving.clear();
        self.changed.extend(&self.written);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(5);

    fn page(come: &[UserId], gone: &[UserId]) -> Page {
        Page {
            come: come.to_vec(),
            gone: gone.to_vec(),
        }
    }

    #[test]
    fn the_first_connection_and_the_last_are_written() {
        let (user, now) = (UserId::generate(), Instant::now());
        let mut book = Book::new(GRACE);
        book.arrive(user);
        book.arrive(user);
        assert_eq!(book.take(now, 9), page(&[user], &[]));
        book.depart(user, now);
        assert!(book.take(now + GRACE, 9).is_empty());
        book.depart(user, now + GRACE);
        assert!(book.take(now + GRACE, 9).is_empty());
        assert_eq!(book.take(now + 2 * GRACE, 9), page(&[], &[user]));
        assert_eq!(book.written(), 0);
    }

    #[test]
    fn who_comes_back_in_time_is_not_written() {
        let (user, now) = (UserId::generate(), Instant::now());
        let mut book = Book::new(GRACE);
        book.arrive(user);
        book.take(now, 9);
        book.depart(user, now);
        book.arrive(user);
        assert!(book.take(now + GRACE, 9).is_empty());
        // Nor is one of whom nothing has been written.
        let passing = UserId::generate();
        book.arrive(passing);
        book.depart(passing, now);
        assert!(book.take(now + GRACE, 9).is_empty());
    }

    #[test]
    fn what_failed_is_written_later_as_it_is_then() {
        let [ann, bob] = [UserId::generate(), UserId::generate()];
        let now = Instant::now();
        let mut book = Book::new(Duration::ZERO);
        book.arrive(ann);
        book.take(now, 9);
        book.depart(ann, now);
        book.arrive(bob);
        let failed = book.take(now, 9);
        assert_eq!(failed, page(&[bob], &[ann]));
        book.failed(&failed);
        book.arrive(ann);
        assert_eq!(book.take(now, 9), page(&[bob], &[]));
        book.write_again();
        let mut again = book.take(now, 9);
        again.come.sort_unstable();
        let mut both = [ann, bob];
        both.sort_unstable();
        assert_eq!(again, page(&both, &[]));
        book.end();
        assert_eq!(book.take(now, 1).gone.len(), 1);
        assert_eq!(book.take(now, 9).gone.len(), 1);
    }
}
