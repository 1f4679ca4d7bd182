//! What was changed, for whoever keeps copies of what the database has: a [`ChangeWatch`], which the
//! node's own commits tell before anybody is answered, and the other nodes' commits by a channel of
//! the bus.
//!
//! The channel carries no more than which rooms' events have touched which parts
//! ([`Touched`]), all that has gathered at once, in numbered batches ([`telling`], pure). What is
//! told there may be lost: a number that does not follow the one before tells the watch that it is
//! ([`Loss`]). A node says its last number every second, so that a lost last batch is noticed, too.
//! Beside that go the control log (memberships, users), the notices of heads while a node is without
//! Redis, and the comparison of heads, which finds whatever was lost on all of these ways.

mod telling;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use self::telling::{Batch, Heard, Hearing, Telling};
use super::bridge::BridgeHandle;
use super::metrics::{TOUCHED_BATCHES, TOUCHED_LOST};
use crate::bus::envelope::Origin;
use crate::bus::presence::touched_channel;
use crate::protocol::id::{RoomId, UserId};
use crate::protocol::touched::Touched;
use crate::store::room_events::Head;

/// How often a node says its last number when nothing happens.
const BEAT: Duration = Duration::from_secs(1);

/// Rooms that may wait to be told; then the rest is told as lost.
const ROOMS_MAX: usize = 65_536;

/// Rooms in one batch.
const BATCH_ROOMS: usize = 4096;

/// Why it is not known what has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Another node's batches do not follow each other.
    Gap,
    /// The bus was away, or has just begun to bring what others say.
    Bus,
    /// The LISTEN connection ended.
    Listen,
    /// More was notified than could be taken.
    Notices,
    /// Entries of the control log were missed.
    Control,
}

impl Loss {
    /// For metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Bus => "bus",
            Self::Listen => "listen",
            Self::Notices => "notices",
            Self::Control => "control",
        }
    }
}

/// Who keeps copies of what is in the database, and must know when they are out of date. Calls come
/// from any thread and must not wait.
pub trait ChangeWatch: Send + Sync + Debug + 'static {
    /// This node has committed events that touched these rooms; nobody has been told of them.
    fn committed(&self, rooms: &[Touched]);

    /// Events have touched these rooms, whoever committed them.
    fn touched(&self, rooms: &[Touched]);

    /// Something may have been committed in these rooms, because the answer was lost.
    fn doubtful(&self, rooms: &[RoomId]);

    /// Something has changed of a user.
    fn user_changed(&self, user: UserId);

    /// There are users who were not there before.
    fn users_added(&self);

    /// An operator wants everything of this room to be read again; none: everything at all.
    fn drop_copies(&self, room: Option<RoomId>);

    /// What happened lately may not have been told.
    fn lost(&self, loss: Loss);

    /// The rooms of which it has copies, and up to which event of each it knows all.
    fn followed(&self) -> Vec<Head>;

    /// All of [`ChangeWatch::followed`] have been compared: these stood elsewhere. What was on its way
    /// when they were compared has been told meanwhile.
    fn compared(&self, others: &[Head]);
}

/// Nobody keeps copies.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl ChangeWatch for Unwatched {
    fn committed(&self, _: &[Touched]) {}
    fn touched(&self, _: &[Touched]) {}
    fn doubtful(&self, _: &[RoomId]) {}
    fn user_changed(&self, _: UserId) {}
    fn users_added(&self) {}
    fn drop_copies(&self, _: Option<RoomId>) {}
    fn lost(&self, _: Loss) {}
    fn followed(&self) -> Vec<Head> {
        Vec::new()
    }
    fn compared(&self, _: &[Head]) {}
}

/// The way to the watch and to the other nodes. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Changes {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    watch: Arc<dyn ChangeWatch>,
    bridge: BridgeHandle,
    telling: Mutex<Telling>,
    hearing: Mutex<Hearing>,
    news: Notify,
}

impl Changes {
    pub(crate) fn new(watch: Arc<dyn ChangeWatch>, bridge: BridgeHandle) -> Self {
        Self {
            shared: Arc::new(Shared {
                watch,
                bridge,
                telling: Mutex::new(Telling::new(ROOMS_MAX)),
                hearing: Mutex::default(),
                news: Notify::new(),
            }),
        }
    }

    /// Who keeps copies on this node.
    pub(crate) fn watch(&self) -> &dyn ChangeWatch {
        &*self.shared.watch
    }

    /// This node has committed events.
    pub(crate) fn committed(&self, rooms: &[Touched]) {
        self.shared.watch.committed(rooms);
        if !self.shared.bridge.has_listeners(touched_channel()) {
            // Who begins to listen meanwhile sees by the number that it has missed something.
            self.shared.telling.lock().skip();
            return;
        }
        let mut telling = self.shared.telling.lock();
        for touched in rooms {
            telling.push(touched.clone());
        }
        drop(telling);
        self.shared.news.notify_one();
    }

    /// Tells the others for as long as the node lives.
    pub(crate) async fn tell(self) {
        self.shared.bridge.subscribe(touched_channel());
        loop {
            let news = self.shared.news.notified();
            let is_quiet = tokio::time::timeout(BEAT, news).await.is_err();
            loop {
                let Batch { number, rooms } = self.shared.telling.lock().next(BATCH_ROOMS);
                let is_beat = rooms.is_empty();
                if !is_beat || is_quiet {
                    self.shared.bridge.touched(number, rooms);
                }
                if is_beat {
                    break;
                }
                TOUCHED_BATCHES.with_label_values(&["told"]).inc();
            }
        }
    }

    /// Another node has told something.
    pub(crate) fn hear(&self, origin: &Origin, number: u64, rooms: &[Touched]) {
        if !rooms.is_empty() {
            TOUCHED_BATCHES.with_label_values(&["heard"]).inc();
            self.shared.watch.touched(rooms);
        }
        let heard = self
            .shared
            .hearing
            .lock()
            .hear(origin, number, !rooms.is_empty());
        if heard == Heard::Gap {
            self.lost(Loss::Gap);
        }
    }

    /// What happened lately may not have been told.
    pub(crate) fn lost(&self, loss: Loss) {
        TOUCHED_LOST.with_label_values(&[loss.name()]).inc();
        tracing::debug!(loss = loss.name(), "what has changed may not be known");
        self.shared.watch.lost(loss);
    }
}
