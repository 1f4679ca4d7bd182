//! How many files the process may have open: a connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// Connections that are taken where open files are not limited.
const MOST: usize = 10_000_000;

/// For what is no connection: listeners, pipes, the log, files that are read, threads' pollers.
const RESERVE: usize = 100;

/// Raises the limit as far as it goes, and says how many TCP connections clients may have within
/// it. `outside` is how many connections to Postgres there are besides the pool's.
pub(super) fn make_room(config: &Config, outside: usize) -> usize {
    let limit = raise();
    let ours = config.database.pool_max + outside + RESERVE;
    let wanted = config.http.max_tcp_connections;
    let possible = limit.saturating_sub(ours).clamp(1, MOST);
    if wanted == 0 {
        tracing::info!("open files allow up to {possible} connections");
    } else if possible < wanted {
        tracing::warn!(
            limit,
            wanted = wanted + ours,
            "open files are limited to {limit}, and http.max_tcp_connections = {wanted} with \
             {ours} for everything else needs {}: no more than {possible} connections will be \
             taken. Raise the hard limit (LimitNOFILE= of systemd, --ulimit nofile= of Docker, \
             ulimit -Hn) or lower http.max_tcp_connections",
            wanted + ours
        );
    }
    possible
}

/// Raises the soft limit to the hard one. The limit that holds then.
fn raise() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files could not be raised");
            limit.current
        }
    };
    // None is no limit.
    current.map_or(usize::MAX, |files| {
        usize::try_from(files).unwrap_or(usize::MAX)
    })
}
