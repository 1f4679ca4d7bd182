//! The composition root: builds a node out of its layers, and owns the order in which they start
//! and stop.

mod cluster;
mod copies_watch;
mod error;
mod host;
mod identity;
mod metrics_page;
mod node;
mod open_files;
mod operator;
mod peer_port;
mod pool_share;
mod retention;
mod sweeper;
mod warming;

use std::time::Duration;

use actix_rt::System;
use actix_rt::signal::unix::{SignalKind, signal};

pub use self::cluster::{
    Disconnected, Meant, NodeConnections, NodeCopies, NodeLine, connections, copies, disconnect,
    drop_copies, nodes,
};
pub use self::error::StartError;
pub use self::node::Node;
pub use self::operator::{DrainTarget, OrderError, activate_user, deactivate_user, drain};
use crate::config::Config;
use crate::hub::cluster::Successor;
use crate::stall::{self, ThreadKind, Watch};
use crate::store;
use crate::store::embedded::Cluster;

/// Runs a node until it is told to stop (SIGTERM, SIGINT): then its clients are told to move and
/// everything acknowledged is stored before this returns. A second signal ends it at once. SIGHUP
/// has it read its certificate again.
pub fn serve(config: Config) -> Result<(), StartError> {
    let watch = Watch::start(config.telemetry.stall_ms).map_err(StartError::Threads)?;
    let runtime = stall::runtime(ThreadKind::Main).map_err(StartError::Threads)?;
    let served = System::with_tokio_rt(|| runtime).block_on(async move {
        // Before anything is started: a signal during the start must not leave things behind.
        let mut stop = StopSignals::new()?;
        let mut reload = signal(SignalKind::hangup()).map_err(StartError::Signals)?;
        let node = tokio::select! {
            node = Node::start(config) => node?,
            () = stop.next() => return Ok(()),
        };
        let successor = loop {
            tokio::select! {
                () = stop.next() => break None,
                _ = reload.recv() => node.reload(),
                successor = node.succeeded() => break Some(successor),
            }
        };
        tokio::select! {
            stopped = node.stop() => match successor {
                Some(Successor { incarnation, address }) => {
                    Err(StartError::Succeeded { incarnation, address })
                }
                None => stopped,
            },
            () = stop.next() => {
                tracing::warn!("told to stop again: stopping at once");
                Err(StartError::Interrupted)
            }
        }
    });
    drop(watch);
    served
}

/// Brings the database's schema up to date.
pub fn migrate(config: Config) -> Result<(), StartError> {
    System::new().block_on(async move {
        if let Some(url) = &config.database.url {
            report(&store::migrate(url).await?);
            return Ok(());
        }
        let cluster = Cluster::start(&config.database, &config.node.data_dir).await?;
        let migrated = store::migrate(cluster.url()).await;
        cluster.stop().await?;
        report(&migrated?);
        Ok(())
    })
}

fn report(applied: &store::Applied) {
    tracing::info!(
        version = applied.version,
        applied = applied.names.len(),
        "the database's schema is up to date"
    );
}

/// The signals that end a node.
struct StopSignals {
    terminate: actix_rt::signal::unix::Signal,
    interrupt: actix_rt::signal::unix::Signal,
}

impl StopSignals {
    fn new() -> Result<Self, StartError> {
        let listen = |kind| signal(kind).map_err(StartError::Signals);
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Polls until a condition holds or the time is up; whether it holds.
async fn until(limit: Duration, holds: impl Fn() -> bool) -> bool {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(limit, waiting).await.is_ok()
}
