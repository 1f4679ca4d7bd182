//! The port for other nodes: taken first, written into the database with the node's life, served
//! when there is something to answer.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use super::StartError;
use super::host::NodeHost;
use crate::auth::Authenticator;
use crate::cache::Cache;
use crate::config;
use crate::hub::HubHandle;
use crate::peers::{self, Channel, Peers};
use crate::transport::socketio::PassedOnHost;

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

    /// Where other nodes find it. They may come once it is in the database, and wait to be answered.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Answers them.
    pub(super) fn serve(
        self,
        peers: &Peers,
        hub: &HubHandle,
        authenticator: &Authenticator,
        cache: &Cache,
        socketio: &config::SocketIo,
    ) -> Result<Channel, StartError> {
        let host = NodeHost {
            cache: cache.clone(),
            hub: hub.clone(),
            authenticator: authenticator.clone(),
            socketio: PassedOnHost::new(hub.clone(), socketio.clone()),
        };
        let failed = |source| refused(self.bind, source);
        Channel::serve(self.listener, peers, Arc::new(host)).map_err(failed)
    }
}

fn refused(address: SocketAddr, source: io::Error) -> StartError {
    StartError::BindPeers { address, source }
}
