//! Which rooms a stream has, and where its client stands in them.

use std::collections::{HashSet, VecDeque};
use std::time::Instant;

use crate::hub::encoded::WireFormat;
use crate::hub::{HubHandle, refuse};
use crate::protocol::cursor::{CURSOR_ROOMS_MAX, Position};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::id::{RoomId, RoomRef, UserId};
use crate::protocol::sse::LastEventId;
use crate::store::own_rooms::{self, Listing};

/// The rooms of a stream, checked.
#[derive(Debug)]
pub struct Feed {
    pub(super) format: WireFormat,
    pub(super) entries: VecDeque<Entry>,
    /// Rooms that the user becomes a member of are added.
    pub(super) takes_new_rooms: bool,
    /// Before the rooms were looked up.
    pub(super) asked_at: Instant,
}

/// A room that is to be joined.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) room_id: RoomId,
    /// The user was a member when it was looked.
    pub(super) is_member: bool,
    /// Where the client stands in it.
    pub(super) position: Option<Position>,
}

impl HubHandle {
    /// The feed of one room, from where the client stands in it or from now on. Refused if the
    /// user is no member.
    pub async fn room_feed(
        &self,
        room: &RoomRef,
        user: UserId,
        last: Option<&LastEventId>,
    ) -> Result<Feed, Refusal> {
        let room_id = self.member_access(room, user).await?.room_id;
        let position = match last {
            None => None,
            Some(LastEventId::Room(it)) => Some(Position {
                room_id,
                epoch: it.epoch,
                seq: it.seq,
            }),
            Some(LastEventId::Cursor(positions)) => {
                let own = positions.iter().find(|it| it.room_id == room_id);
                Some(*own.ok_or_else(|| {
                    Refusal::new(
                        ErrorCode::InvalidCursor,
                        "the cursor has no position in this room",
                    )
                })?)
            }
        };
        Ok(Feed {
            format: WireFormat::SseRoom,
            entries: VecDeque::from([Entry {
                room_id,
                is_member: true,
                position,
            }]),
            takes_new_rooms: false,
            asked_at: Instant::now(),
        })
    }

    /// The feed of all rooms of a user, or of those named in `only`, from the positions of a
    /// cursor; rooms that it does not have, from now on.
    pub async fn user_feed(
        &self,
        user: UserId,
        only: Option<&HashSet<RoomRef>>,
        cursor: Option<&[Position]>,
    ) -> Result<Feed, Refusal> {
        let asked_at = Instant::now();
        let max = self.stream_rooms_max();
        let too_many = || {
            let message = format!("a stream has at most {max} rooms; name some by `rooms`");
            Refusal::new(ErrorCode::TooManyRooms, message)
        };
        let rooms = match only {
            Some(only) => {
                let mut rooms: Vec<RoomId> = Vec::new();
                for room in only {
                    if rooms.len() > max {
                        return Err(too_many());
                    }
                    let room_id = self.member_access(room, user).await?.room_id;
                    if !rooms.contains(&room_id) {
                        rooms.push(room_id);
                    }
                }
                rooms
            }
            None => self.rooms_of(user, max + 1).await?,
        };
        if rooms.len() > max {
            return Err(too_many());
        }
        let cursor = cursor.unwrap_or_default();
        let position = |room_id| cursor.iter().find(|it| it.room_id == room_id).copied();
        let entry = |room_id| Entry {
            room_id,
            is_member: true,
            position: position(room_id),
        };
        let mut entries: VecDeque<Entry> = rooms.into_iter().map(entry).collect();
        if only.is_none() {
            // What the user is no member of any more is told first.
            for position in cursor {
                if entries.iter().all(|it| it.room_id != position.room_id) {
                    entries.push_front(Entry {
                        room_id: position.room_id,
                        is_member: false,
                        position: Some(*position),
                    });
                }
            }
        }
        Ok(Feed {
            format: WireFormat::SseAll,
            entries,
            takes_new_rooms: only.is_none(),
            asked_at,
        })
    }

    pub(super) fn stream_rooms_max(&self) -> usize {
        self.settings().websocket.max_rooms.min(CURSOR_ROOMS_MAX)
    }

    /// The rooms that a user is a member of, at most `limit`.
    pub(super) async fn rooms_of(
        &self,
        user: UserId,
        limit: usize,
    ) -> Result<Vec<RoomId>, Refusal> {
        let refuse = |error| refuse(&error);
        let conn = self.shared.store.get().await.map_err(refuse)?;
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let rooms = own_rooms::list(&conn, user, Listing::Mine, None, limit).await;
        Ok(rooms.map_err(refuse)?.iter().map(|room| room.id).collect())
    }
}
