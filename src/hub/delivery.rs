//! From the journal to the rooms: what a batch committed, room by room, here and elsewhere.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crate::fault;
use crate::hub::anti_entropy::AntiEntropy;
use crate::hub::bridge::BridgeHandle;
use crate::hub::changes::Changes;
use crate::hub::cluster::HeadNotices;
use crate::hub::encoded::SharedEvent;
use crate::hub::registry::Registry;
use crate::protocol::event::{Event, Seq};
use crate::protocol::id::RoomId;
use crate::protocol::touched::Touched;

/// Gathers a batch's events and hands them over.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    registry: Registry,
    bridge: BridgeHandle,
    anti_entropy: AntiEntropy,
    notices: HeadNotices,
    changes: Changes,
    gathered: HashMap<RoomId, Vec<Arc<SharedEvent>>>,
}

impl Delivery {
    pub(crate) fn new(
        registry: Registry,
        bridge: BridgeHandle,
        anti_entropy: AntiEntropy,
        notices: HeadNotices,
        changes: Changes,
    ) -> Self {
        Self {
            registry,
            bridge,
            anti_entropy,
            notices,
            changes,
            gathered: HashMap::new(),
        }
    }

    /// An event was committed. Events of a room come in the order of their `seq`.
    pub(crate) fn committed(&mut self, event: Event, received_at: Instant) {
        self.gathered
            .entry(event.room_id)
            .or_default()
            .push(SharedEvent::new(event, Some(received_at)));
    }

    /// An event is in the log that this writer did not bring there, or did not hear of: its room
    /// may not have it.
    pub(crate) fn known(&self, room_id: RoomId, seq: Seq) {
        let touched = Touched::everything(room_id, None, seq);
        self.changes.watch().touched(&[touched]);
        if let Some(room) = self.registry.find(room_id) {
            room.known(seq);
        }
    }

    /// Events of these rooms may be in the log, because a commit's answer was lost.
    pub(crate) fn look_again(&self, rooms: impl IntoIterator<Item = RoomId>) {
        let rooms: Vec<_> = rooms.into_iter().collect();
        self.changes.watch().doubtful(&rooms);
        for room in rooms.into_iter().filter_map(|id| self.registry.find(id)) {
            room.look_again();
        }
    }

    /// Postgres can be reached again: what happened meanwhile is not known.
    pub(crate) fn reconnected(&self) {
        self.anti_entropy.hint();
    }

    /// What was gathered has touched, each room once.
    fn touched(&self) -> Vec<Touched> {
        let of_room = |events: &Vec<Arc<SharedEvent>>| {
            let mut events = events.iter().map(|it| Touched::by(&it.event));
            let mut touched = events.next()?;
            events.for_each(|later| touched.merge(later));
            Some(touched)
        };
        self.gathered.values().filter_map(of_room).collect()
    }

    /// Hands over what was gathered: one message for each room that is in use here.
    pub(crate) fn flush(&mut self) {
        if !self.gathered.is_empty() {
            fault::death!("hub.delivery.committed");
            // First of all: who hears of an event finds no copy from before it.
            self.changes.committed(&self.touched());
        }
        for (room_id, events) in self.gathered.drain() {
            self.bridge.events(room_id, &events);
            if let Some(last) = events.last() {
                self.notices.committed(room_id, last.event.seq);
            }
            // A room that is in use nowhere here needs to be told nothing: when it is, it begins
            // by reading its head, and this event is under it.
            if let Some(room) = self.registry.find(room_id) {
                room.committed(events);
            }
        }
    }
}
