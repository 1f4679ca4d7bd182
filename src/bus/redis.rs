//! The bus by Redis: a channel for each room, which a node is subscribed to for as long as it uses
//! the room.
//!
//! All of it runs on one thread of its own, so that the sockets are read whatever the others do.
//! There is a *link* to each server: one, or each master of a cluster, where channels are sharded
//! (`SPUBLISH`, `SSUBSCRIBE`; Redis 7). A link has two connections, of which each is tried out every
//! `redis.ping_interval_ms` and made again when it fails. What comes in goes into *lanes*, bounded
//! queues by room, where the bridge decodes it, unless its [`Express`] takes it at once.
//!
//! The client library's own cluster connection is not used: it hands messages on by an unbounded
//! queue, resubscribes by itself and does not say when it has done so. Here the state is
//! [`BusState::Redis`] only while each link is connected and every room was subscribed to.
//!
//! Pure: [`channel`], [`frame`], [`pace`], [`subscriptions`]. Addresses, slots and masters are
//! [`crate::redis`]'s.

mod channel;
mod error;
mod frame;
mod keeper;
mod link;
mod pace;
mod publisher;
mod receiving;
mod routes;
mod shared;
mod subscriber;
mod subscriptions;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

pub use self::error::RedisBusError;
use self::shared::Shared;
use super::envelope::{Envelope, Origin};
use super::metrics::{ROOMS, WAITING};
use super::presence::rooms_among;
use super::queue::{self, InboxHome};
use super::{Bus, BusError, BusHealth, BusState, Express, Inbox};
use crate::config;
use crate::protocol::id::RoomId;
use crate::redis::endpoint::Endpoint;
use crate::stall::{self, ThreadKind};

/// The bus of one node.
#[derive(Debug)]
pub struct RedisBus {
    shared: Arc<Shared>,
    inboxes: Vec<InboxHome>,
    /// Dropping it ends the thread.
    _stop: oneshot::Sender<()>,
}

impl RedisBus {
    /// Begins to connect, and goes on until it is dropped. What comes in is spread over so many
    /// lanes. That Redis is away is no error.
    pub fn start(
        config: &config::Redis,
        origin: Origin,
        lanes: usize,
    ) -> Result<Self, RedisBusError> {
        let endpoints = Endpoint::from_config(config)?;
        let lane = || queue::lane(config.receive_queue_max, config.receive_queue_bytes);
        let (lanes, inboxes) = std::iter::repeat_with(lane).take(lanes.max(1)).unzip();
        let shared = Arc::new(Shared::new(config.clone(), origin, lanes));
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("bus".into());
        let keeper = keeper::run(Arc::clone(&shared), endpoints);
        let rest = pace::resting(Duration::from_micros(config.coalesce_us));
        thread.spawn(
            move || match stall::runtime_resting(ThreadKind::Bus, rest) {
                Ok(runtime) => runtime.block_on(async {
                    tokio::select! {
                        () = keeper => {}
                        _ = stopped => {}
                    }
                }),
                Err(error) => tracing::error!(%error, "the bus has no runtime"),
            },
        )?;
        Ok(Self {
            shared,
            inboxes,
            _stop: stop,
        })
    }

    fn set_wanted(&self, room: RoomId, is_wanted: bool) {
        let mut wanted = self.shared.wanted.lock();
        let is_news = if is_wanted {
            wanted.insert(room)
        } else {
            wanted.remove(&room)
        };
        if is_news {
            let rooms = rooms_among(wanted.len());
            ROOMS.set(i64::try_from(rooms).unwrap_or(i64::MAX));
            let routes = self.shared.routes();
            if let Some(link) = routes.link_of(&self.shared.channels, room) {
                link.set(room, is_wanted);
            }
        }
    }
}

impl Bus for RedisBus {
    /// Redis does not say who listens: yes, while there is a connection. Also for a node that knows of
    /// no other: it would learn of one later than that one's clients come.
    fn has_listeners(&self, room: RoomId) -> bool {
        let shared = &self.shared;
        let routes = shared.routes();
        let link = routes.link_of(&shared.channels, room);
        link.is_some_and(|link| link.can_publish())
    }

    fn publish(&self, envelope: Envelope) -> Result<(), BusError> {
        let shared = &self.shared;
        let bytes = envelope.payload.len();
        if bytes + frame::HEAD_BYTES > shared.config.envelope_max_bytes {
            return Err(BusError::TooLarge(bytes));
        }
        let routes = shared.routes();
        let link = routes.link_of(&shared.channels, envelope.room_id);
        let link = link.filter(|link| link.can_publish());
        let link = link.ok_or(BusError::Away)?;
        shared.waiting.fetch_add(1, Ordering::AcqRel);
        WAITING.inc();
        link.queue.try_send(envelope).map_err(|_| {
            shared.waiting.fetch_sub(1, Ordering::AcqRel);
            WAITING.dec();
            BusError::Overloaded
        })
    }

    fn waiting(&self) -> usize {
        self.shared.waiting.load(Ordering::Acquire)
    }

    fn subscribe(&self, room: RoomId) {
        self.set_wanted(room, true);
    }

    fn unsubscribe(&self, room: RoomId) {
        self.set_wanted(room, false);
    }

    fn states(&self) -> watch::Receiver<BusState> {
        self.shared.state.subscribe()
    }

    fn health(&self) -> BusHealth {
        self.shared.health()
    }

    fn lanes(&self) -> usize {
        self.inboxes.len()
    }

    fn take_inbox(&self, lane: usize) -> Option<Inbox> {
        Inbox::take(self.inboxes.get(lane)?)
    }

    fn set_express(&self, express: Arc<dyn Express>) {
        // A lane that is started again brings it once more.
        self.shared.express.set(express).ok();
    }
}
