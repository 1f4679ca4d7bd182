//! Which sessions have ended, as far as this node has been told: whether something that was read
//! from Postgres some time ago, by whatever node, is still to be believed. Pure.
//!
//! Whoever reads a session notes how far the control log went. Its end, if there is one, stands in
//! the log after that. So a node believes what was read at a position from which on it knows of
//! every end, if this session's is not among them; no clock is asked, and nothing need be taken back
//! out of Redis. A node begins to know where the log stands when it starts; what it has to forget,
//! because there is too much, raises that position.

use std::collections::{HashMap, VecDeque};

use crate::protocol::id::SessionId;

/// What this node knows of ends.
#[derive(Debug)]
pub(super) struct Ended {
    /// Every end after this position is known. None: not at all.
    since: Option<u64>,
    /// The log had said so by this position; none before it has been read up to there.
    ids: HashMap<SessionId, Option<u64>>,
    told: VecDeque<(u64, SessionId)>,
    untold: Vec<SessionId>,
    max: usize,
}

/// What is to be thought of something that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The session had not ended when the log was last read.
    Lasts,
    /// It has ended.
    Ended,
    /// It was read too long ago for this node to know.
    Unknown,
}

impl Ended {
    /// Nothing is known, and of so many ends at most.
    pub(super) fn new(max: usize) -> Self {
        Self {
            since: None,
            ids: HashMap::new(),
            told: VecDeque::new(),
            untold: Vec::new(),
            max,
        }
    }

    /// A session has ended; it may be told again.
    pub(super) fn note(&mut self, session: SessionId) {
        if self.ids.insert(session, None) != Some(None) {
            self.untold.push(session);
        }
        while self.ids.len() > self.max {
            self.forget_oldest();
        }
    }

    /// All that the log had up to this position has been noted.
    pub(super) fn known_to(&mut self, position: u64) {
        self.since.get_or_insert(position);
        for session in self.untold.drain(..) {
            self.ids.insert(session, Some(position));
            self.told.push_back((position, session));
        }
    }

    /// Ends may have been missed.
    pub(super) fn forget_all(&mut self) {
        self.since = None;
        self.ids.clear();
        self.told.clear();
        self.untold.clear();
    }

    fn forget_oldest(&mut self) {
        let Some((position, session)) = self.told.pop_front() else {
            return self.forget_all();
        };
        // Unless it has been told again since.
        if self.ids.get(&session) == Some(&Some(position)) {
            self.ids.remove(&session);
            self.since = self.since.map(|since| since.max(position));
        }
    }

    /// What to think of a session that was read when the log went up to this position.
    pub(super) fn judge(&self, session: SessionId, position: u64) -> Verdict {
        if self.ids.contains_key(&session) {
            return Verdict::Ended;
        }
        match self.since {
            Some(since) if position >= since => Verdict::Lasts,
            _ => Verdict::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(number: u128) -> SessionId {
        SessionId(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn what_was_read_before_this_node_knew_is_not_believed() {
        let mut ended = Ended::new(10);
        assert_eq!(ended.judge(id(1), 100), Verdict::Unknown);
        ended.known_to(5);
        assert_eq!(ended.judge(id(1), 4), Verdict::Unknown);
        assert_eq!(ended.judge(id(1), 5), Verdict::Lasts);
        ended.known_to(9);
        assert_eq!(ended.judge(id(1), 5), Verdict::Lasts);
        ended.forget_all();
        assert_eq!(ended.judge(id(1), 50), Verdict::Unknown);
    }

    #[test]
    fn an_end_is_known_at_once_and_for_as_long_as_it_matters() {
        let mut ended = Ended::new(2);
        ended.known_to(5);
        ended.note(id(1));
        assert_eq!(ended.judge(id(1), 5), Verdict::Ended);
        ended.known_to(6);
        ended.note(id(2));
        ended.known_to(7);
        ended.note(id(3));
        // The first is forgotten, with everything that was read before it.
        assert_eq!(ended.judge(id(1), 5), Verdict::Unknown);
        assert_eq!(ended.judge(id(4), 5), Verdict::Unknown);
        assert_eq!(ended.judge(id(4), 6), Verdict::Lasts);
        assert_eq!(ended.judge(id(2), 6), Verdict::Ended);
    }

    #[test]
    fn what_is_told_again_is_kept_longer() {
        let mut ended = Ended::new(2);
        ended.known_to(5);
        // Ended here at 7, before the log was read up to 6.
        ended.note(id(1));
        ended.known_to(6);
        ended.note(id(1));
        ended.known_to(7);
        ended.note(id(2));
        ended.known_to(8);
        ended.note(id(3));
        assert_ne!(ended.judge(id(1), 6), Verdict::Lasts);
    }

    #[derive(Debug, Clone)]
    enum Step {
        End(u8),
        HearHere(u8),
        Read,
        Miss,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0u8..40).prop_map(Step::End),
            2 => (0u8..40).prop_map(Step::HearHere),
            3 => Just(Step::Read),
            1 => Just(Step::Miss),
        ]
    }

    proptest! {
        /// Whatever was read before a session's end is never believed once that end was in the log
        /// that was read.
        #[test]
        fn no_end_is_forgotten(steps in prop::collection::vec(step(), 1..200), max in 1usize..8) {
            let mut ended = Ended::new(max);
            // The log: what ended at 1, 2, …; and how far it was read.
            let (mut log, mut read) = (Vec::<u8>::new(), None::<usize>);
            for step in steps {
                match step {
                    Step::End(session) if !log.contains(&session) => log.push(session),
                    // The node that has done it does not wait for the log.
                    Step::HearHere(session) if log.contains(&session) => ended.note(id(session.into())),
                    Step::Read => {
                        for session in &log[read.unwrap_or(log.len())..] {
                            ended.note(id((*session).into()));
                        }
                        read = Some(log.len());
                        ended.known_to(log.len() as u64);
                    }
                    Step::Miss => {
                        read = None;
                        ended.forget_all();
                    }
                    _ => {}
                }
                for (at, session) in log.iter().enumerate().take(read.unwrap_or(0)) {
                    for position in 0..=at {
                        let verdict = ended.judge(id((*session).into()), position as u64);
                        prop_assert_ne!(verdict, Verdict::Lasts);
                    }
                }
            }
        }
    }
}
