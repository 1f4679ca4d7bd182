//! What the cache says of itself, for operators.

use std::time::Instant;

use super::Cache;
use super::key::{Key, Kind};
use crate::metric::{CACHE_HITS, CACHE_MISSES};
use crate::protocol::copies::{CopiesOfKind, CopiesQuery, CopiesReport, CopyLine};
use crate::protocol::id::RoomId;

/// Copies that are listed at most.
pub const LISTED_MAX: u32 = 500;

impl Cache {
    /// How it is, and which copies of a room there are.
    #[must_use]
    pub fn report(&self, query: &CopiesQuery) -> CopiesReport {
        let inner = &self.inner;
        let (entries, bytes) = inner.local.size();
        let kind = |kind: Kind| CopiesOfKind {
            kind: kind.name().to_owned(),
            hits: CACHE_HITS.with_label_values(&[kind.name()]).get(),
            misses: CACHE_MISSES.with_label_values(&[kind.name()]).get(),
        };
        let limit = query.limit.min(LISTED_MAX) as usize;
        let copies = query.room.map(|room| self.copies_of(room, limit));
        CopiesReport {
            entries,
            bytes,
            rooms: inner.ledger.read().rooms() as u64,
            loading: inner.flights.under_way() as u64,
            sound: inner.is_sound(),
            kinds: Kind::ALL.map(kind).into(),
            copies: copies.unwrap_or_default(),
        }
    }

    fn copies_of(&self, room: RoomId, max: usize) -> Vec<CopyLine> {
        let inner = &self.inner;
        let now = Instant::now();
        let line = |key: Key| {
            let copy = inner.local.get(&key)?;
            let ledger = inner.ledger.read();
            Some(CopyLine {
                key: format!("{key:?}"),
                epoch: copy.version.epoch.0,
                seq: copy.version.seq,
                age_ms: u64::try_from(copy.age(now).as_millis()).unwrap_or(u64::MAX),
                bytes: copy.weight() as u64,
                holds: ledger.holds(&copy.tags, copy.began, copy.version),
            })
        };
        let keys = inner.local.keys_of(room).into_iter();
        keys.filter_map(line).take(max).collect()
    }
}
