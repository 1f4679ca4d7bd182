//! Callers who get no connection: the log is told of a shortage, not of each of them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::store::StoreError;

/// Between two lines on a shortage that lasts.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// When nobody was refused for so long, it is over.
const OVER_AFTER: Duration = Duration::from_secs(5);

/// A shortage, while there is one.
#[derive(Debug)]
struct Shortage {
    since: Instant,
    told: Instant,
    last: Instant,
    refused: u64,
}

/// What the log is to be told.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Begun,
    Lasts { refused: u64 },
    Over { refused: u64, lasted: Duration },
}

fn refused(shortage: &mut Option<Shortage>, now: Instant) -> Option<Line> {
    let Some(known) = shortage else {
        *shortage = Some(Shortage {
            since: now,
            told: now,
            last: now,
            refused: 1,
        });
        return Some(Line::Begun);
    };
    known.last = now;
    known.refused += 1;
    if now.saturating_duration_since(known.told) < AGAIN_AFTER {
        return None;
    }
    known.told = now;
    Some(Line::Lasts {
        refused: known.refused,
    })
}

fn served(shortage: &mut Option<Shortage>, now: Instant) -> Option<Line> {
    let known =
        shortage.take_if(|known| now.saturating_duration_since(known.last) >= OVER_AFTER)?;
    Some(Line::Over {
        refused: known.refused,
        lasted: known.last.saturating_duration_since(known.since),
    })
}

/// Tells the log.
#[derive(Debug, Default)]
pub(super) struct ShortageLog {
    /// Spares those who get a connection the lock.
    is_short: AtomicBool,
    shortage: Mutex<Option<Shortage>>,
}

impl ShortageLog {
    /// A caller got no connection of a pool of this size.
    pub(super) fn refused(&self, why: &StoreError, size: usize) {
        let mut shortage = self.shortage.lock();
        let line = refused(&mut shortage, Instant::now());
        self.is_short.store(true, Ordering::Relaxed);
        drop(shortage);
        let error = why as &dyn std::error::Error;
        match line {
            Some(Line::Begun) => tracing::warn!(
                error,
                pool = size,
                "no connection to Postgres for a request, which is refused; further ones are counted. \
                 If Postgres has too few, raise its max_connections, or lower database.pool_max or \
                 set database.nodes_expected on all nodes; if the pool is too small, raise \
                 database.pool_max"
            ),
            Some(Line::Lasts { refused }) => tracing::warn!(
                error,
                pool = size,
                refused,
                "still there are requests that get no connection to Postgres"
            ),
            Some(Line::Over { .. }) | None => {}
        }
    }

    /// A caller got one.
    pub(super) fn served(&self) {
        if !self.is_short.load(Ordering::Relaxed) {
            return;
        }
        let mut shortage = self.shortage.lock();
        if let Some(Line::Over { refused, lasted }) = served(&mut shortage, Instant::now()) {
            self.is_short.store(false, Ordering::Relaxed);
            let ms = lasted.as_millis();
            tracing::info!(
                refused,
                ms,
                "every request gets a connection to Postgres again"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_told_when_it_begins_each_minute_and_when_it_is_over() {
        let (mut shortage, now) = (None, Instant::now());
        let at = |ms| now + Duration::from_millis(ms);
        assert_eq!(served(&mut shortage, at(0)), None);
        assert_eq!(refused(&mut shortage, at(0)), Some(Line::Begun));
        for n in 1..600 {
            assert_eq!(refused(&mut shortage, at(n * 100)), None);
            // Some are served meanwhile.
            assert_eq!(served(&mut shortage, at(n * 100 + 50)), None);
        }
        let line = refused(&mut shortage, at(60_000));
        assert_eq!(line, Some(Line::Lasts { refused: 601 }));
        assert_eq!(served(&mut shortage, at(64_999)), None);
        let lasted = Duration::from_secs(60);
        let over = Line::Over {
            refused: 601,
            lasted,
        };
        assert_eq!(served(&mut shortage, at(65_000)), Some(over));
        assert_eq!(refused(&mut shortage, at(65_001)), Some(Line::Begun));
    }
}
