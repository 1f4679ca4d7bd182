//! The channels of rooms.

use uuid::Uuid;

use crate::protocol::id::RoomId;
use crate::redis::slot::{SLOTS, slot};

/// What the channels of a deployment are called.
#[derive(Debug, Clone)]
pub(super) struct Channels {
    rooms: Box<str>,
    probes: Box<str>,
}

impl Channels {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            rooms: format!("{prefix}room:").into(),
            probes: format!("{prefix}probe:").into(),
        }
    }

    /// A room's.
    pub(super) fn of_room(&self, room: RoomId) -> String {
        format!("{}{}", self.rooms, room.0.simple())
    }

    /// The room that a channel is of, if it is one of ours.
    pub(super) fn room_of(&self, channel: &[u8]) -> Option<RoomId> {
        let id = channel.strip_prefix(self.rooms.as_bytes())?;
        // Only the form that is written above: 32 digits.
        if id.len() != 32 {
            return None;
        }
        Uuid::try_parse_ascii(id).ok().map(RoomId)
    }

    /// A room's slot in a cluster.
    pub(super) fn slot_of(&self, room: RoomId) -> u16 {
        slot(self.of_room(room).as_bytes())
    }

    /// A channel that nobody listens to, to try out whether publishing works; in a cluster, one of
    /// a slot for which `is_owned` holds.
    pub(super) fn probe(&self, is_owned: impl Fn(u16) -> bool) -> String {
        let channels = (0..u32::from(SLOTS)).map(|number| format!("{}{number}", self.probes));
        let mut owned = channels.filter(|channel| is_owned(slot(channel.as_bytes())));
        owned.next().unwrap_or_else(|| format!("{}0", self.probes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_found_by_its_channel() {
        let channels = Channels::new("hubbub:");
        let room = RoomId::generate();
        let channel = channels.of_room(room);
        assert_eq!(channels.room_of(channel.as_bytes()), Some(room));
        let hyphenated = format!("hubbub:room:{room}");
        for other in [
            "",
            "hubbub:room:",
            "other:room:00000000000000000000000000000000",
            "hubbub:room:0000000000000000000000000000000g",
            &hyphenated,
        ] {
            assert_eq!(channels.room_of(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_probe_lies_in_an_owned_slot() {
        let channels = Channels::new("hubbub:");
        for owned in [0..100u16, 8000..8100, 16_284..16_384] {
            let probe = channels.probe(|slot| owned.contains(&slot));
            assert!(owned.contains(&slot(probe.as_bytes())), "{probe}");
        }
    }
}
