//! When each message is meant to be sent. It is fixed before the first one is sent, so that a slow
//! server cannot slow down the load, and known to every process, so that whoever receives a message
//! can tell how late it is, whoever sent it.

use serde::{Deserialize, Serialize};

use crate::clock::NS_PER_S;

/// The same number of messages, evenly spaced, in each of some rooms; the rooms take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Schedule {
    /// When the first message is due, [`crate::clock::now`].
    pub(crate) start_ns: u64,
    /// Between two messages of a room.
    pub(crate) interval_ns: u64,
    pub(crate) rooms: u32,
    /// Messages of each room.
    pub(crate) messages: u64,
    /// Messages that are due earlier than this after the start are not measured.
    pub(crate) warm_up_ns: u64,
}

impl Schedule {
    /// So many messages a second in each room.
    pub(crate) fn new(rooms: u32, rate: f64, warm_up_ns: u64, measured_ns: u64) -> Self {
        // A rate is positive and at most a few 100,000 a second, so that nothing is cut off.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let interval_ns = ((NS_PER_S as f64 / rate).round() as u64).max(1);
        Self {
            start_ns: 0,
            interval_ns,
            rooms: rooms.max(1),
            messages: (warm_up_ns + measured_ns).div_ceil(interval_ns),
            warm_up_ns,
        }
    }

    /// The same, from that time on.
    pub(crate) fn starting(self, start_ns: u64) -> Self {
        Self { start_ns, ..self }
    }

    /// When message `seq` of room `room` is due.
    pub(crate) fn due(&self, room: u32, seq: u64) -> u64 {
        let turn = self.interval_ns * u64::from(room) / u64::from(self.rooms);
        self.start_ns + seq * self.interval_ns + turn
    }

    /// When the measured time begins.
    pub(crate) fn measured_from(&self) -> u64 {
        self.start_ns + self.warm_up_ns
    }

    /// When it ends: no message is due from here on.
    pub(crate) fn end(&self) -> u64 {
        self.start_ns + self.messages * self.interval_ns
    }

    /// Whether what happens at this time is measured.
    pub(crate) fn measures(&self, time_ns: u64) -> bool {
        (self.measured_from()..self.end()).contains(&time_ns)
    }
}

/// The messages of some of the rooms in the order in which they are due.
#[derive(Debug)]
pub(crate) struct Turns {
    schedule: Schedule,
    /// Ascending.
    rooms: Vec<u32>,
    seq: u64,
    at: usize,
}

impl Turns {
    pub(crate) fn new(schedule: Schedule, mut rooms: Vec<u32>) -> Self {
        rooms.sort_unstable();
        Self {
            schedule,
            rooms,
            seq: 0,
            at: 0,
        }
    }

    /// When the next one is due; nothing when all are done.
    pub(crate) fn next_due(&self) -> Option<u64> {
        let (room, seq) = self.peek()?;
        Some(self.schedule.due(room, seq))
    }

    /// The next one, if it is due: room, number and when it was due.
    pub(crate) fn take_due(&mut self, now_ns: u64) -> Option<(u32, u64, u64)> {
        let (room, seq) = self.peek()?;
        let due = self.schedule.due(room, seq);
        if due > now_ns {
            return None;
        }
        self.at += 1;
        if self.at == self.rooms.len() {
            self.at = 0;
            self.seq += 1;
        }
        Some((room, seq, due))
    }

    fn peek(&self) -> Option<(u32, u64)> {
        let room = self.rooms.get(self.at)?;
        (self.seq < self.schedule.messages).then_some((*room, self.seq))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule() -> Schedule {
        Schedule::new(4, 100.0, NS_PER_S, 2 * NS_PER_S).starting(7)
    }

    #[test]
    fn rooms_take_turns_within_an_interval() {
        let schedule = schedule();
        assert_eq!(schedule.interval_ns, 10_000_000);
        assert_eq!(schedule.messages, 300);
        assert_eq!(schedule.due(0, 0), 7);
        assert_eq!(schedule.due(3, 0), 7 + 7_500_000);
        assert_eq!(schedule.due(0, 1), 7 + 10_000_000);
        assert_eq!(schedule.end(), 7 + 3 * NS_PER_S);
    }

    #[test]
    fn only_what_is_due_after_the_warm_up_is_measured() {
        let schedule = schedule();
        assert!(!schedule.measures(schedule.due(3, 99)));
        assert!(schedule.measures(schedule.due(0, 100)));
        assert!(schedule.measures(schedule.due(3, 299)));
        assert!(!schedule.measures(schedule.end()));
    }

    #[test]
    fn every_message_is_due_once_and_in_order() {
        let schedule = schedule();
        let mut turns = Turns::new(schedule, vec![3, 1]);
        assert_eq!(turns.next_due(), Some(schedule.due(1, 0)));
        assert_eq!(turns.take_due(schedule.due(1, 0) - 1), None);
        let mut times = Vec::new();
        while let Some((room, seq, due)) = turns.take_due(u64::MAX) {
            assert_eq!(due, schedule.due(room, seq));
            times.push(due);
        }
        assert_eq!(times.len(), 600);
        assert!(times.is_sorted());
        assert_eq!(turns.next_due(), None);
    }

    #[test]
    fn a_process_without_senders_has_nothing_to_send() {
        assert_eq!(Turns::new(schedule(), Vec::new()).next_due(), None);
    }
}
