//! Presence and the other nodes: what comes from them, what they ask, and who they are.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::broadcast::error::RecvError;

use super::shard::{Answer, Compare, Hear, Stand, Surround};
use super::state::Neighbour;
use super::{Presence, away, send_certainly};
use crate::bus::BusState;
use crate::bus::envelope::Payload;
use crate::bus::presence::SHARDS;
use crate::hub::HubHandle;
use crate::hub::metrics::PRESENCE_HEARD;
use crate::hub::peers::{Peer, PeerEvent, PeerLife};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::origin::Origin;
use crate::protocol::presence::{
    PresenceDigest, PresenceDigests, PresencePage, PresencePull, PresenceStands,
};

impl Presence {
    /// What another node has said on a shard's channel.
    pub(crate) fn hear(&self, shard: u8, origin: &Origin, said: Payload) {
        let Some(addr) = self.at(shard.into(), |_| true) else {
            return;
        };
        let origin = origin.clone();
        // What does not fit is lost, and shows in the next digest.
        let is_taken = match said {
            Payload::PresenceDiff { version, changes } => addr
                .try_send(Hear {
                    origin,
                    version,
                    changes,
                })
                .is_ok(),
            Payload::PresenceDigest(digest) => addr.try_send(Compare { origin, digest }).is_ok(),
            _ => {
                count("other", "bad");
                return;
            }
        };
        if !is_taken {
            count("other", "overflow");
        }
    }

    /// Answers another node: who is present by this one.
    pub(crate) async fn page(&self, pull: PresencePull) -> Result<PresencePage, Refusal> {
        divide_alike(pull.shards)?;
        let shard = self.at(pull.shard.into(), |_| true).ok_or_else(away)?;
        let page = shard.send(Answer { pull }).await.map_err(|_| away())?;
        page.ok_or_else(away)
    }

    /// Answers another node: where this one stands.
    pub(crate) async fn stands(&self, stands: PresenceStands) -> Result<PresenceDigests, Refusal> {
        divide_alike(stands.shards)?;
        let asked = (0..self.len()).map(|shard| async move {
            let shard = self.at(shard, |_| true)?;
            shard.send(Stand).await.ok().flatten()
        });
        Ok(join_all(asked).await)
    }

    fn surround(&self, change: &Surround) {
        match change {
            Surround::Neighbours(neighbours) => {
                self.surroundings.write().neighbours.clone_from(neighbours);
            }
            Surround::Bus(bus) => self.surroundings.write().bus = *bus,
            Surround::Lost(_) => {}
        }
        for shard in 0..self.len() {
            if let Some(addr) = self.at(shard, |_| true) {
                send_certainly(addr, change.clone());
            }
        }
    }

    /// Tells the shards who lives and how the bus is, and asks those nodes where they stand that
    /// cannot say it by the bus.
    pub(crate) async fn look_around(self, hub: HubHandle, every: Duration) {
        let mut living = hub.peers();
        let mut events = hub.peer_events();
        let mut bus = hub.shared.bridge.states();
        living.mark_changed();
        bus.mark_changed();
        let mut polls = tokio::time::interval(every);
        polls.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                Ok(()) = living.changed() => {
                    let peers = living.borrow_and_update().clone();
                    let neighbours = peers.iter().map(neighbour).collect();
                    self.surround(&Surround::Neighbours(neighbours));
                }
                event = events.recv() => match event {
                    // Who lives is known by now.
                    Ok(PeerEvent::Died(life)) => self.surround(&Surround::Lost(origin(&life))),
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    // The hub has ended.
                    Err(RecvError::Closed) => return,
                },
                Ok(()) = bus.changed() => {
                    let state = *bus.borrow_and_update();
                    self.surround(&Surround::Bus(state));
                }
                _ = polls.tick() => self.poll().await,
            }
        }
    }

    /// Asks where those nodes stand that share no bus with this one.
    async fn poll(&self) {
        let (neighbours, bus) = {
            let surroundings = self.surroundings.read();
            (surroundings.neighbours.clone(), surroundings.bus)
        };
        if bus == BusState::Fallback {
            return;
        }
        let local = Some(BusState::Local);
        let is_apart = |it: &Neighbour| it.bus == local || bus == BusState::Local;
        let apart = neighbours.into_iter().filter(is_apart);
        let polling = apart.map(|it| async move {
            let stands = self.asker.stands(&it.origin).await.unwrap_or_default();
            for (shard, digest) in (0..SHARDS).zip(stands) {
                self.compare(shard, &it.origin, digest);
            }
        });
        join_all(polling).await;
    }

    fn compare(&self, shard: u8, origin: &Origin, digest: Option<PresenceDigest>) {
        if let Some(digest) = digest {
            self.hear(shard, origin, Payload::PresenceDigest(digest));
        }
    }
}

fn count(kind: &str, fate: &str) {
    PRESENCE_HEARD.with_label_values(&[kind, fate]).inc();
}

/// Another version may divide the rooms otherwise.
fn divide_alike(shards: u8) -> Result<(), Refusal> {
    if shards == SHARDS {
        return Ok(());
    }
    Err(Refusal::new(
        ErrorCode::InvalidRequest,
        "this version divides rooms otherwise",
    ))
}

fn neighbour(peer: &Peer) -> Neighbour {
    Neighbour {
        origin: origin(&peer.life),
        bus: peer.bus,
    }
}

fn origin(life: &PeerLife) -> Origin {
    Origin {
        node: (*life.node).into(),
        incarnation: life.incarnation,
    }
}
