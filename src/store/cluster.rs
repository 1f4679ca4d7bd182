//! What a node must know to talk with others: their addresses, the secret, and the time by
//! Postgres's clock.

use std::fmt;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::nodes::NodeState;
use super::statement::{Statement, statement};
use super::{Conn, StoreError, seq};
use crate::protocol::origin::Origin;

const MAKE_SECRET: Statement = statement!("cluster/make_secret");
const CLOCK_AND_SECRET: Statement = statement!("cluster/clock_and_secret");
const NODES: Statement = statement!("cluster/nodes");

/// The secret by which nodes know each other. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub [u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What Postgres's clock has shown, and when. From there on this machine's clock that never jumps
/// tells the time; what the machine thinks that it is o'clock is nobody's matter.
#[derive(Debug, Clone, Copy)]
pub struct ClockReading {
    /// What it has shown.
    pub showed: Timestamp,
    /// Then.
    pub at: Instant,
}

impl ClockReading {
    /// Microseconds since 1970 by Postgres's clock.
    #[must_use]
    pub fn micros_at(&self, at: Instant) -> i64 {
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let passed = match at.checked_duration_since(self.at) {
            Some(passed) => micros(passed),
            None => -micros(self.at - at),
        };
        self.showed.as_microsecond().saturating_add(passed)
    }
}

/// A node that may be running.
#[derive(Debug, Clone, PartialEq)]
pub struct Peer {
    /// Which, in which of its lives.
    pub origin: Origin,
    /// Where other nodes find it; empty: it does not listen for them.
    pub address: String,
    /// Where clients find it.
    pub http_address: String,
    /// What it is doing.
    pub state: NodeState,
    /// Which way its events go: `local`, `redis` or `fallback`.
    pub bus_state: String,
    /// Its open connections when it last said so.
    pub connections: u64,
    /// When it started.
    pub started_at: Timestamp,
    /// How long its lease still lasts; negative: for how long it has been over. Seconds.
    pub lease_left_s: f64,
}

/// All of that, read at once.
#[derive(Debug, Clone)]
pub struct ClusterReading {
    /// The secret.
    pub secret: Secret,
    /// The time.
    pub clock: ClockReading,
    /// The nodes, by name.
    pub peers: Vec<Peer>,
}

/// Reads it. If there is no secret yet, `fresh` becomes it.
pub async fn read(conn: &Conn, fresh: &Secret) -> Result<ClusterReading, StoreError> {
    let (mut secret, mut clock) = clock_and_secret(conn).await?;
    if secret.is_none() {
        conn.execute(&MAKE_SECRET, &[&&fresh.0[..]]).await?;
        (secret, clock) = clock_and_secret(conn).await?;
    }
    let missing = || StoreError::Corrupt {
        what: "secret of the cluster",
        source: "it has not been made, or was deleted".into(),
    };
    Ok(ClusterReading {
        secret: secret.ok_or_else(missing)?,
        clock,
        peers: nodes(conn).await?,
    })
}

async fn clock_and_secret(conn: &Conn) -> Result<(Option<Secret>, ClockReading), StoreError> {
    let asked = Instant::now();
    let row = conn.query_one(&CLOCK_AND_SECRET, &[]).await?;
    // It has read its clock somewhere in between.
    let at = asked + asked.elapsed() / 2;
    let secret: Option<&[u8]> = row.try_get("secret")?;
    let secret = secret.and_then(|it| it.try_into().ok()).map(Secret);
    let showed = row.try_get("now")?;
    Ok((secret, ClockReading { showed, at }))
}

/// The nodes that may be running, by name.
pub async fn nodes(conn: &Conn) -> Result<Vec<Peer>, StoreError> {
    let rows = conn.query(&NODES, &[]).await?;
    rows.iter()
        .map(|row| {
            let id: &str = row.try_get("id")?;
            Ok(Peer {
                origin: Origin {
                    node: id.into(),
                    incarnation: seq::from_db(row.try_get("incarnation")?)?,
                },
                address: row.try_get("address")?,
                http_address: row.try_get("http_address")?,
                state: NodeState::parse(row.try_get("state")?)?,
                bus_state: row.try_get("bus_state")?,
                connections: seq::from_db(row.try_get("connections")?)?,
                started_at: row.try_get("started_at")?,
                lease_left_s: row.try_get("lease_left_s")?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_goes_on_from_what_was_read() {
        let at = Instant::now() + Duration::from_secs(1);
        let showed = Timestamp::from_microsecond(1_000_000).unwrap();
        let clock = ClockReading { showed, at };
        assert_eq!(clock.micros_at(at + Duration::from_millis(5)), 1_005_000);
        assert_eq!(
            clock.micros_at(at.checked_sub(Duration::from_millis(5)).unwrap()),
            995_000
        );
    }

    #[test]
    fn the_secret_does_not_show() {
        assert_eq!(format!("{:?}", Secret([7; 32])), "Secret(…)");
    }
}
