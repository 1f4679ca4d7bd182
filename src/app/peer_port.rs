//! The port for other nodes: taken first, written into the database with the node's life, served
//! when there is something to answer.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use super::StartError;
use super::host::NodeHost;
use crate::auth::Authenticator;
use crate::config;
use crate::hub::HubHandle;
use crate::peers::{self, Channel, Peers};
use crate::protocol::origin::Origin;
use crate::store::{Store, StoreError, nodes};

/// A port that was taken.
pub(super) struct PeerPort {
    listener: TcpListener,
    bind: SocketAddr,
    /// Where other nodes find it.
    address: String,
}

impl PeerPort {
    pub(super) fn bind(config: &config::Node) -> Result<Self, StartError> {
        let bind = config.cluster_bind;
        let failed = |source| refused(bind, source);
        let listener = peers::bind(bind).map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        Ok(Self {
            listener,
            bind,
            address: config.cluster_address(bound),
        })
    }

    /// Counts this life of the node, which clients find at `http_address`. Other nodes may come
    /// from now on, and wait to be answered.
    pub(super) async fn begin_life(
        &self,
        store: &Store,
        id: &str,
        http_address: SocketAddr,
    ) -> Result<Origin, StoreError> {
        let http_address = http_address.to_string();
        let incarnation = nodes::begin_life(store, id, &http_address, &self.address).await?;
        tracing::info!(
            node = id,
            address = self.address,
            "other nodes find this one there"
        );
        Ok(Origin {
            node: id.into(),
            incarnation,
        })
    }

    /// Answers them.
    pub(super) fn serve(
        self,
        peers: &Peers,
        hub: &HubHandle,
        authenticator: &Authenticator,
    ) -> Result<Channel, StartError> {
        let host = NodeHost {
            hub: hub.clone(),
            authenticator: authenticator.clone(),
        };
        let failed = |source| refused(self.bind, source);
        Channel::serve(self.listener, peers, Arc::new(host)).map_err(failed)
    }
}

fn refused(address: SocketAddr, source: io::Error) -> StartError {
    StartError::BindPeers { address, source }
}
