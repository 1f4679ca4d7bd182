//! What came of a rolling restart, from what senders and listeners have seen. Pure.

use std::time::Duration;

use crate::clock::{self, NS_PER_S};
use crate::error::LoadError;
use crate::marker::Marker;
use crate::samples::{Latency, Samples};

/// When messages are due: each room's at the same pace, the rooms taking turns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timetable {
    pub(super) start_ns: u64,
    pub(super) rooms: u32,
    /// Messages a second in each room.
    pub(super) rate: f64,
}

impl Timetable {
    /// When a room's message of this number is due.
    pub(super) fn due(&self, room: u32, number: u64) -> u64 {
        let turn = f64::from(room) / f64::from(self.rooms.max(1));
        let after = Duration::from_secs_f64((number as f64 + turn) / self.rate);
        self.start_ns + clock::ns(after)
    }
}

/// What a sender did.
#[derive(Debug, Default)]
pub(super) struct Spoken {
    /// When each message was first written to a socket; all of them were acknowledged.
    pub(super) sent_ns: Vec<u64>,
}

/// What a listener saw.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) room: u32,
    /// When each message first came.
    pub(super) came_ns: Vec<Option<u64>>,
    /// The last event that came.
    pub(super) position: u64,
    pub(super) doubled: u64,
    pub(super) disordered: u64,
    pub(super) gaps: u64,
    /// When it was connected again, each time.
    pub(super) reconnected_ns: Vec<u64>,
    /// Attempts to connect or join that failed.
    pub(super) failed: u64,
    /// Connections that ended although nobody had told it to move.
    pub(super) cut: u64,
}

impl Heard {
    /// An event has come, and the message in it if it is one of ours.
    pub(super) fn note(&mut self, seq: u64, marker: Option<Marker>, now_ns: u64) {
        if seq <= self.position {
            self.doubled += 1;
            return;
        }
        self.disordered += u64::from(seq != self.position + 1);
        self.position = seq;
        let Some(marker) = marker else { return };
        let at = usize::try_from(marker.seq).unwrap_or(usize::MAX);
        if at >= self.came_ns.len() {
            // No more can be on their way than were ever said.
            self.came_ns.resize(at + 1, None);
        }
        match &mut self.came_ns[at] {
            Some(_) => self.doubled += 1,
            came => *came = Some(now_ns),
        }
    }

    /// Whether so many messages have come.
    pub(super) fn has_all(&self, count: usize) -> bool {
        self.came_ns.len() >= count && self.came_ns.iter().all(Option::is_some)
    }
}

/// The time of the restart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Restart {
    pub(super) from_ns: u64,
    pub(super) to_ns: u64,
}

/// Latencies of all deliveries: of messages due before the restart, while it lasted, and after it.
#[derive(Debug)]
pub(super) struct Latencies {
    /// From when a message was due.
    pub(super) of_due: [Latency; 3],
    /// From when it was first sent: without the time in which its sender was itself on its way to
    /// another node.
    pub(super) of_sent: [Latency; 3],
    pub(super) deliveries: u64,
    pub(super) lost: u64,
}

pub(super) fn latencies(
    timetable: &Timetable,
    restart: Restart,
    spoken: &[Spoken],
    heard: &[Heard],
) -> Result<Latencies, LoadError> {
    let three = || Ok::<_, LoadError>([Samples::new()?, Samples::new()?, Samples::new()?]);
    let (mut of_due, mut of_sent) = (three()?, three()?);
    let (mut deliveries, mut lost) = (0, 0);
    for listener in heard {
        let said = spoken.get(listener.room as usize);
        let sent = said.map(|it| it.sent_ns.as_slice()).unwrap_or_default();
        for (number, sent_ns) in sent.iter().enumerate() {
            let Some(came_ns) = listener.came_ns.get(number).copied().flatten() else {
                lost += 1;
                continue;
            };
            deliveries += 1;
            let due_ns = timetable.due(listener.room, number as u64);
            let phase = if due_ns < restart.from_ns {
                0
            } else if due_ns < restart.to_ns {
                1
            } else {
                2
            };
            let since = |ns: u64| Duration::from_nanos(came_ns.saturating_sub(ns));
            of_due[phase].add(since(due_ns));
            of_sent[phase].add(since(*sent_ns));
        }
    }
    Ok(Latencies {
        of_due: of_due.map(|it| it.latency()),
        of_sent: of_sent.map(|it| it.latency()),
        deliveries,
        lost,
    })
}

/// The most of them within any one second.
pub(super) fn peak_per_second(mut times_ns: Vec<u64>) -> usize {
    times_ns.sort_unstable();
    let mut from = 0;
    let mut peak = 0;
    for (to, time_ns) in times_ns.iter().enumerate() {
        while time_ns - times_ns[from] >= NS_PER_S {
            from += 1;
        }
        peak = peak.max(to + 1 - from);
    }
    peak
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = NS_PER_S / 1000;

    fn marker(seq: u64) -> Marker {
        Marker {
            run: 0,
            room: 0,
            seq,
        }
    }

    #[test]
    fn rooms_take_turns() {
        let timetable = Timetable {
            start_ns: 7 * NS_PER_S,
            rooms: 4,
            rate: 2.0,
        };
        assert_eq!(timetable.due(0, 0), 7 * NS_PER_S);
        assert_eq!(timetable.due(2, 0), 7 * NS_PER_S + 250 * MS);
        assert_eq!(timetable.due(0, 3), 8 * NS_PER_S + 500 * MS);
    }

    #[test]
    fn losses_doubles_and_disorder_are_counted() {
        let mut heard = Heard {
            position: 10,
            ..Heard::default()
        };
        // A hole in the log's numbers, an event twice, a message under two numbers.
        for (seq, number) in [(11, 0), (13, 2), (13, 2), (14, 2)] {
            heard.note(seq, Some(marker(number)), seq);
        }
        assert_eq!((heard.disordered, heard.doubled), (1, 2));
        assert!(!heard.has_all(2), "number 1 has not come");
        heard.note(15, None, 15);
        heard.note(16, Some(marker(1)), 16);
        assert!(heard.has_all(3) && !heard.has_all(4));
        let timetable = Timetable {
            start_ns: 0,
            rooms: 1,
            rate: 1000.0,
        };
        let restart = Restart {
            from_ns: MS,
            to_ns: 2 * MS,
        };
        let spoken = [Spoken {
            sent_ns: vec![0, MS, 2 * MS, 3 * MS],
        }];
        let counted = latencies(&timetable, restart, &spoken, &[heard]).unwrap();
        assert_eq!((counted.deliveries, counted.lost), (3, 1));
    }

    #[test]
    fn latencies_belong_to_the_time_in_which_the_message_was_due() {
        let timetable = Timetable {
            start_ns: 0,
            rooms: 1,
            rate: 1.0,
        };
        let restart = Restart {
            from_ns: NS_PER_S,
            to_ns: 2 * NS_PER_S,
        };
        // Due at 0, 1 and 2 s; the second was sent 300 ms late.
        let spoken = [Spoken {
            sent_ns: vec![0, 1300 * MS, 2000 * MS],
        }];
        let heard = Heard {
            came_ns: vec![Some(10 * MS), Some(1400 * MS), Some(2020 * MS)],
            ..Heard::default()
        };
        let counted = latencies(&timetable, restart, &spoken, &[heard]).unwrap();
        let ms = |of: [Latency; 3]| of.map(|it| it.max_us / 1000);
        assert_eq!(ms(counted.of_due), [10, 400, 20]);
        assert_eq!(ms(counted.of_sent), [10, 100, 20]);
    }

    #[test]
    fn the_peak_is_of_any_second() {
        assert_eq!(peak_per_second(Vec::new()), 0);
        let times = [0, 900, 999, 1000, 1800, 5000].map(|ms| ms * MS);
        assert_eq!(peak_per_second(times.into()), 4);
    }
}
