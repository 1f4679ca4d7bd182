//! How a connection comes into a room: the room has answered, and what it missed goes before
//! everything that follows.

use super::table::{ConnectionKey, JoinProgress};
use super::{Subscribed, Worker, recovery};
use crate::hub::presence::Step;
use crate::hub::room::Standing;
use crate::protocol::reply::Joined;

impl Worker {
    pub(super) fn subscribed(&self, subscribed: Subscribed) {
        let Subscribed {
            connection,
            join,
            room,
            epoch,
            head,
            replay,
            gap,
        } = subscribed;
        let attachment = self.table.borrow().get(connection);
        let joining = attachment.as_ref().and_then(|it| it.take_joining(join));
        let (Some(attachment), Some(joining)) = (attachment, joining) else {
            // The connection has gone or has given up waiting.
            if replay.is_some() {
                room.unsubscribe(&self.fanout);
            }
            return;
        };
        let Some(replay) = replay else {
            // The connection may have gone meanwhile.
            joining
                .progress
                .send(JoinProgress::Behind { epoch, head })
                .ok();
            return;
        };
        // The log has begun a new life in the middle of a replay.
        let is_too_late = gap.is_some() && joining.is_announced;
        if is_too_late || !attachment.fits(&replay) {
            room.unsubscribe(&self.fanout);
            let progress = if is_too_late {
                JoinProgress::Unavailable
            } else {
                JoinProgress::TooMuch {
                    epoch,
                    head,
                    events: replay,
                }
            };
            joining.progress.send(progress).ok();
            return;
        }
        let room_id = room.id();
        let begins = Standing {
            epoch,
            position: head,
        };
        if !self.can_begin(&room, begins) {
            room.unsubscribe(&self.fanout);
            joining.progress.send(JoinProgress::Unavailable).ok();
            return;
        }
        if !recovery::takes_at_once(&attachment, &replay) {
            // Out of the log it comes in pages, as fast as the client takes them.
            room.unsubscribe(&self.fanout);
            let behind = JoinProgress::Behind { epoch, head };
            joining.progress.send(behind).ok();
            return;
        }
        let mut table = self.table.borrow_mut();
        if !table.subscribe(&attachment, room.clone(), epoch, head) {
            drop(table);
            room.unsubscribe(&self.fanout);
            joining.progress.send(JoinProgress::Unavailable).ok();
            return;
        }
        if let Some(user_id) = attachment.user_id() {
            match joining.muted_until {
                Some(until) => table.mute(room_id, user_id, until),
                None => table.unmute(room_id, user_id),
            }
        }
        if !joining.is_announced {
            let joined = Joined {
                room: room_id,
                epoch,
                last_seq: head,
                replayed: replay.len() as u64,
                // A position of another life of the log says nothing about this one.
                gap: gap.or(joining.gap),
                cursor: table.cursor(&attachment, None).ok(),
            };
            attachment.announce(&table, &joining.announcement, joined);
        }
        for event in &replay {
            attachment.push_event(&table, event);
        }
        table.mark(&attachment);
        drop(table);
        if let Some(user_id) = attachment.user_id() {
            let presence = self.hub.presence_shards();
            presence.shift(&self.announced.borrow(), room_id, user_id, Step::Arrived);
        }
        joining.progress.send(JoinProgress::Live).ok();
    }

    /// The room cannot answer.
    pub(super) fn not_subscribed(&self, connection: ConnectionKey, join: u32) {
        let attachment = self.table.borrow().get(connection);
        if let Some(joining) = attachment.and_then(|it| it.take_joining(join)) {
            joining.progress.send(JoinProgress::Unavailable).ok();
        }
    }
}
