//! What clients do when their node goes away, as docs/PROTOCOL.md asks of them.

use std::time::Duration;

use crate::error::LoadError;
use crate::socket::Socket;

/// A handshake, or an answer, that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// The random wait after a first failure, at most; twice as long after each further one.
const BACKOFF: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(8);

/// Waits before the next attempt.
#[derive(Debug)]
pub(super) struct Backoff {
    most: Duration,
    /// Of a generator of numbers that is random enough.
    state: u64,
}

impl Backoff {
    /// They differ by the seed.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            most: BACKOFF,
            state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
        }
    }

    /// It went well.
    pub(super) fn reset(&mut self) {
        self.most = BACKOFF;
    }

    /// How long to wait now.
    pub(super) fn pause(&mut self) -> Duration {
        // xorshift
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let part = (self.state % 1000) as f64 / 1000.0;
        let pause = self.most.mul_f64(part);
        self.most = (self.most * 2).min(BACKOFF_MAX);
        pause
    }
}

/// Opens a socket.
pub(super) async fn connect(address: &str, token: &str) -> Result<Socket, LoadError> {
    in_time(Socket::connect(address, token)).await
}

/// What does not take too long.
pub(super) async fn in_time<T>(
    work: impl Future<Output = Result<T, LoadError>>,
) -> Result<T, LoadError> {
    tokio::time::timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|_| Err(LoadError::Unexpected("no answer in time".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_random_and_bounded() {
        let mut pauses = Vec::new();
        for seed in 0..100 {
            let mut backoff = Backoff::new(seed);
            let first = backoff.pause();
            assert!(first <= BACKOFF, "{first:?}");
            pauses.push(first);
            for _ in 0..10 {
                assert!(backoff.pause() <= BACKOFF_MAX);
            }
        }
        pauses.sort();
        pauses.dedup();
        assert!(pauses.len() > 80, "they differ: {}", pauses.len());
    }
}
