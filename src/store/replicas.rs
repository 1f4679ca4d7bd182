//! Read replicas (`database.replica_urls`): servers that follow the primary, and are asked for what may be
//! behind, as whoever asks judges it by the version that comes with it.
//!
//! Nothing depends on them. One that is away, slow, or no replica of ours ([`identity`]) is not asked
//! ([`replica`]), one that fails while it is asked costs at most `database.replica_timeout_ms`, and what it
//! does not tell the primary does. What decides about permissions, sequence, presence or sessions is never
//! read here, which is why this gives pages and no connections.

mod identity;
mod replica;
mod told;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinHandle;

use self::identity::Primary;
use self::replica::Replica;
use super::messages::{self, TouchedPage};
use super::{Store, StoreError};
use crate::config::Database;
use crate::protocol::command::PageRequest;
use crate::protocol::event::Seq;
use crate::protocol::id::RoomId;

/// The replicas; there may be none. Cheap to clone; the connections end with the last clone.
#[derive(Debug, Clone, Default)]
pub struct Replicas {
    shared: Option<Arc<Shared>>,
}

#[derive(Debug)]
struct Shared {
    all: Vec<Arc<Replica>>,
    /// Where to begin to look for the one that is least busy.
    next: AtomicUsize,
    watches: Vec<JoinHandle<()>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        for watch in &self.watches {
            watch.abort();
        }
    }
}

/// Why no replica has told anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// There is none that could be asked now.
    NotAsked,
    /// The one that was asked failed, or took too long.
    Failed,
}

/// How a replica is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaState {
    /// Its place in `database.replica_urls`, from 1 on.
    pub number: usize,
    /// Why it is not asked; none: it is. Says nothing of where it is.
    pub doubt: Option<String>,
}

impl Replicas {
    /// Begins to look for those of the settings, which follow the server of `store`, where `node` has begun
    /// its life; waits for none.
    pub fn start(config: &Database, store: &Store, node: &Arc<str>) -> Result<Self, StoreError> {
        if config.replica_urls.is_empty() {
            return Ok(Self::default());
        }
        let primary = Primary::new(store, node);
        let made = config.replica_urls.iter().enumerate();
        let made = made.map(|(at, url)| Ok(Arc::new(Replica::new(at + 1, url, config, &primary)?)));
        let all = made.collect::<Result<Vec<_>, StoreError>>()?;
        let places = config.replica_places();
        let watch = |(replica, place): (&Arc<Replica>, String)| {
            tokio::spawn(Arc::clone(replica).watch(place))
        };
        let watches = all.iter().zip(places).map(watch).collect();
        Ok(Self {
            shared: Some(Arc::new(Shared {
                all,
                next: AtomicUsize::new(0),
                watches,
            })),
        })
    }

    /// Whether there are any.
    #[must_use]
    pub fn are_there(&self) -> bool {
        self.shared.is_some()
    }

    /// As [`messages::page_touched`], as the least busy replica knows it: it may be behind, or not know the
    /// room yet.
    pub async fn page(
        &self,
        room: RoomId,
        floor: Seq,
        request: PageRequest,
    ) -> Result<Option<TouchedPage>, NoAnswer> {
        let replica = self.least_busy().ok_or(NoAnswer::NotAsked)?;
        let reading = async |conn: &_| messages::page_by(conn, room, floor, request).await;
        let read = replica.read(reading).await;
        read.ok_or(NoAnswer::NotAsked)?
            .map_err(|_| NoAnswer::Failed)
    }

    /// How each of them is.
    #[must_use]
    pub fn states(&self) -> Vec<ReplicaState> {
        let all = self.shared.iter().flat_map(|shared| &shared.all);
        let state = |replica: &Arc<Replica>| ReplicaState {
            number: replica.number,
            doubt: replica.doubt().map(|doubt| doubt.to_string()),
        };
        all.map(state).collect()
    }

    fn least_busy(&self) -> Option<&Replica> {
        let Shared { all, next, .. } = self.shared.as_deref()?;
        let free: Vec<usize> = all.iter().map(|replica| replica.free()).collect();
        let at = freest(&free, next.fetch_add(1, Ordering::Relaxed))?;
        Some(&all[at])
    }
}

/// Where most places are free, if any are; of several such the first from `begin` on.
fn freest(free: &[usize], begin: usize) -> Option<usize> {
    let turns = (0..free.len()).map(|n| (begin % free.len() + n) % free.len());
    turns
        .filter(|&at| free[at] > 0)
        .min_by_key(|&at| std::cmp::Reverse(free[at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_busy_is_asked_and_equals_take_turns() {
        assert_eq!(freest(&[], 3), None);
        assert_eq!(freest(&[0, 0], 0), None);
        assert_eq!(freest(&[0, 2, 1], usize::MAX), Some(1));
        for begin in 0..9 {
            assert_eq!(freest(&[4, 4, 4], begin), Some(begin % 3));
        }
        assert_eq!(freest(&[4, 0, 4], 1), Some(2));
    }
}
