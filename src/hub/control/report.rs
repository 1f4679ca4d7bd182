//! The node's row among the nodes: its state, its connections, its lease.

use std::time::Duration;

use crate::bus::envelope::Origin;
use crate::hub::HubHandle;
use crate::store::nodes::{self, NodeState};
use crate::store::{Store, StoreError};

/// How often a node says how it is: several times within its lease of 10 s.
const EVERY: Duration = Duration::from_secs(2);

/// And while somebody may be watching how its clients go.
const EVERY_WHILE_DRAINING: Duration = Duration::from_millis(200);

/// How often it is looked whether the node has begun to drain.
const LOOK: Duration = Duration::from_millis(50);

/// Reports for as long as the node lives.
pub(super) async fn run(origin: Origin, hub: HubHandle) {
    loop {
        let state = state_of(&hub);
        match report(hub.store(), &origin, state, hub.connections()).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(node = %origin.node, "another node has taken this one's name");
            }
            Err(error) => tracing::debug!(%error, "the node's state was not written"),
        }
        let pause = match state {
            NodeState::Draining => EVERY_WHILE_DRAINING,
            _ => EVERY,
        };
        // A change is told at once.
        let mut waited = Duration::ZERO;
        while waited < pause && state_of(&hub) == state {
            tokio::time::sleep(LOOK).await;
            waited += LOOK;
        }
    }
}

fn state_of(hub: &HubHandle) -> NodeState {
    match (hub.is_draining(), hub.connections()) {
        (false, _) => NodeState::Serving,
        (true, 0) => NodeState::Drained,
        (true, _) => NodeState::Draining,
    }
}

/// Writes the node's row once. False if it belongs to a later life.
pub(in crate::hub) async fn report(
    store: &Store,
    origin: &Origin,
    state: NodeState,
    connections: usize,
) -> Result<bool, StoreError> {
    let conn = store.get().await?;
    nodes::report(&conn, &origin.node, origin.incarnation, state, connections).await
}
