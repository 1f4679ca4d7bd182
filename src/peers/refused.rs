//! Why a request of another node is refused.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::metrics::REFUSED;

/// Of each reason one line within this time is logged, with how many there were.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Why a request of another node is refused, before it is looked at what it asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It has no header that could be judged.
    #[error("the request is not signed")]
    Unsigned,
    /// It was not made by somebody who has the secret, or was changed since.
    #[error("the request's signature is not good")]
    Forged,
    /// It is for another node, or for another life of this one.
    #[error("the request is for another node, or for another life of this one")]
    WrongNode,
    /// It is too old, or of the future.
    #[error("the request's time is too far from the present")]
    Expired,
    /// It was accepted before.
    #[error("the request came before")]
    Replayed,
    /// Its body is too large.
    #[error("the request's body is too large")]
    TooLarge,
    /// Its body took too long.
    #[error("the request's body took too long")]
    TooSlow,
    /// Too many are being answered.
    #[error("too many requests are being answered")]
    Overloaded,
    /// Nothing is asked that this version knows.
    #[error("this version of the node does not know the question")]
    UnknownQuery,
    /// What is asked cannot be read.
    #[error("the question cannot be read")]
    InvalidRequest,
}

impl Refused {
    /// Every reason.
    pub const ALL: [Self; 10] = [
        Self::Unsigned,
        Self::Forged,
        Self::WrongNode,
        Self::Expired,
        Self::Replayed,
        Self::TooLarge,
        Self::TooSlow,
        Self::Overloaded,
        Self::UnknownQuery,
        Self::InvalidRequest,
    ];

    /// A stable code, and the label in metrics and logs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Forged => "forged",
            Self::WrongNode => "wrong_node",
            Self::Expired => "expired",
            Self::Replayed => "replayed",
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::Overloaded => "overloaded",
            Self::UnknownQuery => "unknown_query",
            Self::InvalidRequest => "invalid_request",
        }
    }

    /// The HTTP status of the answer.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Unsigned | Self::Forged | Self::Expired | Self::Replayed => 401,
            Self::WrongNode => 421,
            Self::TooLarge => 413,
            Self::TooSlow => 408,
            Self::Overloaded => 503,
            Self::UnknownQuery => 404,
            Self::InvalidRequest => 400,
        }
    }
}

/// Counts refusals and logs them at a bounded rate, whatever comes.
#[derive(Debug, Default)]
pub(super) struct RefusalLog {
    reasons: Mutex<[Seen; Refused::ALL.len()]>,
}

/// What there was of one reason.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    logged_at: Option<Instant>,
    since: u64,
}

impl RefusalLog {
    /// A request from this address was refused; `from` is who it says that it is.
    pub(super) fn note(&self, refused: Refused, address: Option<&str>, from: Option<&str>) {
        REFUSED.with_label_values(&[refused.code()]).inc();
        if let Some(count) = self.due(refused, Instant::now()) {
            tracing::warn!(
                code = refused.code(),
                count,
                address,
                from,
                "a request of another node was refused: {refused}"
            );
        }
    }

    /// How many there were since the last line; none if it is not time for another.
    fn due(&self, refused: Refused, now: Instant) -> Option<u64> {
        let mut reasons = self.reasons.lock();
        let seen = &mut reasons[refused as usize];
        seen.since += 1;
        let is_due = seen.logged_at.is_none_or(|at| now >= at + LOG_EVERY);
        is_due.then(|| {
            seen.logged_at = Some(now);
            std::mem::take(&mut seen.since)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_line_now_and_then() {
        let (log, now) = (RefusalLog::default(), Instant::now());
        assert_eq!(log.due(Refused::Forged, now), Some(1));
        for _ in 0..100 {
            assert_eq!(log.due(Refused::Forged, now), None);
        }
        assert_eq!(log.due(Refused::Replayed, now), Some(1), "another reason");
        assert_eq!(log.due(Refused::Forged, now + LOG_EVERY), Some(101));
    }

    #[test]
    fn all_have_codes_of_their_own() {
        let codes: std::collections::HashSet<_> = Refused::ALL.iter().map(|it| it.code()).collect();
        assert_eq!(codes.len(), Refused::ALL.len());
        for (place, refused) in Refused::ALL.into_iter().enumerate() {
            assert_eq!(refused as usize, place);
        }
    }
}
