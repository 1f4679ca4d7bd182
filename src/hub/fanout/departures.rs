//! How connections leave rooms and the thread: of themselves, or because they are told to.

use std::rc::Rc;
use std::time::Duration;

use super::table::{Attachment, Departure};
use super::{FanoutMessage, Target, Worker};
use crate::hub::connection::stream;
use crate::hub::encoded::WireFormat;
use crate::hub::presence::Step;
use crate::protocol::close::Disconnect;
use crate::protocol::event::Seq;
use crate::protocol::id::{RoomId, UserId};
use crate::protocol::push::Push;

/// How long the room's own event of a removal may take. Until then nothing that follows it is
/// delivered, and what precedes it still is; after that the room is in trouble, and whoever was
/// removed does not wait for it.
const IN_TURN: Duration = Duration::from_millis(50);

impl Worker {
    /// Takes a connection out of the table.
    pub(crate) fn detach(&self, attachment: &Rc<Attachment>) {
        let is_here = self.table.borrow().get(attachment.key).is_some();
        if let Some(user_id) = attachment.user_id()
            && is_here
        {
            self.hub.online().depart(user_id);
        }
        let departures = self.table.borrow_mut().detach(attachment);
        let step = attachment.last_step();
        for departure in departures {
            self.depart(&departure, step);
        }
    }

    /// Takes a connection out of a room. False if it was not in it.
    pub(crate) fn unsubscribe(&self, attachment: &Rc<Attachment>, room_id: RoomId) -> bool {
        self.take_out(attachment, room_id, Step::Left)
    }

    fn take_out(&self, attachment: &Rc<Attachment>, room_id: RoomId, step: Step) -> bool {
        let departure = self.table.borrow_mut().unsubscribe(attachment, room_id);
        let was_in = departure.is_some();
        if let Some(departure) = departure {
            self.depart(&departure, step);
            if departure.was_behind {
                // It would never get what came before it left. When it comes back it does, where it
                // still may.
                self.close(attachment, Disconnect::Slow);
            }
        }
        was_in
    }

    fn depart(&self, departure: &Departure, step: Step) {
        departure.room.unsubscribe(&self.fanout);
        if let Some(user_id) = departure.user_id {
            let presence = self.hub.presence_shards();
            let room_id = departure.room.id();
            presence.shift(&self.announced.borrow(), room_id, user_id, step);
        }
    }

    /// A membership has ended with the room's event `seq`. Usually that event is about to come, and
    /// does it in its turn, after everything that the member still may have.
    pub(super) fn membership_ended(
        self: &Rc<Self>,
        room_id: RoomId,
        user_id: UserId,
        seq: Seq,
        is_late: bool,
    ) {
        let room = {
            let table = self.table.borrow();
            // Who is in the room after that event has come back since.
            let is_ahead = table.position(room_id).is_some_and(|it| it < seq);
            table.room(room_id).filter(|_| is_ahead).cloned()
        };
        let Some(room) = room else {
            return;
        };
        if is_late {
            return self.evict(room_id, user_id);
        }
        room.known(seq);
        let fanout = self.fanout.clone();
        actix_rt::spawn(async move {
            tokio::time::sleep(IN_TURN).await;
            fanout.send(FanoutMessage::Evict {
                room_id,
                user_id,
                seq,
                is_late: true,
            });
        });
    }

    /// Takes a user's connections out of a room that they are no member of.
    pub(super) fn evict(self: &Rc<Self>, room_id: RoomId, user_id: UserId) {
        let is_theirs = |it: &Attachment| it.user_id() == Some(user_id);
        let connections = self.table.borrow().in_room(room_id, is_theirs);
        let mut may_be_back = false;
        for attachment in connections {
            if self.unsubscribe(&attachment, room_id) {
                may_be_back |= attachment.takes_new_rooms();
                attachment.push(&Push::Removed { room: room_id });
                attachment.push_cursor(&self.table.borrow(), None);
                self.table.borrow_mut().mark(&attachment);
                if attachment.format.get() == WireFormat::SseRoom {
                    // It was the stream's only one.
                    self.close(&attachment, Disconnect::Normal);
                }
            }
        }
        if may_be_back {
            // Told before this, that said nothing new: the stream was still in the room.
            stream::look_for_rooms(self, user_id);
        }
    }

    pub(super) fn resync(&self, room_id: RoomId) {
        let connections = self.table.borrow().in_room(room_id, |_| true);
        for attachment in connections {
            // Out of the room at once: it may be joined anew before they have gone.
            self.take_out(&attachment, room_id, Step::Lost);
            self.close(&attachment, Disconnect::Resync);
        }
    }

    pub(super) fn disconnect(&self, target: Target, reason: Disconnect) {
        let connections: Vec<_> = match target {
            Target::Connection(key) => self.table.borrow().get(key).into_iter().collect(),
            Target::All => self.table.borrow().all().cloned().collect(),
            Target::Session(session) => {
                let is_of_session = |attachment: &&Rc<Attachment>| {
                    let identity = attachment.identity.borrow();
                    identity.as_ref().is_some_and(|it| it.session_id == session)
                };
                let table = self.table.borrow();
                table.all().filter(is_of_session).cloned().collect()
            }
        };
        for attachment in connections {
            self.close(&attachment, reason);
        }
    }
}
