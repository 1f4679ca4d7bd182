//! The memory of requests that were accepted, so that none is accepted twice. Pure.

use std::collections::{HashSet, VecDeque};

use super::refused::Refused;
use super::seal::Nonce;

/// The requests that were accepted for as long as their time would let them in again.
#[derive(Debug)]
pub(super) struct Remembered {
    max_age_us: i64,
    max: usize,
    nonces: HashSet<Nonce>,
    /// In the order in which they came; each with the time from which on it is too old.
    order: VecDeque<(i64, Nonce)>,
}

impl Remembered {
    pub(super) fn new(max_age_us: i64, max: usize) -> Self {
        Self {
            max_age_us,
            max,
            nonces: HashSet::new(),
            order: VecDeque::new(),
        }
    }

    /// Takes note of a request whose seal was found good at this time. Refused if it came before,
    /// or if there are too many to be remembered: forgetting one early would let it in again.
    pub(super) fn note(&mut self, nonce: Nonce, now_us: i64) -> Result<(), Refused> {
        while let Some(&(until_us, old)) = self.order.front()
            && until_us < now_us
        {
            self.order.pop_front();
            self.nonces.remove(&old);
        }
        if self.nonces.contains(&nonce) {
            return Err(Refused::Replayed);
        }
        if self.order.len() >= self.max {
            return Err(Refused::Overloaded);
        }
        self.nonces.insert(nonce);
        // Its own time may be ahead by as much as may be between it and the present.
        let until_us = now_us.saturating_add(2 * self.max_age_us);
        self.order.push_back((until_us, nonce));
        Ok(())
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_accepted_twice_while_its_time_lasts() {
        let mut memory = Remembered::new(10, 100);
        assert_eq!(memory.note([1; 16], 1000), Ok(()));
        assert_eq!(memory.note([1; 16], 1000), Err(Refused::Replayed));
        // Sent with a time of 1010, it is let in until 1020.
        assert_eq!(memory.note([1; 16], 1020), Err(Refused::Replayed));
        assert_eq!(memory.note([2; 16], 1021), Ok(()));
        assert_eq!(memory.len(), 1, "what is too old is forgotten");
    }

    #[test]
    fn it_is_bounded_and_forgets_nothing_early() {
        let mut memory = Remembered::new(10, 2);
        assert_eq!(memory.note([1; 16], 0), Ok(()));
        assert_eq!(memory.note([2; 16], 5), Ok(()));
        assert_eq!(memory.note([3; 16], 6), Err(Refused::Overloaded));
        assert_eq!(memory.note([1; 16], 6), Err(Refused::Replayed));
        assert_eq!(memory.note([3; 16], 21), Ok(()));
        assert_eq!(memory.len(), 2);
    }

    #[test]
    fn a_clock_that_goes_back_forgets_nothing() {
        let mut memory = Remembered::new(10, 100);
        assert_eq!(memory.note([1; 16], 1000), Ok(()));
        assert_eq!(memory.note([2; 16], 100), Ok(()));
        assert_eq!(memory.note([1; 16], 110), Err(Refused::Replayed));
    }
}
