//! Event streams: connections that only receive.
//!
//! A stream stands in its thread's table like a socket and joins its rooms by the same
//! [`super::join`]. It has no actor here: what its transport sends it takes from the [`Stream`],
//! and a task joins the rooms one after the other.

mod feed;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;

use self::feed::Entry;
pub use self::feed::Feed;
use super::identity::Identity;
use super::join::{NotJoined, Wanted, enter};
use super::liveness::{Liveness, Second};
pub use super::outbox::Hold;
use super::outbox::{Class, Outbox};
use super::pace::{spare_bytes, taken};
use super::session::SessionLimits;
use super::too_late;
use crate::hub::HubHandle;
use crate::hub::encoded::WireFormat;
use crate::hub::fanout::{Announcement, Attachment, FanoutMessage, Worker};
use crate::hub::metrics::STREAMS;
use crate::protocol::close::Disconnect;
use crate::protocol::id::{RoomId, RoomRef, UserId};
use crate::protocol::sse;

/// A client whose connection broke comes back after so long, milliseconds; each after another
/// time within it, so that not all come at once.
const RETRY_MS: std::ops::Range<u64> = 500..2500;

/// What a stream has besides what every connection has.
#[derive(Debug, Default)]
pub(crate) struct StreamState {
    /// Rooms that are still to be joined.
    entries: RefCell<VecDeque<Entry>>,
    /// A task is joining them.
    is_joining: Cell<bool>,
    /// Numbers the joins.
    joins: Cell<u32>,
    takes_new_rooms: bool,
}

impl HubHandle {
    /// A user has become a member of a room: every open stream of all their rooms on this node
    /// gets it, too, from now on.
    pub fn join_streams(&self, user: UserId, room: RoomId) {
        // First, so that a stream that is not there yet when its thread hears of it finds this.
        self.shared.began.insert(user, Instant::now());
        self.shared
            .workers
            .send(|| FanoutMessage::JoinRoom(user, room));
    }
}

/// An open stream, as its transport has it. Dropping it closes it.
pub struct Stream {
    worker: Rc<Worker>,
    attachment: Rc<Attachment>,
}

/// Opens a stream on the present thread.
pub fn open(
    hub: &HubHandle,
    (identity, address): (Identity, IpAddr),
    hold: Box<dyn Hold>,
    feed: Feed,
) -> Stream {
    let worker = Worker::current(hub);
    let outbox = Outbox::taken_by(hold, Rc::clone(&worker.outbox_limits));
    let mut life = Liveness::new(worker.now(), true);
    // It gives no commands: having no room is no reason to go.
    life.commanded = Second::MAX;
    let is_awaited = |entry: &&Entry| entry.is_member;
    let resuming = feed.entries.iter().filter(is_awaited);
    let resuming: Vec<_> = resuming.filter_map(|entry| entry.position).collect();
    let state = Box::new(StreamState {
        entries: RefCell::new(feed.entries),
        is_joining: Cell::new(false),
        joins: Cell::new(0),
        takes_new_rooms: feed.takes_new_rooms,
    });
    let attachment = worker.table.borrow_mut().attach(
        outbox,
        feed.format,
        address,
        Some(identity),
        life,
        Some(state),
    );
    attachment.resuming.replace(resuming);
    hub.online().arrive(identity.user_id);
    attachment.check_session_at(worker.look_before(identity.expires_at));
    worker.watch(&attachment);
    STREAMS.inc();
    let retry = sse::retry(rand::random_range(RETRY_MS));
    attachment.outbox.push(retry, Class::Durable);
    // What was told while it was let in did not reach this stream.
    if let Some(reason) = too_late(hub, Some(identity)) {
        worker.close(&attachment, reason);
    }
    join_rooms(&worker, &attachment);
    let began = hub.shared.began.get(&identity.user_id);
    if feed.takes_new_rooms && began.is_some_and(|at| at >= feed.asked_at) {
        look_for_rooms(&worker, identity.user_id);
    }
    Stream { worker, attachment }
}

/// A user may have become a member of a room that their streams do not have, and were told of it
/// when that said nothing to them: a stream that was being let in was not on its thread yet, and one
/// that was in the room had yet to hear that the membership before had ended.
pub(crate) fn look_for_rooms(worker: &Rc<Worker>, user_id: UserId) {
    let worker = Rc::clone(worker);
    actix_rt::spawn(async move {
        let max = worker.hub.stream_rooms_max();
        match worker.hub.rooms_of(user_id, max + 1).await {
            Ok(rooms) => {
                for room_id in rooms {
                    join_room(&worker, user_id, room_id);
                }
            }
            // Coming back they are looked up again.
            Err(_) => resync(&worker, user_id),
        }
    });
}

impl Stream {
    /// The next bytes to send; none at the end.
    pub fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.attachment.outbox.poll_take(cx)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.worker.detach(&self.attachment);
        self.attachment.outbox.finish(None, Duration::ZERO);
        STREAMS.dec();
    }
}

/// A user has become a member of a room: their streams on this thread that are of all rooms get
/// this one.
pub(crate) fn join_room(worker: &Rc<Worker>, user_id: UserId, room_id: RoomId) {
    let max = worker.hub.stream_rooms_max();
    for attachment in streams_of(worker, user_id) {
        let Some(state) = &attachment.stream else {
            continue;
        };
        let mut entries = state.entries.borrow_mut();
        if attachment.is_in(room_id) || entries.iter().any(|entry| entry.room_id == room_id) {
            continue;
        }
        if attachment.room_count() + entries.len() >= max {
            drop(entries);
            // Coming back it is told that its rooms have become too many.
            worker.close(&attachment, Disconnect::Resync);
            continue;
        }
        entries.push_back(Entry {
            room_id,
            is_member: false,
            position: None,
        });
        drop(entries);
        join_rooms(worker, &attachment);
    }
}

/// A user has become a member of some room, and it is not known any more of which: streams of all
/// their rooms come back for it.
pub(crate) fn resync(worker: &Worker, user_id: UserId) {
    for attachment in streams_of(worker, user_id) {
        worker.close(&attachment, Disconnect::Resync);
    }
}

impl Attachment {
    /// Whether it is a stream of all rooms of its user.
    pub(crate) fn takes_new_rooms(&self) -> bool {
        let stream = self.stream.as_ref();
        stream.is_some_and(|it| it.takes_new_rooms)
    }
}

/// The user's streams that take new rooms.
fn streams_of(worker: &Worker, user_id: UserId) -> Vec<Rc<Attachment>> {
    let table = worker.table.borrow();
    let takes_new = |attachment: &&Rc<Attachment>| {
        attachment.takes_new_rooms() && attachment.user_id() == Some(user_id)
    };
    table.all().filter(takes_new).cloned().collect()
}

/// Joins the rooms that are to be joined, unless that is being done.
fn join_rooms(worker: &Rc<Worker>, attachment: &Rc<Attachment>) {
    let Some(state) = &attachment.stream else {
        return;
    };
    if state.is_joining.replace(true) {
        return;
    }
    let (worker, attachment) = (Rc::clone(worker), Rc::clone(attachment));
    actix_rt::spawn(async move {
        let Some(state) = &attachment.stream else {
            return;
        };
        loop {
            let outbox = &attachment.outbox;
            if outbox.is_over() {
                return;
            }
            let entry = state.entries.borrow_mut().pop_front();
            let Some(entry) = entry else {
                break;
            };
            if attachment.is_in(entry.room_id) {
                // It was told again, while the room was being joined. Joining it once more would
                // leave out what is said in between.
                continue;
            }
            // Each room gives what it remembers in one go.
            taken(&worker, &attachment, spare_bytes(&worker)).await;
            let room_id = entry.room_id;
            if let Err(failed) = join_entry(&worker, &attachment, state, &entry).await {
                refused(&worker, &attachment, room_id, &failed);
            }
        }
        state.is_joining.set(false);
    });
}

async fn join_entry(
    worker: &Rc<Worker>,
    attachment: &Rc<Attachment>,
    state: &StreamState,
    entry: &Entry,
) -> Result<(), NotJoined> {
    let Some(user_id) = attachment.user_id() else {
        return Ok(());
    };
    let number = state.joins.get().wrapping_add(1);
    state.joins.set(number);
    let wanted = Wanted {
        worker: Rc::clone(worker),
        attachment: Rc::clone(attachment),
        limits: SessionLimits {
            max_rooms: worker.hub.stream_rooms_max(),
            // A stream publishes nothing.
            max_inflight: 0,
        },
        announcement: Announcement::Push,
        number,
        user_id,
        room: RoomRef::Id(entry.room_id),
        since: entry.position.map(|it| it.seq),
        epoch: entry.position.map(|it| it.epoch),
    };
    enter(wanted).await.map(|_| ())
}

/// A room could not be joined.
fn refused(worker: &Worker, attachment: &Rc<Attachment>, room_id: RoomId, failed: &NotJoined) {
    let refusal = &failed.refusal;
    if failed.is_announced || refusal.code.retry() {
        // Its cursor has the room still: coming back it tries again, from where it stands.
        tracing::debug!(room = %room_id, %refusal, "a stream's room cannot be joined now");
        return worker.close(attachment, Disconnect::Resync);
    }
    attachment.resumed(room_id);
    let table = worker.table.borrow();
    attachment.announce_refusal(&table, room_id, refusal);
    drop(table);
    if attachment.format.get() == WireFormat::SseRoom {
        worker.close(attachment, Disconnect::Normal);
    }
    attachment.outbox.flush();
}
