//! Keeps the LISTEN connection: when it ends, another is made, at once if it had lasted. Whatever
//! may have been missed meanwhile is looked for at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Cluster, listening};
use crate::hub::anti_entropy::AntiEntropy;
use crate::hub::changes::{Changes, Loss};
use crate::hub::metrics::LISTEN_CONNECTS;
use crate::store::Store;
use crate::store::feed::Feed;

/// The pause after the first attempt that failed, or a connection that ended soon; each later one is
/// twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// One that ends before this is no sign that things are well.
const LASTING: Duration = Duration::from_secs(10);

/// Keeps it for as long as the node lives.
pub(super) async fn run(cluster: Cluster, anti_entropy: AntiEntropy, changes: Changes) {
    let mut pauses = Pauses::default();
    let mut begun: Option<Instant> = None;
    loop {
        until_it_ends(&cluster).await;
        changes.lost(Loss::Listen);
        // One after the other that ends soon is one outage, and is told as one.
        let is_news = begun.is_none_or(|begun| begun.elapsed() >= LASTING);
        if is_news {
            pauses = Pauses::default();
        } else {
            pauses.next().await;
        }
        let feed = open(&cluster, &mut pauses, is_news).await;
        cluster.shared.feed.send_replace(Some(Arc::new(feed)));
        // What was told between the two.
        changes.lost(Loss::Listen);
        begun = Some(Instant::now());
        if is_news {
            tracing::info!("the node listens to Postgres again");
        }
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

/// The pauses between attempts, since it has last been well.
#[derive(Debug)]
struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Self {
        Self(FIRST_PAUSE)
    }
}

impl Pauses {
    async fn next(&mut self) {
        tokio::time::sleep(self.0.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
        self.0 = (self.0 * 2).min(LONGEST_PAUSE);
    }
}

async fn open(cluster: &Cluster, pauses: &mut Pauses, mut is_news: bool) -> Feed {
    let settings = &cluster.shared.settings;
    let options = listening(&settings.connect, settings.lease);
    loop {
        let ears = Arc::clone(&cluster.shared.ears);
        let opened = Feed::open(&settings.database_url, &options, ears).await;
        let outcome = if opened.is_ok() { "ok" } else { "failed" };
        LISTEN_CONNECTS.with_label_values(&[outcome]).inc();
        match opened {
            Ok(feed) => return feed,
            Err(error) if is_news => {
                is_news = false;
                let error = &error as &dyn std::error::Error;
                tracing::warn!(
                    error,
                    "the node cannot listen to Postgres; it is tried again"
                );
            }
            Err(error) => tracing::debug!(%error, "still no LISTEN connection"),
        }
        pauses.next().await;
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
