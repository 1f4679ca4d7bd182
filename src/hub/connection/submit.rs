//! Handing to the journal what a client wants to be in a room's log, and to the gatherer of marks
//! how far it has read.

use std::time::Instant;

use super::context::Context;
use super::identity::Demand;
use super::{Connection, Flow};
use crate::hub::fanout::ReplyAddress;
use crate::hub::journal::entry::{Content, Entry, ReplyTo};
use crate::hub::read_markers::Asker;
use crate::hub::room_not_found;
use crate::protocol::id::{EventId, RoomId, RoomRef};
use crate::protocol::native::request::RequestId;
use crate::store::read_markers::Mark;

impl Connection {
    /// Has something written to a room's log. The connection goes on meanwhile; the answer comes
    /// from the journal.
    pub(super) fn submit(
        &mut self,
        id: Option<RequestId>,
        room: RoomRef,
        content: Content,
        ctx: &mut Context<Self>,
    ) -> Flow {
        self.in_room(
            id,
            room,
            room_not_found,
            ctx,
            move |this, id, room_id, _| {
                this.submit_to(id, room_id, content);
                Flow::Continue
            },
        )
    }

    fn submit_to(&self, id: Option<RequestId>, room_id: RoomId, content: Content) {
        let Some(user_id) = self.attachment.user_id() else {
            return;
        };
        let hub = &self.worker.hub;
        if let Err(refusal) = hub.gate().admit(user_id, self.address, Demand::Publish) {
            return self.refuse(id.as_ref(), refusal);
        }
        hub.journal().submit(Entry {
            room_id,
            user_id,
            id: EventId::generate(),
            content,
            received_at: Instant::now(),
            reply_to: ReplyTo::connection(self.expect_answer(id)),
            permit: None,
        });
    }

    /// Has a read marker stored, in the same way.
    pub(super) fn read_up_to(
        &mut self,
        id: Option<RequestId>,
        room: RoomRef,
        msg_no: u64,
        ctx: &mut Context<Self>,
    ) -> Flow {
        self.in_room(
            id,
            room,
            room_not_found,
            ctx,
            move |this, id, room_id, _| {
                this.mark_read(id, room_id, msg_no);
                Flow::Continue
            },
        )
    }

    fn mark_read(&self, id: Option<RequestId>, room_id: RoomId, msg_no: u64) {
        let Some(user_id) = self.attachment.user_id() else {
            return;
        };
        let asker = Asker::connection(self.expect_answer(id));
        let mark = Mark {
            room_id,
            user_id,
            msg_no,
        };
        self.worker.hub.read_markers().submit(mark, asker);
    }

    /// Counts one more on its way, and says where its answer is to go.
    fn expect_answer(&self, request: Option<RequestId>) -> ReplyAddress {
        let inflight = &self.attachment.inflight;
        inflight.set(inflight.get() + 1);
        ReplyAddress {
            fanout: self.worker.fanout.clone(),
            connection: self.attachment.key,
            request,
        }
    }
}
