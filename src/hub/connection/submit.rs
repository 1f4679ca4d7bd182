//! Handing to the journal what a client wants to be in a room's log.

use std::time::Instant;

use actix::prelude::*;

use super::identity::Demand;
use super::{Connection, Flow};
use crate::hub::fanout::ReplyAddress;
use crate::hub::journal::entry::{Content, Entry, ReplyTo};
use crate::hub::room_not_found;
use crate::protocol::id::{EventId, RoomId, RoomRef};
use crate::protocol::native::request::RequestId;

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
        let inflight = &self.attachment.inflight;
        inflight.set(inflight.get() + 1);
        hub.journal().submit(Entry {
            room_id,
            user_id,
            id: EventId::generate(),
            content,
            received_at: Instant::now(),
            reply_to: ReplyTo::connection(ReplyAddress {
                fanout: self.worker.fanout.clone(),
                connection: self.attachment.key,
                request: id,
            }),
            permit: None,
        });
    }
}
