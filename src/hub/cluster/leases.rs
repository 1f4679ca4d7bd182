//! The node's own lease, and a look at those of others with each renewal.

use std::sync::Arc;
use std::time::Duration;

use super::{Cluster, Successor};
use crate::fault;
use crate::hub::HubHandle;
use crate::hub::anti_entropy::AntiEntropy;
use crate::hub::metrics::{PEER_EVENTS, PEERS, RENEWALS_FAILED};
use crate::hub::peers::{PeerEvent, PeerLife};
use crate::store::StoreError;
use crate::store::feed::Feed;
use crate::store::nodes::NodeState;

/// While somebody may be watching how the node's clients go.
const EVERY_WHILE_DRAINING: Duration = Duration::from_millis(200);

/// Between two renewals, however often the nodes change.
const AT_LEAST: Duration = Duration::from_millis(20);

/// A lease is looked at so long after it has run out.
const LATER: Duration = Duration::from_millis(5);

/// After the way to the others has changed they may have told of something on the way before: a
/// second look finds it.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// The connections by which the node's name is or was held.
#[derive(Debug, Default)]
struct Named {
    /// The one that holds it.
    by: Option<i32>,
    /// The one before, which may not have been seen to have ended.
    before: Option<i32>,
}

/// Renews for as long as the node lives, or until another life has its name.
pub(super) async fn run(cluster: Cluster, hub: HubHandle, anti_entropy: AntiEntropy) {
    let mut named = Named {
        by: cluster.feed().ok().map(|feed| feed.pid()),
        before: None,
    };
    let mut bus = cluster.shared.bus.clone();
    let mut is_failing = false;
    loop {
        match round(&cluster, &hub, &anti_entropy, &mut named).await {
            Ok(None) if is_failing => {
                is_failing = false;
                tracing::info!("the node's lease is renewed again");
            }
            Ok(None) => {}
            Ok(Some(successor)) => {
                tracing::error!(
                    node = %cluster.shared.settings.origin.node,
                    incarnation = cluster.shared.settings.origin.incarnation,
                    by = successor.incarnation,
                    address = successor.address,
                    "another node has taken this one's name; this one stops"
                );
                cluster.shared.successor.send_replace(Some(successor));
                return std::future::pending().await;
            }
            Err(error) => {
                RENEWALS_FAILED.inc();
                cluster.shared.peers.lock().failed();
                if !is_failing {
                    is_failing = true;
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the node's lease was not renewed; it is tried again");
                }
            }
        }
        tokio::time::sleep(AT_LEAST).await;
        let pause = pause(&cluster, &hub);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = cluster.shared.ears.nodes.notified() => {}
            () = cluster.shared.poke.notified() => {}
            // A bus that is gone changes no more.
            Ok(()) = bus.changed() => anti_entropy.hint(),
        }
    }
}

fn pause(cluster: &Cluster, hub: &HubHandle) -> Duration {
    let every = if hub.is_draining() {
        EVERY_WHILE_DRAINING
    } else {
        cluster.shared.settings.report_every
    };
    let expiry = cluster.shared.peers.lock().next_expiry();
    every.min(expiry.map_or(every, |expiry| expiry + LATER))
}

async fn round(
    cluster: &Cluster,
    hub: &HubHandle,
    anti_entropy: &AntiEntropy,
    named: &mut Named,
) -> Result<Option<Successor>, StoreError> {
    fault::point!(
        "hub.cluster.lease",
        Err(StoreError::unavailable("cut off by a test"))
    );
    let feed = cluster.feed()?;
    let outcome = renew(cluster, hub, anti_entropy, named, &feed).await;
    outcome.inspect_err(|error| cluster.failed(&feed, error))
}

async fn renew(
    cluster: &Cluster,
    hub: &HubHandle,
    anti_entropy: &AntiEntropy,
    named: &mut Named,
    feed: &Arc<Feed>,
) -> Result<Option<Successor>, StoreError> {
    let me = &cluster.shared.settings.origin.node;
    if named.by != Some(feed.pid()) {
        take_name_again(feed, me, named).await?;
    }
    let renewal = cluster.renewal(state_of(hub), hub.connections());
    let is_ours = feed.report(&renewal).await?;
    let seen = feed.peers(me).await?;
    if !seen.rows.is_empty() {
        cluster.shared.clock.compare(seen.now_us);
    }
    if !is_ours {
        let other = seen.rows.into_iter().find(|row| *row.id == **me);
        return Ok(Some(Successor {
            incarnation: other.as_ref().map_or(0, |row| row.incarnation),
            address: other.map(|row| row.address).unwrap_or_default(),
        }));
    }
    let (events, is_after_outage) = {
        let mut peers = cluster.shared.peers.lock();
        (peers.read(seen), peers.is_after_outage())
    };
    publish(cluster, anti_entropy);
    let has_died = events
        .iter()
        .any(|event| matches!(event, PeerEvent::Died(_)));
    if has_died || is_after_outage {
        anti_entropy.hint();
    }
    for event in events {
        tell(cluster, event);
    }
    Ok(None)
}

/// Takes the name for a connection that was made again. If another has it, its life is found soon.
async fn take_name_again(feed: &Feed, me: &str, named: &mut Named) -> Result<(), StoreError> {
    named.before = named.by.take().or(named.before);
    if feed.take_name(me).await? {
        *named = Named {
            by: Some(feed.pid()),
            before: None,
        };
    } else if let Some(before) = named.before {
        // The server may hold a connection for long that has broken.
        feed.end_name_holder(me, before).await?;
    }
    Ok(())
}

/// Lets others see who lives, and whether they are to be told by NOTIFY.
fn publish(cluster: &Cluster, anti_entropy: &AntiEntropy) {
    let shared = &cluster.shared;
    let (living, counts, needs_notices) = {
        let peers = shared.peers.lock();
        let needs_notices = peers.need_notices(*shared.bus.borrow());
        (peers.living(), peers.counts(), needs_notices)
    };
    for (state, count) in [
        ("living", counts.living),
        ("unheard", counts.unheard),
        ("gone", counts.gone),
    ] {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        PEERS.with_label_values(&[state]).set(count);
    }
    shared.living.send_if_modified(|known| {
        let is_new = **known != *living;
        if is_new {
            *known = living.into();
        }
        is_new
    });
    if shared.notices.want(needs_notices) {
        anti_entropy.hint();
        let hints = anti_entropy.clone();
        actix_rt::spawn(async move {
            tokio::time::sleep(SECOND_LOOK).await;
            hints.hint();
        });
    }
}

fn tell(cluster: &Cluster, event: PeerEvent) {
    let (name, PeerLife { node, incarnation }) = match &event {
        PeerEvent::Joined(life) => ("joined", life),
        PeerEvent::Died(life) => ("died", life),
        PeerEvent::Left(life) => ("left", life),
    };
    PEER_EVENTS.with_label_values(&[name]).inc();
    tracing::info!(peer = %node, incarnation, "another node has {name}");
    // Nobody may want to know.
    cluster.shared.events.send(event).ok();
}

fn state_of(hub: &HubHandle) -> NodeState {
    match (hub.is_draining(), hub.connections()) {
        (false, _) => NodeState::Serving,
        (true, 0) => NodeState::Drained,
        (true, _) => NodeState::Draining,
    }
}
