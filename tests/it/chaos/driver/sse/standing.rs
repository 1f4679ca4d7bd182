//! Where a client of a stream stands, by what it was told: the ids of the stream have to say the
//! same, because it comes back with them.

use std::collections::BTreeMap;

use hubbub::protocol::cursor;
use serde_json::Value;

use crate::chaos::history::{room_of, seq_of};
use crate::harness::stream::StreamEvent;

pub(super) enum Standing {
    /// In the stream of one room: its epoch, once it is known.
    InOne(Option<u64>),
    /// In that of all rooms: their positions.
    InAll(BTreeMap<String, u64>),
}

impl Standing {
    pub(super) fn in_one(epoch: Option<u64>) -> Self {
        Self::InOne(epoch)
    }

    /// Of somebody who came back with this cursor.
    pub(super) fn in_all(cursor: Option<&str>) -> Self {
        Self::InAll(cursor.map(positions).unwrap_or_default())
    }

    pub(super) fn is_in_all(&self) -> bool {
        matches!(self, Self::InAll(_))
    }

    /// The push `resumed` of the stream of one room.
    pub(super) fn resumed(&mut self, push: &Value) {
        if let Self::InOne(epoch) = self {
            *epoch = push["epoch"].as_u64();
        }
    }

    /// Takes in an event; what its id should have been, if it is something else.
    pub(super) fn check(&mut self, event: &StreamEvent, push: &Value) -> Result<(), String> {
        let id = &event.last_event_id;
        if event.name != push["push"].as_str().unwrap_or_default() {
            return Err(format!("{event:?}: the name is not the push's"));
        }
        match self {
            Self::InOne(epoch) => match (seq_of(push), epoch) {
                (Some(seq), Some(epoch)) if *id != format!("{epoch}-{seq}") => {
                    Err(format!("{event:?}: the id is not {epoch}-{seq}"))
                }
                _ => Ok(()),
            },
            Self::InAll(rooms) => {
                let has_id = take_in(rooms, push);
                if has_id && positions(id) != *rooms {
                    let said = positions(id);
                    return Err(format!(
                        "{event:?}: the id says {said:?}, and not {rooms:?}"
                    ));
                }
                Ok(())
            }
        }
    }
}

/// Moves the positions; whether the push has an id.
fn take_in(rooms: &mut BTreeMap<String, u64>, push: &Value) -> bool {
    let Some(room) = room_of(push) else {
        return false;
    };
    if let Some(seq) = seq_of(push) {
        rooms.insert(room.to_owned(), seq);
        return true;
    }
    match push["push"].as_str() {
        Some("resumed") if push["err"].is_null() => {
            let number = |name: &str| push[name].as_u64().unwrap_or_default();
            let position = number("last_seq").saturating_sub(number("replayed"));
            rooms.insert(room.to_owned(), position);
            true
        }
        Some("resumed" | "removed") => {
            rooms.remove(room);
            false
        }
        _ => false,
    }
}

/// Positions by room.
fn positions(cursor: &str) -> BTreeMap<String, u64> {
    let positions = cursor::decode(cursor).unwrap_or_else(|error| panic!("{cursor}: {error}"));
    let positions = positions.iter();
    positions
        .map(|it| (it.room_id.0.to_string(), it.seq))
        .collect()
}
