//! Clients whose sessions are on other nodes and whose way leads through this one: when it tells its own
//! to move, these are sent away, too, one after the other. They come back by another way.

use crate::transport::Transport;

/// Waits until this node is to stop, and then for one client's turn to go.
pub(super) async fn comes(transport: &Transport) {
    let spread = transport.hub.drains().await;
    // Nobody here knows all of them: chance spreads them.
    let turn = spread.mul_f64(rand::random::<f64>());
    tokio::time::sleep(turn).await;
}
