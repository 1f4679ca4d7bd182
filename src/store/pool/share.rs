//! A node's part of the server's connections: they are divided among the nodes. Pure.

use std::time::{Duration, Instant};

use crate::store::server_check::Unsuitable;

/// Connections that no node counts on: one that starts brings the schema up to date before it has
/// a pool, and commands are given by hand.
const SPARE: usize = 3;

/// When there have been fewer nodes for so long, the others take their part. One that is only
/// restarted finds its own free.
const GONE_AFTER: Duration = Duration::from_secs(60);

/// What the division goes by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    /// `database.pool_max`.
    pub(super) asked: usize,
    /// What the server allows all nodes together.
    pub(super) connections: usize,
    /// What each node has besides its pool.
    pub(super) outside: usize,
    /// Nodes that there are to be, whether they live now or not.
    pub(super) expected: usize,
}

impl Share {
    /// Refuses a server that cannot serve the nodes that are expected.
    pub(super) fn check(&self) -> Result<(), Unsuitable> {
        if self.connections / self.expected <= self.outside {
            return Err(Unsuitable::TooFewConnections {
                allowed: self.connections,
                nodes: self.expected,
                outside: self.outside,
            });
        }
        Ok(())
    }

    /// The pool's size beside so many nodes, this one included: at least one.
    fn of(&self, nodes: usize) -> usize {
        let each = self.connections.saturating_sub(SPARE) / nodes.max(1);
        self.asked.min(each.saturating_sub(self.outside)).max(1)
    }
}

/// The pool's size as nodes come and go. It shrinks at once and grows late.
#[derive(Debug)]
pub(super) struct Division {
    pub(super) share: Share,
    /// Among how many it is divided.
    pub(super) nodes: usize,
    fewer_since: Option<Instant>,
}

impl Division {
    /// Among those that are expected.
    pub(super) fn new(share: Share) -> Self {
        Self {
            share,
            nodes: share.expected,
            fewer_since: None,
        }
    }

    /// So many nodes live, this one included. How long from now it has to be asked again, if at all.
    pub(super) fn living(&mut self, nodes: usize, now: Instant) -> Option<Duration> {
        let nodes = nodes.max(self.share.expected);
        if nodes < self.nodes {
            let since = *self.fewer_since.get_or_insert(now);
            let left = GONE_AFTER.saturating_sub(now.saturating_duration_since(since));
            if !left.is_zero() {
                return Some(left);
            }
        }
        self.nodes = nodes;
        self.fewer_since = None;
        None
    }

    /// The pool's size.
    pub(super) fn size(&self) -> usize {
        self.share.of(self.nodes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(connections: usize, expected: usize) -> Share {
        Share {
            asked: 50,
            connections,
            outside: 7,
            expected,
        }
    }

    #[test]
    fn what_all_nodes_take_together_is_never_more_than_there_is() {
        for connections in 11..400 {
            for nodes in 1..30 {
                let share = share(connections, 1);
                let together = nodes * (share.of(nodes) + share.outside);
                let is_possible = connections / nodes > share.outside + SPARE;
                assert!(together <= connections || !is_possible);
            }
        }
        assert_eq!(share(97, 1).of(1), 50);
        assert_eq!(share(97, 1).of(2), 40);
        assert_eq!(share(97, 1).of(4), 16);
        assert_eq!(share(97, 1).of(50), 1);
    }

    #[test]
    fn a_server_without_room_for_the_nodes_that_are_expected_is_refused() {
        assert_eq!(share(97, 12).check(), Ok(()));
        let error = share(97, 13).check().unwrap_err();
        assert!(error.to_string().contains("raise max_connections"));
        assert!(share(7, 1).check().is_err());
        assert!(share(8, 1).check().is_ok());
    }

    #[test]
    fn it_shrinks_at_once_and_grows_when_a_node_stays_away() {
        let (mut division, now) = (Division::new(share(97, 1)), Instant::now());
        let at = |s| now + Duration::from_secs(s);
        assert_eq!(division.living(2, at(0)), None);
        assert_eq!(division.size(), 40);
        assert_eq!(division.living(1, at(10)), Some(Duration::from_secs(60)));
        assert_eq!(division.living(1, at(30)), Some(Duration::from_secs(40)));
        assert_eq!(division.size(), 40);
        // It was restarted.
        assert_eq!(division.living(2, at(31)), None);
        assert_eq!(division.living(1, at(40)), Some(Duration::from_secs(60)));
        assert_eq!(division.living(1, at(100)), None);
        assert_eq!(division.size(), 50);
    }

    #[test]
    fn a_place_is_kept_for_nodes_that_are_expected() {
        let (mut division, now) = (Division::new(share(97, 4)), Instant::now());
        assert_eq!(division.living(1, now), None);
        assert_eq!(division.size(), 16);
        division.living(5, now);
        assert_eq!(division.size(), 11);
    }
}
