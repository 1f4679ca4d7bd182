//! How a client comes back to its rooms: each by a `join`, or several by a `resume`, with a cursor
//! that it was given or one that it makes of its own positions.

use hubbub::protocol::cursor::{self, Position};
use hubbub::protocol::event::Epoch;
use hubbub::protocol::id::RoomId;
use rand::RngExt as _;
use serde_json::{Value, json};

use super::{Client, Driver, InRoom, Joined};
use crate::chaos::history::{Answer, room_of};

/// A `resume` under way, with the rooms of its cursor that were not told yet.
#[derive(Debug)]
pub(super) struct Resuming {
    pub(super) op: u64,
    /// Places and the positions that were shown.
    pub(super) rooms: Vec<(usize, u64)>,
}

impl<D: Driver> Client<D> {
    /// Joins these rooms from the client's positions, one way or the other.
    pub(super) async fn come_back(&mut self, places: Vec<usize>) {
        if D::IS_WHOLE || places.is_empty() {
            // It comes by itself, or is there. To resume all the same would keep it from ever coming to
            // rest on a machine that takes its time to answer.
            return;
        }
        let mut places = places;
        if D::speaks("resume") && self.rng.random_bool(0.5) {
            let (known, new) =
                (places.into_iter()).partition(|place| self.rooms[*place].position.is_some());
            places = new;
            self.resume(known).await;
        }
        for place in places {
            // The cursor may have been of more rooms than were meant.
            if self.rooms[place].joined == Joined::No {
                let since = self.rooms[place].position;
                self.join(place, since).await;
            }
        }
    }

    /// Opens the stream of all rooms.
    pub(super) async fn open(&mut self) {
        let given = self.cursor.clone().filter(|_| self.rng.random_bool(0.8));
        let cursor = given.unwrap_or_else(|| {
            let known = (self.rooms.iter().enumerate())
                .filter(|(_, room)| room.joined != Joined::Never)
                .filter_map(|(place, room)| Some((place, room.position?)));
            self.cursor_of(&known.collect::<Vec<_>>())
        });
        let op = self.recorder.op();
        let rooms = self.places(&cursor);
        self.resuming.push_back(Resuming { op, rooms });
        self.command_as(op, "resume", json!({ "cursor": cursor }), 0)
            .await;
    }

    /// Finds out in which rooms the stream of all rooms will never be.
    pub(super) async fn look_for_rooms(&mut self) {
        for place in 0..self.rooms.len() {
            if self.rooms[place].joined == Joined::No
                && matches!(self.page(place).await, Answer::Refused { retry: false, .. })
            {
                self.rooms[place].joined = Joined::Never;
            }
        }
    }

    /// Comes back to these rooms, or to those of the last cursor.
    pub(super) async fn resume(&mut self, places: Vec<usize>) {
        let given = self.cursor.clone().filter(|_| self.rng.random_bool(0.5));
        let (cursor, rooms) = if let Some(cursor) = given {
            // Rooms that it does not have are joined another time.
            let rooms = self.places(&cursor);
            (cursor, rooms)
        } else {
            let position = |place: &usize| Some((*place, self.rooms[*place].position?));
            let rooms: Vec<(usize, u64)> = places.iter().filter_map(position).collect();
            (self.cursor_of(&rooms), rooms)
        };
        if rooms.is_empty()
            || rooms
                .iter()
                .any(|(place, _)| self.rooms[*place].joined == Joined::Asked)
        {
            return;
        }
        for (place, _) in &rooms {
            self.rooms[*place].joined = Joined::Asked;
        }
        let op = self.recorder.op();
        self.resuming.push_back(Resuming { op, rooms });
        self.command_as(op, "resume", json!({ "cursor": cursor }), 0)
            .await;
    }

    fn cursor_of(&self, rooms: &[(usize, u64)]) -> String {
        let positions = rooms.iter().map(|(place, seq)| {
            let room = &self.rooms[*place];
            Position {
                room_id: RoomId(room.id.parse().expect("a room's id")),
                epoch: Epoch(i32::try_from(room.epoch).expect("an epoch")),
                seq: *seq,
            }
        });
        cursor::encode(&positions.collect::<Vec<_>>()).expect("a few rooms fit into a cursor")
    }

    /// The rooms of a cursor that the hub gave.
    fn places(&self, cursor: &str) -> Vec<(usize, u64)> {
        let positions = cursor::decode(cursor).unwrap_or_else(|error| panic!("{cursor}: {error}"));
        let place = |position: &Position| {
            let id = position.room_id.0.to_string();
            let place = self.rooms.iter().position(|room| room.id == id);
            place.unwrap_or_else(|| panic!("{cursor} has a room of nobody: {id}"))
        };
        (positions.iter()).map(|it| (place(it), it.seq)).collect()
    }

    /// The push that tells how a resume went for one room.
    pub(super) fn resumed(&mut self, push: &Value) {
        let Some(place) = (self.rooms.iter()).position(|it| Some(it.id.as_str()) == room_of(push))
        else {
            return;
        };
        // Those behind it have not begun.
        let shown = self.resuming.front_mut().and_then(|resuming| {
            let at = resuming.rooms.iter().position(|(it, _)| *it == place)?;
            Some(resuming.rooms.remove(at).1)
        });
        let room = &mut self.rooms[place];
        if push["err"].is_object() {
            room.joined = if push["err"]["retry"] == true {
                Joined::No
            } else {
                Joined::Never
            };
        } else {
            room.joined(push, shown);
        }
    }

    /// Whatever was not told of a resume when it was answered was not done.
    pub(super) fn resume_answered(&mut self, op: u64) {
        if D::IS_WHOLE {
            // It has only begun.
            return;
        }
        if let Some(at) = self.resuming.iter().position(|it| it.op == op)
            && let Some(over) = self.resuming.remove(at)
        {
            for (place, _) in over.rooms {
                self.rooms[place].joined = Joined::No;
            }
        }
    }
}

impl InRoom {
    /// Takes in how a join went, which showed `since`.
    pub(super) fn joined(&mut self, told: &Value, since: Option<u64>) {
        self.joined = Joined::Yes;
        self.epoch = told["epoch"].as_u64().unwrap_or_default();
        let told_from = match told["gap"]["to"].as_u64() {
            Some(_) if told["gap"]["reason"] == "epoch" => told["last_seq"].as_u64(),
            Some(to) => Some(to),
            // A cursor may be of what is still to come to the one to whom it was given.
            None => since.or_else(|| told["last_seq"].as_u64()),
        };
        self.position = self.position.max(told_from);
        self.told = told_from;
    }
}
