//! Keeps the LISTEN connection: when it ends, another is made. Whatever may have been missed
//! meanwhile is looked for at once.

use std::sync::Arc;
use std::time::Duration;

use super::Cluster;
use crate::hub::anti_entropy::AntiEntropy;
use crate::store::Store;
use crate::store::feed::Feed;

/// The pause after the first attempt that failed; each later one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Keeps it for as long as the node lives.
pub(super) async fn run(cluster: Cluster, anti_entropy: AntiEntropy) {
    loop {
        until_it_ends(&cluster).await;
        let feed = open(&cluster).await;
        cluster.shared.feed.send_replace(Some(Arc::new(feed)));
        tracing::info!("the node listens to Postgres again");
        anti_entropy.hint();
        let ears = &cluster.shared.ears;
        ears.control.notify_one();
        // The name is to be taken again.
        ears.nodes.notify_one();
    }
}

async fn until_it_ends(cluster: &Cluster) {
    let mut feeds = cluster.shared.feed.subscribe();
    loop {
        let Some(feed) = feeds.borrow_and_update().clone() else {
            return;
        };
        if feed.is_closed() {
            cluster.give_up(&feed);
            return;
        }
        tokio::select! {
            () = cluster.shared.ears.ended.notified() => {}
            changed = feeds.changed() => {
                if changed.is_err() {
                    return std::future::pending().await;
                }
            }
        }
    }
}

async fn open(cluster: &Cluster) -> Feed {
    let settings = &cluster.shared.settings;
    let mut pause = FIRST_PAUSE;
    loop {
        let ears = Arc::clone(&cluster.shared.ears);
        match Feed::open(&settings.database_url, &settings.connect, ears).await {
            Ok(feed) => return feed,
            Err(error) if pause == FIRST_PAUSE => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(
                    error,
                    "the node cannot listen to Postgres; it is tried again"
                );
            }
            Err(error) => tracing::debug!(%error, "still no LISTEN connection"),
        }
        tokio::time::sleep(pause.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Has heads compared whenever Postgres can be reached again.
pub(super) async fn look_after_outages(store: Store, anti_entropy: AntiEntropy) {
    let mut outages = store.outages();
    while outages.changed().await.is_ok() {
        if !*outages.borrow_and_update() {
            anti_entropy.hint();
        }
    }
    std::future::pending::<()>().await;
}
