//! `resume`: joining every room of a cursor, one after the other, by the same path as `join`.
//!
//! Each room is told by a push of its own, because it stands before the room's replay: the reply
//! comes at the end. What fails, fails for its room alone.

use std::rc::Rc;

use super::context::Context;
use super::join::{NotJoined, Wanted, enter};
use super::pace::{spare_bytes, taken};
use super::{Connection, Flow};
use crate::hub::connection::identity::Demand;
use crate::hub::fanout::{Announcement, Attachment};
use crate::protocol::cursor::{self, Position};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::id::{RoomId, RoomRef, UserId};
use crate::protocol::native::request::RequestId;
use crate::protocol::push::Push;
use crate::protocol::reply::{Reply, Resumed};

impl Connection {
    pub(super) fn resume_rooms(
        &mut self,
        id: Option<RequestId>,
        cursor: &str,
        ctx: &mut Context<Self>,
    ) -> Flow {
        let Some(user_id) = self.attachment.user_id() else {
            return Flow::Continue;
        };
        let limits = self.session.limits();
        let positions = match read(cursor, limits.max_rooms) {
            Ok(positions) => positions,
            Err(refusal) => {
                self.refuse(id.as_ref(), refusal);
                return Flow::Continue;
            }
        };
        let after = move |this: &mut Self, resumed| {
            this.reply(id.as_ref(), &Ok(Reply::Resumed(resumed)));
        };
        self.resume_positions(user_id, positions, after, ctx)
    }

    /// Joins the rooms of these positions. `after` is told how that went.
    pub(super) fn resume_positions(
        &mut self,
        user_id: UserId,
        positions: Vec<Position>,
        after: impl FnOnce(&mut Self, Resumed) + 'static,
        ctx: &mut Context<Self>,
    ) -> Flow {
        let limits = self.session.limits();
        // What the client is told meanwhile, above all by `drain`, has the rooms that are to come.
        let awaited = positions.iter().copied();
        let awaited = awaited.filter(|it| !self.attachment.is_in(it.room_id));
        self.attachment.resuming.replace(awaited.collect());
        let wanted: Vec<_> = positions
            .into_iter()
            .map(|position| {
                let wanted = Wanted {
                    worker: Rc::clone(&self.worker),
                    attachment: Rc::clone(&self.attachment),
                    limits,
                    announcement: Announcement::Push,
                    number: self.next_join(),
                    user_id,
                    room: RoomRef::Id(position.room_id),
                    since: Some(position.seq),
                    epoch: Some(position.epoch),
                };
                (position.room_id, wanted)
            })
            .collect();
        let (worker, attachment) = (Rc::clone(&self.worker), Rc::clone(&self.attachment));
        let address = self.address;
        let resuming = async move {
            let (mut resumed, mut refused) = (0, 0);
            attachment.is_paced.set(true);
            for (room, wanted) in wanted {
                // The room gives what it remembers in one go.
                taken(&worker, &attachment, spare_bytes(&worker)).await;
                if attachment.outbox.is_over() {
                    break;
                }
                let admitted = worker.hub.gate().admit(user_id, address, Demand::Read);
                let joined = match admitted {
                    Ok(()) => enter(wanted)
                        .await
                        .map_err(|NotJoined { refusal, .. }| refusal),
                    Err(refusal) => Err(refusal),
                };
                match joined {
                    Ok(_) => resumed += 1,
                    Err(refusal) => {
                        refused += 1;
                        attachment.resumed(room);
                        tell(&attachment, room, &refusal);
                    }
                }
            }
            attachment.is_paced.set(false);
            // An idle connection holds no buffer.
            attachment.resuming.take();
            let cursor = worker.table.borrow().cursor(&attachment, None).ok();
            attachment.push_cursor(&worker.table.borrow(), None);
            Resumed {
                resumed,
                refused,
                cursor,
            }
        };
        self.beside(resuming, after, ctx)
    }
}

/// The positions of a cursor, if it is one of ours and a connection may be in so many rooms.
pub(super) fn read(text: &str, max_rooms: usize) -> Result<Vec<Position>, Refusal> {
    let positions = cursor::decode(text).map_err(|_| {
        Refusal::new(
            ErrorCode::InvalidCursor,
            "the cursor is not one of this hub's",
        )
    })?;
    if positions.len() > max_rooms {
        let message = format!(
            "the cursor has {} rooms, and a connection may join at most {max_rooms}",
            positions.len()
        );
        return Err(Refusal::new(ErrorCode::TooManyRooms, message));
    }
    Ok(positions)
}

fn tell(attachment: &Attachment, room: RoomId, refusal: &Refusal) {
    attachment.push(&Push::NotResumed { room, err: refusal });
    attachment.outbox.flush();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::event::Epoch;

    #[test]
    fn garbage_and_too_many_rooms_are_refused() {
        for garbage in ["", "!", "AA", "AQE", &"A".repeat(5000)] {
            assert_eq!(read(garbage, 9).unwrap_err().code, ErrorCode::InvalidCursor);
        }
        let of = |rooms: usize| {
            let position = |_| Position {
                room_id: RoomId::generate(),
                epoch: Epoch(1),
                seq: 3,
            };
            cursor::encode(&(0..rooms).map(position).collect::<Vec<_>>()).unwrap()
        };
        assert_eq!(read(&of(0), 2), Ok(Vec::new()));
        assert_eq!(read(&of(2), 2).unwrap().len(), 2);
        assert_eq!(read(&of(3), 2).unwrap_err().code, ErrorCode::TooManyRooms);
    }
}
