//! The copies of this process: bounded in bytes, and each in its time.
//!
//! The ledger says whether a copy holds; here is only what is kept. That the copies of a room can be
//! taken out at once keeps what was deleted out of memory, too.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dashmap::DashMap;
use moka::Expiry;
use moka::notification::RemovalCause;
use moka::ops::compute::Op;
use moka::sync::Cache as Moka;

use super::copy::Copy;
use super::key::{Key, Kind};
use super::metrics::{BYTES, ENTRIES, EVICTIONS};
use super::version::{Verdict, judge};
use crate::protocol::id::RoomId;

/// The copies.
#[derive(Debug)]
pub(super) struct Local {
    copies: Moka<Key, Arc<Copy>>,
    /// Which copies there are of a room. A key may be missing here for a moment while its predecessor
    /// is cleaned up; then it goes with its time.
    by_room: Arc<DashMap<RoomId, HashSet<Key>>>,
}

/// How long copies of each kind are kept at most.
#[derive(Debug, Clone)]
pub(super) struct Lives(pub(super) Vec<(Kind, Duration)>);

impl Lives {
    fn of(&self, kind: Kind) -> Duration {
        let found = self.0.iter().find(|it| it.0 == kind);
        found.map_or(Duration::ZERO, |it| it.1)
    }
}

impl Expiry<Key, Arc<Copy>> for Lives {
    fn expire_after_create(&self, key: &Key, _: &Arc<Copy>, _: Instant) -> Option<Duration> {
        Some(self.of(key.kind()))
    }

    fn expire_after_update(
        &self,
        key: &Key,
        _: &Arc<Copy>,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(self.of(key.kind()))
    }
}

/// What became of a copy that was to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filled {
    Kept,
    Older,
}

impl Local {
    /// At most so many bytes.
    pub(super) fn new(max_bytes: u64, lives: Lives) -> Self {
        let by_room: Arc<DashMap<RoomId, HashSet<Key>>> = Arc::default();
        let index = Arc::clone(&by_room);
        let gone = move |key: Arc<Key>, _: Arc<Copy>, cause: RemovalCause| {
            if cause == RemovalCause::Replaced {
                return;
            }
            let label = match cause {
                RemovalCause::Size => "size",
                RemovalCause::Expired => "time",
                RemovalCause::Explicit | RemovalCause::Replaced => "outdated",
            };
            EVICTIONS.with_label_values(&[label]).inc();
            if let Some(room) = key.room() {
                index.remove_if_mut(&room, |_, keys| {
                    keys.remove(&*key);
                    keys.is_empty()
                });
            }
        };
        Self {
            copies: Moka::builder()
                .max_capacity(max_bytes)
                .weigher(|key: &Key, copy: &Arc<Copy>| {
                    u32::try_from(copy.weight() + key.weight()).unwrap_or(u32::MAX)
                })
                .expire_after(lives)
                .eviction_listener(gone)
                .build(),
            by_room,
        }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Copy>> {
        self.copies.get(key)
    }

    /// Keeps a copy unless the one that is there is newer.
    pub(super) fn put(&self, key: Key, copy: &Arc<Copy>) -> Filled {
        let mut filled = Filled::Kept;
        if let Some(room) = key.room() {
            self.by_room.entry(room).or_default().insert(key.clone());
        }
        self.copies.entry(key).and_compute_with(|old| {
            match judge(old.map(|it| it.value().version), copy.version) {
                Verdict::Put => Op::Put(Arc::clone(copy)),
                Verdict::Keep => {
                    filled = Filled::Older;
                    Op::Nop
                }
                Verdict::Drop => {
                    filled = Filled::Older;
                    Op::Remove
                }
            }
        });
        filled
    }

    pub(super) fn remove(&self, key: &Key) {
        self.copies.invalidate(key);
    }

    /// Takes out the copies of a room that do not hold.
    pub(super) fn sweep(&self, room: RoomId, holds: impl Fn(&Copy) -> bool) {
        let keys: Vec<Key> = match self.by_room.get(&room) {
            Some(keys) => keys.iter().cloned().collect(),
            None => return,
        };
        for key in keys {
            if self.copies.get(&key).is_some_and(|copy| !holds(&copy)) {
                self.copies.invalidate(&key);
            }
        }
    }

    /// Takes out everything.
    pub(super) fn clear(&self) {
        self.copies.invalidate_all();
    }

    /// How many there are, and what they weigh.
    pub(super) fn size(&self) -> (u64, u64) {
        self.copies.run_pending_tasks();
        let size = (self.copies.entry_count(), self.copies.weighted_size());
        ENTRIES.set(i64::try_from(size.0).unwrap_or(i64::MAX));
        BYTES.set(i64::try_from(size.1).unwrap_or(i64::MAX));
        size
    }

    /// The keys of a room's copies.
    pub(super) fn keys_of(&self, room: RoomId) -> Vec<Key> {
        let keys = self.by_room.get(&room);
        keys.map(|it| it.iter().cloned().collect())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::cache::copy::{Object, Rendered};
    use crate::cache::ledger::Stamp;
    use crate::cache::version::{CASES, Version};
    use crate::protocol::event::Epoch;

    fn local(max_bytes: u64) -> Local {
        let life = |kind| (kind, Duration::from_secs(60));
        Local::new(max_bytes, Lives(Kind::ALL.map(life).into()))
    }

    fn copy(epoch: i32, seq: u64, bytes: usize) -> Arc<Copy> {
        let body = Rendered::new("e", Bytes::from(vec![b'x'; bytes]), None);
        Arc::new(Copy {
            version: Version::new(Epoch(epoch), seq),
            object: Object::Body(body),
            tags: Vec::new(),
            began: Stamp::default(),
            loaded_at: Instant::now(),
            good_for: None,
            is_shared: false,
            jitter: 0.0,
        })
    }

    #[test]
    fn an_older_never_takes_the_place_of_a_newer() {
        for &(old, new, verdict) in CASES {
            let (local, key) = (local(1 << 20), Key::Room(RoomId::generate()));
            if let Some((epoch, seq)) = old {
                local.put(key.clone(), &copy(epoch, seq, 1));
            }
            local.put(key.clone(), &copy(new.0, new.1, 1));
            let left = local
                .get(&key)
                .map(|it| (it.version.epoch.0, it.version.seq));
            let expected = match verdict {
                Verdict::Put => Some(new),
                Verdict::Keep => old,
                Verdict::Drop => None,
            };
            assert_eq!(left, expected, "{old:?} {new:?}");
        }
    }

    #[test]
    fn it_is_bounded_in_bytes_and_so_is_its_index() {
        let local = local(100_000);
        for _ in 0..1000 {
            local.put(Key::Room(RoomId::generate()), &copy(1, 1, 1000));
        }
        let (entries, bytes) = local.size();
        assert!(entries > 10 && bytes <= 100_000, "{entries} {bytes}");
        assert!(local.by_room.len() <= 100, "{}", local.by_room.len());
    }

    #[test]
    fn a_rooms_copies_are_taken_out_at_once() {
        let (local, room) = (local(1 << 20), RoomId::generate());
        let keys = [1, 2, 3].map(|limit| Key::Members(room, None, limit));
        for (seq, key) in keys.iter().enumerate() {
            local.put(key.clone(), &copy(1, seq as u64, 1));
        }
        local.sweep(room, |copy| copy.version.seq == 2);
        let left: Vec<_> = keys.iter().map(|key| local.get(key).is_some()).collect();
        assert_eq!(left, [false, false, true]);
    }
}
