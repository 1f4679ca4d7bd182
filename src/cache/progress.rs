//! Up to which event of a room all that was touched has been told. Pure.
//!
//! Events of one room are told by the nodes that commit them, so a later one may be told first. A copy
//! that nothing told has touched is as new as what was told *without a hole*: that, and not the highest
//! number heard of, answers "at least as new as this".

use crate::protocol::event::Seq;

/// Runs beyond a hole that are remembered. With more the hole is not waited for.
const BEYOND_MAX: usize = 16;

/// How far the telling has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Progress {
    to: Seq,
    /// Runs beyond a hole, first and last.
    beyond: Vec<(Seq, Seq)>,
}

impl Progress {
    /// All up to `seq` is known.
    #[cfg(test)]
    fn from(seq: Seq) -> Self {
        Self {
            to: seq,
            beyond: Vec::new(),
        }
    }

    /// All up to this event has been told.
    pub(super) fn to(&self) -> Seq {
        self.to
    }

    /// A run of events was told. If too many wait behind a hole, the last event that waits: everything
    /// up to it is to be taken for touched, and then told here from 0 on.
    pub(super) fn told(&mut self, first: Seq, last: Seq) -> Option<Seq> {
        if first > self.to.saturating_add(1) {
            if self.beyond.len() >= BEYOND_MAX {
                let furthest = self.beyond.iter().map(|run| run.1).max();
                return furthest.max(Some(last));
            }
            self.beyond.push((first, last));
            return None;
        }
        self.to = self.to.max(last);
        while let Some(next) = self
            .beyond
            .iter()
            .position(|run| run.0 <= self.to.saturating_add(1))
        {
            let (_, last) = self.beyond.swap_remove(next);
            self.to = self.to.max(last);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_stops_it_until_it_is_filled() {
        let mut progress = Progress::from(10);
        assert_eq!(progress.told(11, 12), None);
        assert_eq!(progress.to(), 12);
        assert_eq!(progress.told(14, 15), None);
        assert_eq!(progress.told(17, 17), None);
        assert_eq!(progress.to(), 12);
        assert_eq!(progress.told(13, 13), None);
        assert_eq!(progress.to(), 15);
        assert_eq!(progress.told(9, 16), None);
        assert_eq!(progress.to(), 17);
        assert_eq!(progress, Progress::from(17));
    }

    #[test]
    fn behind_a_hole_not_more_waits_than_there_is_place_for() {
        let mut progress = Progress::from(0);
        for run in 0..BEYOND_MAX as Seq {
            assert_eq!(progress.told(10 + 2 * run, 10 + 2 * run), None);
        }
        assert_eq!(progress.told(100, 101), Some(101));
        assert_eq!(progress.told(0, 101), None);
        assert_eq!(progress, Progress::from(101));
    }
}
