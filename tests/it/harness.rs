//! What the tests stand on: a private Postgres, nodes, clients.
//!
//! Everything that is started here ends with the test process, however that ends: see
//! [`watchdog`].

pub(crate) mod browser;
pub(crate) mod deflate;
pub(crate) mod dev_cluster;
pub(crate) mod engineio;
pub(crate) mod log;
pub(crate) mod msgpack;
pub(crate) mod nginx;
pub(crate) mod node;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod raw;
pub(crate) mod redis;
pub(crate) mod rest;
pub(crate) mod scripts;
pub(crate) mod socket;
pub(crate) mod stream;
pub(crate) mod tcp_proxy;
pub(crate) mod tls;
pub(crate) mod watchdog;

use std::time::Duration;

/// Far longer than anything waited for should take on a slow machine: only failures take it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// How many rounds a test makes: `rounds`, and twenty times as many for `make test-long`.
pub(crate) fn rounds(rounds: usize) -> usize {
    if std::env::var_os("HUBBUB_TEST_LONG").is_some() {
        return 20 * rounds;
    }
    rounds
}

/// Waits until `attempt` gives something. The clock of the machine is not the test's matter: the
/// condition is, so the deadline is generous and `what` says what never happened.
pub(crate) async fn eventually<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let attempts = async {
        loop {
            if let Some(found) = attempt().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, attempts)
        .await
        .unwrap_or_else(|_| panic!("never happened: {what}"))
}
