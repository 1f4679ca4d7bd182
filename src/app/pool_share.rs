//! Keeps the pool to this node's part of the server's connections while nodes come and go.

use std::future::pending;

use tokio::task::JoinHandle;

use crate::hub::HubHandle;
use crate::store::{Store, StoreError, nodes};

/// Before the node uses its pool: it may not be the first. Its own life has begun.
pub(super) async fn at_start(store: &Store) -> Result<(), StoreError> {
    let all = nodes::list(&store.get().await?).await?;
    let living = all.iter().filter(|node| node.is_alive).count();
    store.divide_among(living.max(1));
    Ok(())
}

/// From then on, until it is aborted.
pub(super) fn start(store: Store, hub: &HubHandle) -> JoinHandle<()> {
    let mut peers = hub.peers();
    actix_rt::spawn(async move {
        loop {
            let living = 1 + peers.borrow_and_update().len();
            let again_in = store.divide_among(living);
            let again = async {
                match again_in {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                changed = peers.changed() => if changed.is_err() { return },
                () = again => {}
            }
        }
    })
}
