//! What a copy was built from. Pure.

use crate::protocol::event::{Epoch, Seq};

/// The form of the bodies that this version of the program writes. It moves whenever a body of the
/// same version would look different, so that no client and no other node takes one for the other.
pub const SCHEMA: u8 = 1;

/// What a copy was built from: the last event of its room at that moment, or the version of its row
/// (then in epoch 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// The log's life.
    pub epoch: Epoch,
    /// The last event, or the row's version.
    pub seq: Seq,
}

impl Version {
    /// Of a room's log.
    #[must_use]
    pub const fn new(epoch: Epoch, seq: Seq) -> Self {
        Self { epoch, seq }
    }

    /// Of a row that has a version of its own.
    #[must_use]
    pub const fn of_row(version: u64) -> Self {
        Self::new(Epoch(0), version)
    }
}

/// What becomes of a copy that is to be kept where another is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is kept.
    Put,
    /// The other is newer and stays.
    Keep,
    /// Nobody can tell which of two logs is the present one: neither is kept.
    Drop,
}

/// Whether `new` takes the place of `old`. The script of the shared copies decides the same, by the
/// same `CASES`.
#[must_use]
pub fn judge(old: Option<Version>, new: Version) -> Verdict {
    match old {
        Some(old) if old.epoch != new.epoch => Verdict::Drop,
        Some(old) if old.seq > new.seq => Verdict::Keep,
        _ => Verdict::Put,
    }
}

/// An epoch and a seq.
#[cfg(test)]
type Numbers = (i32, u64);

/// What is there, what comes, and what becomes of it.
#[cfg(test)]
pub(super) const CASES: &[(Option<Numbers>, Numbers, Verdict)] = &[
    (None, (1, 0), Verdict::Put),
    (Some((1, 5)), (1, 6), Verdict::Put),
    (Some((1, 5)), (1, 5), Verdict::Put),
    (Some((1, 5)), (1, 4), Verdict::Keep),
    (Some((1, 9)), (1, 10), Verdict::Put),
    (Some((1, 10)), (1, 9), Verdict::Keep),
    (Some((1, 1 << 53)), (1, (1 << 53) + 1), Verdict::Put),
    (Some((1, (1 << 53) + 1)), (1, 1 << 53), Verdict::Keep),
    (Some((1, i64::MAX as u64)), (1, 7), Verdict::Keep),
    (Some((1, 5)), (2, 6), Verdict::Drop),
    (Some((2, 5)), (1, 4), Verdict::Drop),
    (Some((i32::MAX, 0)), (i32::MAX, 0), Verdict::Put),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_never_takes_the_place_of_a_newer() {
        let version = |(epoch, seq)| Version::new(Epoch(epoch), seq);
        for &(old, new, verdict) in CASES {
            assert_eq!(
                judge(old.map(version), version(new)),
                verdict,
                "{old:?} {new:?}"
            );
        }
    }
}
