//! The node's reader of the control log: sessions that were ended, memberships that changed,
//! orders to drain, on whatever node or by whatever command.
//!
//! One task a node applies the entries in their order, from where the log ended when the node
//! started. It looks whenever Postgres notifies of new ones, whenever this node has written some,
//! and every `hub.anti_entropy_ms` in case both were missed. It never skips one: ids are dense, and an id is
//! visible only together with all before it (see [`crate::store::control_log`]). If entries are
//! missing all the same, because the node was frozen for longer than they are kept or the database
//! was restored, everybody has to reconnect, by which their sessions and memberships are looked at
//! anew.
//!
//! Applying an entry twice changes nothing. What happens on this node has been applied here before
//! its entry is read: the log is for the others, and for what was missed.
//!
//! A node that cannot read the log does not know whose session has ended or who was banned: it
//! refuses what only some may do, until it can ([`Control::check`]).

mod reader;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::bus::envelope::Origin;
use crate::config::{self, Config};
use crate::hub::HubHandle;
use crate::hub::cluster::Cluster;
use crate::hub::metrics::ACTORS_DOWN;
use crate::protocol::error::{ErrorCode, Refusal};

/// A task that panicked is started again after this.
const RESTART: Duration = Duration::from_secs(1);

/// What the reader works with.
#[derive(Debug, Clone)]
pub(crate) struct ControlSettings {
    /// This node, in this life.
    pub(crate) origin: Origin,
    /// How often the log is looked at when nothing is heard.
    pub(crate) poll: Duration,
    /// After so long without a successful read the log counts as unknown.
    pub(crate) stale_after: Duration,
    /// Over which time clients are told to move when the node is ordered to drain.
    pub(crate) drain_spread: Duration,
}

impl ControlSettings {
    /// Of the node `origin`.
    pub(crate) fn new(config: &Config, origin: Origin) -> Self {
        let config::Hub {
            anti_entropy_ms,
            control_stale_ms,
            ..
        } = config.hub;
        Self {
            origin,
            // Often enough for it not to count as unknown meanwhile.
            poll: Duration::from_millis(anti_entropy_ms.min(control_stale_ms / 3)),
            stale_after: Duration::from_millis(control_stale_ms),
            drain_spread: Duration::from_millis(config.http.drain_ms),
        }
    }
}

/// What the node knows of the log. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: ControlSettings,
    /// Whose connection the log is read by.
    cluster: Cluster,
    progress: Mutex<Progress>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// How far the log has been applied.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    /// The last entry; none until the log has been found.
    position: Option<u64>,
    /// When it was last known that there is nothing after it.
    read_at: Option<Instant>,
}

impl Control {
    /// Nothing is read before [`Control::start`].
    pub(crate) fn new(settings: ControlSettings, cluster: Cluster) -> Self {
        Self {
            shared: Arc::new(Shared {
                settings,
                cluster,
                progress: Mutex::default(),
                task: Mutex::default(),
            }),
        }
    }

    /// Begins to read; within a running actix system.
    pub(crate) fn start(&self, hub: &HubHandle) {
        let (control, hub) = (self.clone(), hub.clone());
        let reading = supervised("control", move || reader::run(control.clone(), hub.clone()));
        *self.shared.task.lock() = Some(reading);
    }

    /// Ends that.
    pub(crate) fn stop(&self) {
        if let Some(task) = self.shared.task.lock().take() {
            task.abort();
        }
    }

    /// Has the log looked at now.
    pub(crate) fn poke(&self) {
        self.shared.cluster.ears().control.notify_one();
    }

    /// Whether the log has been found.
    pub(crate) fn is_ready(&self) -> bool {
        self.shared.progress.lock().position.is_some()
    }

    /// Whether the node knows what it must know for commands that not everybody may give.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let read_at = self.shared.progress.lock().read_at;
        match read_at {
            Some(at) if at.elapsed() <= self.shared.settings.stale_after => Ok(()),
            _ => Err(Refusal::new(
                ErrorCode::Unavailable,
                "this node cannot read the control log: it does not know who may do this",
            )),
        }
    }
}

/// Runs a task, again and again if it panics.
pub(super) fn supervised<F: Future<Output = ()> + 'static>(
    name: &'static str,
    make: impl Fn() -> F + 'static,
) -> JoinHandle<()> {
    actix_rt::spawn(async move {
        while AssertUnwindSafe(make()).catch_unwind().await.is_err() {
            ACTORS_DOWN.with_label_values(&[name]).inc();
            tracing::error!(
                task = name,
                "a task of the hub panicked; it is started again"
            );
            tokio::time::sleep(RESTART).await;
        }
    })
}
