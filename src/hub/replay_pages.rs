//! Pages of the rooms' logs, read for those who missed more than a room remembers.
//!
//! Everybody comes back in the same second after a node was restarted, most of them to the same
//! rooms and from about the same positions. So replays take turns, for their pages and for the checks
//! of the membership: they use only so much of the pool at once, and whatever else it is needed for
//! goes on beside them. And those who want a page that waits for its turn get the same one, read and
//! encoded once. From its turn on it is shared with nobody new: what was deleted before somebody
//! asked must not be given to them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::encoded::SharedEvent;
use super::metrics::{REPLAY_PAGES, REPLAY_PAGES_READING, REPLAY_TURNS_WAITING};
use super::{refuse, room_not_found};
use crate::config::Config;
use crate::metric::Counted;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::event::{Epoch, Seq};
use crate::protocol::id::RoomId;
use crate::store::{Store, room_events};

/// A page of a room's log.
#[derive(Debug)]
pub(crate) struct ReplayPage {
    /// The log's life.
    pub(crate) epoch: Epoch,
    /// The first event that retention has left.
    pub(crate) first_seq: Seq,
    /// The log's last event when the page was read.
    pub(crate) last_seq: Seq,
    /// The events, with frames that all who get them share.
    pub(crate) events: Vec<Arc<SharedEvent>>,
}

/// What is read: the events of this room after this one.
type Key = (RoomId, Seq);

type Outcome = Result<Arc<ReplayPage>, Refusal>;
type Reading = BoxFuture<'static, Outcome>;

/// How pages are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReplaySettings {
    /// Turns at once.
    pub(crate) pages_max: usize,
    /// How long a page may wait for its turn.
    pub(crate) wait: Duration,
    /// How long its reading may take.
    pub(crate) patience: Duration,
    /// Events of a page at most.
    pub(crate) page_events: u32,
}

impl From<&Config> for ReplaySettings {
    fn from(config: &Config) -> Self {
        Self {
            pages_max: config.hub.replay_pages_max,
            wait: Duration::from_millis(config.hub.replay_wait_ms),
            patience: Duration::from_millis(config.websocket.command_timeout_ms),
            page_events: config.hub.replay_page_events,
        }
    }
}

/// The node's replays. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ReplayPages {
    shared: Arc<Pages>,
}

struct Pages {
    store: Store,
    settings: ReplaySettings,
    /// First come, first served. As many permits as there are turns at most; one turn is more of
    /// them while the pool is small.
    turns: Semaphore,
    /// Those that wait for their turn: no more than there are connections that join.
    waiting: Mutex<HashMap<Key, WeakShared<Reading>>>,
}

impl ReplayPages {
    pub(crate) fn new(store: Store, settings: ReplaySettings) -> Self {
        Self {
            shared: Arc::new(Pages {
                store,
                turns: Semaphore::new(settings.pages_max),
                settings,
                waiting: Mutex::default(),
            }),
        }
    }

    /// A turn at the pool, for what a replay asks besides its pages.
    pub(crate) async fn turn(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        self.shared.turn().await
    }

    /// The page of `room`'s log that begins just after `seq`.
    pub(crate) async fn after(&self, room: RoomId, seq: Seq) -> Outcome {
        self.reading((room, seq)).await
    }

    fn reading(&self, key: Key) -> Shared<Reading> {
        let mut waiting = self.shared.waiting.lock();
        if let Some(known) = waiting.get(&key).and_then(WeakShared::upgrade) {
            REPLAY_PAGES.with_label_values(&["shared"]).inc();
            return known;
        }
        REPLAY_PAGES.with_label_values(&["read"]).inc();
        let pages = Arc::clone(&self.shared);
        let started = async move {
            let entry = Entry {
                pages: Arc::clone(&pages),
                key,
            };
            let _turn = pages.turn().await?;
            drop(entry);
            pages.read(key).await
        };
        let started = started.boxed().shared();
        // It is there as long as somebody waits for it.
        if let Some(weak) = started.downgrade() {
            waiting.insert(key, weak);
        }
        started
    }
}

impl Pages {
    async fn turn(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        let _waiting = Counted::new(&REPLAY_TURNS_WAITING);
        let permits = permits_of_turn(self.settings.pages_max, self.store.pool_max());
        let turn = self.turns.acquire_many(permits);
        match tokio::time::timeout(self.settings.wait, turn).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(Refusal::new(
                ErrorCode::Unavailable,
                "too many clients resume at once; try again",
            )),
        }
    }

    async fn read(&self, (room, seq): Key) -> Outcome {
        let _reading = Counted::new(&REPLAY_PAGES_READING);
        let page = room_events::page(&self.store, room, seq, self.settings.page_events);
        let page = tokio::time::timeout(self.settings.patience, page)
            .await
            .map_err(|_| super::connection::timed_out())?
            .map_err(|error| refuse(&error))?
            .ok_or_else(room_not_found)?;
        Ok(Arc::new(ReplayPage {
            epoch: page.epoch,
            first_seq: page.first_seq,
            last_seq: page.last_seq,
            events: page
                .events
                .into_iter()
                .map(|event| SharedEvent::new(event, None))
                .collect(),
        }))
    }
}

/// How many of `pages_max` permits a turn is: all turns together leave half of the pool to others,
/// however small it has become.
fn permits_of_turn(pages_max: usize, pool_max: usize) -> u32 {
    let turns = pages_max.min(pool_max / 2).max(1);
    u32::try_from(pages_max.div_ceil(turns)).unwrap_or(u32::MAX)
}

/// A page's place among those that wait; given back when it is its turn, or nobody wants it.
struct Entry {
    pages: Arc<Pages>,
    key: Key,
}

impl Drop for Entry {
    fn drop(&mut self) {
        // If everybody had given up, the place may be another's by now. Then that one is not
        // shared with those who come later, which costs a query.
        self.pages.waiting.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_pool_is_left_to_others() {
        for pages_max in 1..40 {
            for pool_max in 1..100 {
                let permits = permits_of_turn(pages_max, pool_max) as usize;
                let turns = pages_max / permits;
                assert!((1..=pages_max).contains(&turns));
                assert!(turns <= (pool_max / 2).max(1));
            }
        }
        assert_eq!(permits_of_turn(8, 50), 1);
        assert_eq!(permits_of_turn(8, 4), 4);
    }
}
