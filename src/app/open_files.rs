//! How many files the process may have open: a connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// Connections that are taken where open files are not limited.
const MOST: usize = 10_000_000;

/// For what is no connection: listeners, pipes, the log, files that are read, and scrapes.
const RESERVE: usize = 64;

/// For connections that are being told that there is no place, see `transport::accept`.
const FAREWELLS: usize = 64;

/// What each thread with a runtime has open: its poller, and what wakes it.
const FILES_OF_THREAD: usize = 4;

/// Threads with a runtime besides the workers and the arbiters: the main one, the server's, and
/// some that come and go.
const OTHER_THREADS: usize = 4;

/// Raises the limit as far as it goes, and says how many TCP connections clients may have within
/// it. `outside` is how many connections to Postgres there are besides the pool's.
pub(super) fn make_room(config: &Config, outside: usize) -> usize {
    let limit = raise();
    let database = &config.database;
    let of_replicas = database.replica_urls.len() * database.replica_pool_max;
    let ours =
        database.pool_max + of_replicas + outside + RESERVE + FAREWELLS + files_of_threads(config);
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

/// What the threads have open.
fn files_of_threads(config: &Config) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let or_cores = |threads| if threads == 0 { cores } else { threads };
    let threads = or_cores(config.http.workers) + or_cores(config.hub.arbiters) + 1;
    FILES_OF_THREAD * (threads + OTHER_THREADS)
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
