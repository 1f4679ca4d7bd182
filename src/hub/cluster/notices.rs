//! Telling the other nodes of rooms' heads by NOTIFY, and hearing what they tell.
//!
//! Only one notice is under way at a time: what is committed meanwhile gathers, room by room, so
//! that a busy node tells of many rooms at once instead of each commit by itself. What is lost is
//! found by comparing heads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::heads::{HeadQueue, Outgoing, read_notice};
use super::{Cluster, ClusterSettings};
use crate::bus::BusState;
use crate::bus::envelope::Origin;
use crate::fault;
use crate::hub::changes::{Changes, Loss};
use crate::hub::metrics::{HEAD_NOTICES, NOTICES_WANTED, OVERFLOWS};
use crate::hub::registry::Registry;
use crate::protocol::event::Seq;
use crate::protocol::id::RoomId;
use crate::protocol::touched::Touched;
use crate::store::StoreError;
use crate::store::head_notices::NoticeLink;

/// The connection is closed when nothing was told for this long.
const IDLE: Duration = Duration::from_secs(60);

/// The pause after the first failure; each later one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What is to be told. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct HeadNotices {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    origin: Origin,
    is_wanted: AtomicBool,
    /// What the log says: nothing was said of a node that is alone, or among others on Redis.
    is_said: AtomicBool,
    queue: Mutex<HeadQueue>,
    news: Notify,
}

impl HeadNotices {
    /// For at most `rooms_max` rooms at once. Wanted until it is known that nobody needs them.
    pub(super) fn new(origin: Origin, rooms_max: usize) -> Self {
        NOTICES_WANTED.set(1);
        Self {
            shared: Arc::new(Shared {
                origin,
                is_wanted: AtomicBool::new(true),
                is_said: AtomicBool::new(false),
                queue: Mutex::new(HeadQueue::new(rooms_max)),
                news: Notify::new(),
            }),
        }
    }

    /// A room's log has come to `seq`, which the other nodes are told if any needs to be.
    pub(crate) fn committed(&self, room: RoomId, seq: Seq) {
        if !self.shared.is_wanted.load(Ordering::Relaxed) {
            return;
        }
        if self.shared.queue.lock().push(room, seq) {
            self.shared.news.notify_one();
        } else {
            OVERFLOWS.with_label_values(&["head_notices"]).inc();
        }
    }

    /// Whether anybody needs them from now on. True if that is new.
    pub(super) fn want(&self, is_wanted: bool) -> bool {
        NOTICES_WANTED.set(is_wanted.into());
        let is_said = &self.shared.is_said;
        match (is_said.swap(is_wanted, Ordering::Relaxed), is_wanted) {
            (false, true) => tracing::info!(
                "nodes hear of each other's events by Postgres, as not all of them are on Redis"
            ),
            (true, false) => {
                tracing::info!("no other node needs to hear of events by Postgres any more");
            }
            _ => {}
        }
        self.shared.is_wanted.swap(is_wanted, Ordering::Relaxed) != is_wanted
    }

    fn next(&self) -> Option<Outgoing> {
        self.shared.queue.lock().next_notice(&self.shared.origin)
    }

    /// It was not told: it waits again, if there is place.
    fn put_back(&self, notice: Outgoing) {
        let mut queue = self.shared.queue.lock();
        for (room, seq) in notice.heads {
            if !queue.push(room, seq) {
                OVERFLOWS.with_label_values(&["head_notices"]).inc();
            }
        }
    }
}

/// Tells for as long as the node lives.
pub(super) async fn tell(notices: HeadNotices, settings: ClusterSettings) {
    let mut link = None;
    let mut pause = FIRST_PAUSE;
    loop {
        let Some(notice) = notices.next() else {
            let waiting = notices.shared.news.notified();
            if tokio::time::timeout(IDLE, waiting).await.is_err() {
                link = None;
            }
            continue;
        };
        match tell_one(&mut link, &settings, &notice.text).await {
            Ok(()) => {
                HEAD_NOTICES.with_label_values(&["told"]).inc();
                pause = FIRST_PAUSE;
            }
            Err(error) => {
                link = None;
                HEAD_NOTICES.with_label_values(&["lost"]).inc();
                tracing::debug!(%error, "the other nodes were not told of new events");
                notices.put_back(notice);
                tokio::time::sleep(pause.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

async fn tell_one(
    link: &mut Option<NoticeLink>,
    settings: &ClusterSettings,
    notice: &str,
) -> Result<(), StoreError> {
    fault::point!("hub.cluster.tell", Ok(()));
    let open = match link.take() {
        Some(open) => open,
        None => NoticeLink::open(&settings.database_url, &settings.connect).await?,
    };
    open.tell(notice).await?;
    *link = Some(open);
    Ok(())
}

/// Hears what the others tell, for as long as the node lives.
pub(super) async fn hear(cluster: Cluster, registry: Registry, changes: Changes) {
    let heard = Arc::clone(&cluster.shared.heard);
    let mut heard = heard.lock().await;
    let mut missed = cluster.ears().heads_missed();
    while let Some(text) = heard.recv().await {
        let now_missed = cluster.ears().heads_missed();
        if std::mem::replace(&mut missed, now_missed) != now_missed {
            changes.lost(Loss::Notices);
        }
        if fault::asked!("hub.cluster.deaf") {
            continue;
        }
        let notice = match read_notice(&text) {
            Ok(notice) => notice,
            Err(error) => {
                HEAD_NOTICES.with_label_values(&["bad"]).inc();
                tracing::debug!(%error, "a notice cannot be read");
                continue;
            }
        };
        let origin = &cluster.shared.settings.origin;
        if *notice.node == *origin.node && notice.incarnation == origin.incarnation {
            continue;
        }
        HEAD_NOTICES.with_label_values(&["heard"]).inc();
        let has_bus = *cluster.shared.bus.borrow() == BusState::Redis;
        let everything = |&(room, seq): &(_, _)| Touched::everything(room, None, seq);
        let touched: Vec<_> = notice.heads.iter().map(everything).collect();
        changes.watch().touched(&touched);
        for (room, seq) in notice.heads {
            if let Some(room) = registry.find(room) {
                room.hinted(seq, has_bus);
            }
        }
    }
    std::future::pending::<()>().await;
}
