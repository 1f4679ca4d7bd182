//! Rooms by their ids, without a cryptographic hash at each event: the ids are ours, and most of
//! their bits are random.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::protocol::id::RoomId;

/// A map by rooms.
pub(super) type ByRoom<T> = HashMap<RoomId, T, BuildHasherDefault<IdHasher>>;

/// Takes an id's own bits.
#[derive(Debug, Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks_exact(8) {
            let bits = chunk
                .iter()
                .fold(0, |bits, byte| bits << 8 | u64::from(*byte));
            // The multiplication brings random bits where the map looks for them, at the top.
            self.0 = (self.0.rotate_left(32) ^ bits).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    fn write_usize(&mut self, _: usize) {
        // An array's length.
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::BuildHasher as _;

    use super::*;

    #[test]
    fn ids_of_one_moment_spread() {
        let hasher = BuildHasherDefault::<IdHasher>::default();
        let hashes: Vec<u64> = (0..10_000)
            .map(|_| hasher.hash_one(RoomId::generate()))
            .collect();
        let low: HashSet<u64> = hashes.iter().map(|hash| hash & 0xf_ffff).collect();
        let high: HashSet<u64> = hashes.iter().map(|hash| hash >> 57).collect();
        // By chance 48 of them are not the first with their bits.
        assert!(low.len() > 9_800, "{}", low.len());
        assert_eq!(high.len(), 128);
    }
}
