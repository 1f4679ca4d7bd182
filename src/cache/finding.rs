//! Whether there is a copy, and how good it is.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Inner;
use super::copy::Copy;
use super::key::Key;
use super::least::needed;
use super::staleness::Freshness;
use crate::protocol::cursor::Position;

/// What there is of a key.
pub(super) enum Found {
    /// It holds, and is fresh.
    Fresh(Arc<Copy>),
    /// It holds, and is to be made anew.
    Aged(Arc<Copy>),
    /// For when nothing better can be had.
    Reserve(Arc<Copy>),
    Nothing,
}

impl Inner {
    /// What there is.
    pub(super) fn look(&self, key: &Key, seen: Option<Position>) -> Found {
        let Some(copy) = self.local.get(key) else {
            return Found::Nothing;
        };
        let age = copy.age(Instant::now());
        let lifetime = self.settings.lifetime(key.kind());
        let mut freshness = lifetime.judge(age, copy.jitter);
        if copy.good_for.is_some_and(|good| age >= good) {
            freshness = Freshness::Over;
        }
        if freshness == Freshness::Over {
            return Found::Nothing;
        }
        let ledger = self.ledger.read();
        let (tags, began, version) = (&copy.tags, copy.began, copy.version);
        if !ledger.holds_of_what_was_told(tags, began, version) {
            drop(ledger);
            self.local.remove(key);
            return Found::Nothing;
        }
        let reaches = match (key.room(), seen) {
            (Some(room), Some(seen)) => {
                // Of another life than what was seen: whether that is the present one must be read.
                seen.epoch == version.epoch
                    && ledger.reaches(room, version, needed(version, Some(seen)))
            }
            _ => true,
        };
        let is_known = reaches && ledger.holds(tags, began, version) && self.is_sound();
        drop(ledger);
        match freshness {
            Freshness::Fresh if is_known => Found::Fresh(copy),
            Freshness::Aged if is_known => Found::Aged(copy),
            // What a client has seen is not taken from it again.
            _ if reaches => Found::Reserve(copy),
            _ => Found::Nothing,
        }
    }

    /// Whether what has changed is told, as far as is known: the database answers, and the heads were
    /// compared lately.
    pub(super) fn is_sound(&self) -> bool {
        if self.outages.as_ref().is_some_and(|it| *it.borrow()) {
            return false;
        }
        let compared = Duration::from_millis(self.compared_ms.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(compared) <= self.settings.sound_for
    }

    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
