//! Anti-entropy: what was lost without a later event that would show the hole is found by
//! comparing where each active room stands with the head of its log.
//!
//! One batched query for the node every `hub.anti_entropy_ms`, and at once on a hint: when
//! something happened that may have lost events. There is never more than one under way.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::ArbiterHandle;
use tokio::sync::{Notify, mpsc};

use crate::fault;
use crate::hub::changes::Changes;
use crate::hub::metrics::ANTI_ENTROPY_SECONDS;
use crate::hub::registry::Registry;
use crate::hub::room::{RoomHandle, SawHead};
use crate::hub::supervision::{ActorId, Down, Guard};
use crate::protocol::event::{Epoch, Seq};
use crate::store::room_events::{self, Head};
use crate::store::{Store, StoreError};

/// Rooms compared by one statement.
const CHUNK: usize = 1000;

/// What was told of a commit gets everywhere within this time, or nearly always.
const ON_ITS_WAY: Duration = Duration::from_millis(20);

/// A server that answers at all does so within this time.
const PING: Duration = Duration::from_secs(1);

/// The way to the comparison. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct AntiEntropy {
    interval: Duration,
    hint: Arc<Notify>,
}

/// A room that is compared, and where it stood before the query.
struct Compared {
    room: RoomHandle,
    epoch: Epoch,
    delivered: Seq,
}

impl AntiEntropy {
    /// A comparison in each interval.
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval,
            hint: Arc::default(),
        }
    }

    /// Events may have been lost: do not wait for the next turn.
    pub(crate) fn hint(&self) {
        self.hint.notify_one();
    }

    /// Begins to compare, on an arbiter.
    pub(crate) fn start(
        &self,
        arbiter: &ArbiterHandle,
        store: Store,
        registry: Registry,
        changes: Changes,
        reports: mpsc::Sender<Down>,
        guard: Guard,
    ) {
        let Self { interval, hint } = self.clone();
        arbiter.spawn(async move {
            let _guard = guard;
            loop {
                // Whichever comes first.
                tokio::time::timeout(interval, hint.notified()).await.ok();
                fault::point!("hub.anti_entropy.turn");
                turn(&store, &registry, &changes, &reports).await;
            }
        });
    }
}

/// One comparison of all that is to be compared.
async fn turn(store: &Store, registry: &Registry, changes: &Changes, reports: &mpsc::Sender<Down>) {
    fault::point!("hub.anti_entropy.compare", ());
    let began = Instant::now();
    let rooms = living(registry, reports);
    for chunk in rooms.chunks(CHUNK) {
        if let Err(error) = compare(store, chunk).await {
            tracing::debug!(%error, "the heads cannot be compared now");
            return;
        }
    }
    if let Err(error) = compare_copies(store, changes).await {
        tracing::debug!(%error, "the heads of rooms that there are copies of cannot be compared now");
    }
    if !rooms.is_empty() {
        ANTI_ENTROPY_SECONDS.observe(began.elapsed().as_secs_f64());
    }
}

/// The same of rooms that there are copies of, whether they are in use here or not.
async fn compare_copies(store: &Store, changes: &Changes) -> Result<(), StoreError> {
    let followed = changes.watch().followed();
    let mut others = Vec::new();
    for chunk in followed.chunks(CHUNK) {
        others.extend(room_events::other_heads(store, chunk.iter().copied()).await?);
    }
    if followed.is_empty() {
        // That nothing is missing is only known of a server that answers.
        store.ping(PING).await?;
    }
    if !others.is_empty() {
        // What was just committed is on its way.
        tokio::time::sleep(ON_ITS_WAY).await;
    }
    changes.watch().compared(&others);
    Ok(())
}

/// Where the rooms stand. One that has ended is reported again: its first report may have found
/// the queue full.
fn living(registry: &Registry, reports: &mpsc::Sender<Down>) -> Vec<Compared> {
    let mut rooms = Vec::new();
    for room in registry.all() {
        if !room.is_alive() {
            let (id, life) = (ActorId::Room(room.id()), room.life());
            // Full again: the next turn comes.
            reports.try_send(Down { id, life }).ok();
        } else if let Some((epoch, delivered)) = room.standing() {
            rooms.push(Compared {
                room,
                epoch,
                delivered,
            });
        }
    }
    rooms
}

async fn compare(store: &Store, rooms: &[Compared]) -> Result<(), StoreError> {
    let by_id: HashMap<_, _> = rooms.iter().map(|it| (it.room.id(), it)).collect();
    let known = rooms.iter().map(|compared| Head {
        room_id: compared.room.id(),
        epoch: compared.epoch,
        last_seq: compared.delivered,
    });
    for head in room_events::other_heads(store, known).await? {
        let Some(compared) = by_id.get(&head.room_id) else {
            continue;
        };
        let is_lost = head.epoch != compared.epoch || head.last_seq < compared.delivered;
        // A busy room has got there meanwhile.
        if is_lost || compared.room.delivered() < head.last_seq {
            compared.room.saw_head(SawHead {
                epoch: head.epoch,
                head: head.last_seq,
                delivered: compared.delivered,
            });
        }
    }
    Ok(())
}
