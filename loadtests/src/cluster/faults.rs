//! What happens to a cluster of two nodes, and how soon it gets over it.

use serde::Serialize;

use super::Extent;
use super::presence::{self, Vanished};
use super::redis_gone::{self, RedisGone};
use super::times::Times;
use crate::error::LoadError;
use crate::nodes::{Nodes, NodesOptions};
use crate::people::People;
use crate::{Common, recovery};

/// How soon what has happened shows on the other node.
#[derive(Debug, Serialize)]
pub(crate) struct Faults {
    /// From the request that revokes a session on one node until its socket on the other is closed.
    pub(crate) revoked: Times,
    /// From Redis's death and return.
    pub(crate) redis: RedisGone,
    /// From a node's death.
    pub(crate) vanished: Vanished,
}

pub(super) async fn measure(common: &Common, extent: &Extent) -> Result<Faults, LoadError> {
    let binary = common.binary()?;
    let options = NodesOptions {
        binary: &binary,
        folder: common.folder.as_deref(),
        role: &common.role,
        database: &common.database,
        cores: None,
        pair: true,
        settings: &[],
    };
    eprintln!("… two nodes start");
    let mut nodes = Nodes::start(&options).await?;
    let people = usize::from(extent.revocations).max(20) + 1;
    let people = People::gather(&nodes.first.address, people, 1).await?;
    eprintln!("… {} sessions are revoked", extent.revocations);
    let addresses = [
        nodes.first.address.as_str(),
        nodes.second.as_ref().map_or("", |node| &node.address),
    ];
    let mut revoked = Times::within(recovery::REVOKED);
    for closed in recovery::revoke(addresses, &people, extent.revocations.into()).await? {
        revoked.add(closed);
    }
    eprintln!("… Redis dies and comes back");
    let redis = redis_gone::measure(&mut nodes, &people, extent.kills).await?;
    eprintln!("… a node is killed");
    let vanished = presence::measure(&mut nodes, &options, &people, extent.kills).await?;
    nodes.stop().await?;
    Ok(Faults {
        revoked,
        redis,
        vanished,
    })
}
