//! What an operator orders from outside of a node: by the database, through which every node
//! hears of it.

use std::time::{Duration, Instant};

use actix_rt::System;

use super::identity;
use crate::config::{Config, Database};
use crate::store::embedded::{EmbeddedError, running_url};
use crate::store::nodes::{self, NodeReport, NodeState};
use crate::store::{Conn, Store, StoreError, control_log, users};

/// How often a node that drains is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Connections that an operator's command may take besides what nodes take: it needs one.
const OUTSIDE: usize = 1;

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The node's own Postgres.
    #[error("cannot use the Postgres of the data folder")]
    Embedded(#[from] EmbeddedError),
    /// There is neither.
    #[error(
        "no database.url is set and no Postgres runs in {} (node.data_dir): is this the folder of \
         a running node?", .0.display()
    )]
    NoDatabase(std::path::PathBuf),
    /// The database.
    #[error("cannot use the database")]
    Store(#[from] StoreError),
    /// Nobody has this name.
    #[error("there is no user called {0:?}")]
    NoSuchUser(String),
    /// No room has this name.
    #[error("there is no room called {0:?}")]
    NoSuchRoom(String),
    /// No node has this name.
    #[error("there is no node called {name:?}; {known}")]
    NoSuchNode {
        /// What was asked for.
        name: String,
        /// Those that there are, for people.
        known: String,
    },
    /// It does not run.
    #[error("node {name:?} is not running: {why}")]
    NotRunning {
        /// Which.
        name: String,
        /// How that is known.
        why: &'static str,
    },
    /// No node runs.
    #[error("no node is running on this database")]
    NoneRunning,
    /// Several do, and none was named.
    #[error("several nodes are running: say which by --node, or --all; {known}")]
    WhichNode {
        /// Those that there are, for people.
        known: String,
    },
    /// It died on the way.
    #[error(
        "node {0:?} has not been heard of since; its clients come back elsewhere by themselves"
    )]
    Died(String),
    /// It takes too long.
    #[error("not drained within {} s: {left} connection(s) are left; the order stands", .limit.as_secs())]
    TooSlow {
        /// How long it was waited.
        limit: Duration,
        /// How many connections are left.
        left: u64,
    },
}

/// Which nodes are to drain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DrainTarget {
    /// The one of that name.
    Node(String),
    /// The one of the configuration's name or data folder, or the only one that runs.
    Own,
    /// All that run.
    All,
}

/// Orders nodes to drain. `told` hears how it goes. With a limit it is waited until they have
/// drained; without one this returns when the order is given.
pub fn drain(
    config: &Config,
    target: &DrainTarget,
    wait: Option<Duration>,
    mut told: impl FnMut(&str),
) -> Result<(), OrderError> {
    System::new().block_on(async {
        let store = connect(config).await?;
        let conn = store.get().await?;
        let all = nodes::list(&conn).await?;
        let meant = choose(config, target, all)?;
        match target {
            DrainTarget::All => {
                control_log::order_drain(&conn, None).await?;
            }
            DrainTarget::Node(_) | DrainTarget::Own => {
                for node in &meant {
                    control_log::order_drain(&conn, Some(&node.id)).await?;
                }
            }
        }
        for node in &meant {
            told(&format!(
                "{} at {} was ordered to drain; {} connection(s)",
                node.id, node.address, node.connections
            ));
        }
        match wait {
            Some(limit) => watch(&conn, meant, limit, told).await,
            None => Ok(()),
        }
    })
}

/// Shuts a user out of everything at once. How many sessions ended.
pub fn deactivate_user(config: &Config, username: &str) -> Result<u64, OrderError> {
    System::new().block_on(async {
        let store = connect(config).await?;
        let ended = users::deactivate(&store.get().await?, username).await?;
        ended.ok_or_else(|| OrderError::NoSuchUser(username.to_owned()))
    })
}

/// Lets a user in again.
pub fn activate_user(config: &Config, username: &str) -> Result<(), OrderError> {
    System::new().block_on(async {
        let store = connect(config).await?;
        if users::activate(&store.get().await?, username).await? {
            return Ok(());
        }
        Err(OrderError::NoSuchUser(username.to_owned()))
    })
}

/// A pool of one connection, to the configured database or to the one that runs in the data
/// folder.
pub(super) async fn connect(config: &Config) -> Result<Store, OrderError> {
    let url = match &config.database.url {
        Some(url) => url.clone(),
        None => running_url(&config.node.data_dir)
            .ok_or_else(|| OrderError::NoDatabase(config.node.data_dir.clone()))?,
    };
    let database = Database {
        pool_max: 1,
        pool_min: 0,
        nodes_expected: 1,
        ..config.database.clone()
    };
    Ok(Store::connect_beside(&database, &url, OUTSIDE).await?)
}

/// The nodes that are meant; all of them run.
fn choose(
    config: &Config,
    target: &DrainTarget,
    all: Vec<NodeReport>,
) -> Result<Vec<NodeReport>, OrderError> {
    let known = names(&all);
    let named = |name: &str| all.iter().find(|node| node.id == name).cloned();
    let node = match target {
        DrainTarget::Node(name) => {
            let name = name.clone();
            named(&name).ok_or(OrderError::NoSuchNode { name, known })?
        }
        DrainTarget::Own | DrainTarget::All => {
            let own = identity::known_id(&config.node).and_then(|name| named(&name));
            if let (DrainTarget::Own, Some(own)) = (target, own) {
                own
            } else {
                let running: Vec<_> = all.into_iter().filter(|node| runs(node).is_ok()).collect();
                return match running.len() {
                    0 => Err(OrderError::NoneRunning),
                    2.. if *target == DrainTarget::Own => Err(OrderError::WhichNode {
                        known: names(&running),
                    }),
                    _ => Ok(running),
                };
            }
        }
    };
    match runs(&node) {
        Ok(()) => Ok(vec![node]),
        Err(why) => Err(OrderError::NotRunning { name: node.id, why }),
    }
}

/// Whether a node runs, or why it is thought not to.
fn runs(node: &NodeReport) -> Result<(), &'static str> {
    if node.state == NodeState::Stopped {
        return Err("it was stopped");
    }
    if node.is_alive {
        Ok(())
    } else {
        Err("it has not been heard of for longer than its lease of 10 s")
    }
}

fn names(nodes: &[NodeReport]) -> String {
    if nodes.is_empty() {
        return "there is none at all".to_owned();
    }
    let name = |node: &NodeReport| match runs(node) {
        Ok(()) => format!("{} ({})", node.id, node.state.as_str()),
        Err(_) => format!("{} (not running)", node.id),
    };
    let names: Vec<_> = nodes.iter().map(name).collect();
    format!("known are {}", names.join(", "))
}

/// Waits until the nodes have drained, and tells of each change.
async fn watch(
    conn: &Conn,
    meant: Vec<NodeReport>,
    limit: Duration,
    mut told: impl FnMut(&str),
) -> Result<(), OrderError> {
    let begun = Instant::now();
    let mut seen: Vec<_> = meant.into_iter().map(|node| (node, false)).collect();
    loop {
        let all = nodes::list(conn).await?;
        for (node, is_done) in seen.iter_mut().filter(|(_, is_done)| !is_done) {
            let Some(now) = all.iter().find(|it| it.id == node.id) else {
                continue;
            };
            // Another life of it has not drained, but the one that was meant has ended.
            let is_gone = now.state == NodeState::Stopped || now.incarnation != node.incarnation;
            *is_done = is_gone || now.state == NodeState::Drained;
            if *is_done {
                let state = if is_gone { "stopped" } else { "drained" };
                told(&format!("{} is {state}", node.id));
                continue;
            }
            if !now.is_alive {
                return Err(OrderError::Died(node.id.clone()));
            }
            if (now.state, now.connections) != (node.state, node.connections) {
                told(&format!(
                    "{} is {}; {} connection(s) left",
                    now.id,
                    now.state.as_str(),
                    now.connections
                ));
                *node = now.clone();
            }
        }
        if seen.iter().all(|(_, is_done)| *is_done) {
            return Ok(());
        }
        if begun.elapsed() >= limit {
            let left = seen.iter().filter(|(_, is_done)| !is_done);
            let left = left.map(|(node, _)| node.connections).sum();
            return Err(OrderError::TooSlow { limit, left });
        }
        tokio::time::sleep(LOOK).await;
    }
}
