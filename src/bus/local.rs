//! The bus within a process: for a node alone, and for several nodes in one test.

use std::collections::HashSet;
use std::sync::Arc;

use std::time::Instant;

use parking_lot::RwLock;
use tokio::sync::watch;

use super::envelope::Envelope;
use super::metrics::{OUT, STATE};
use super::queue::{self, InboxHome, Sender};
use super::{Arrival, Bus, BusError, BusHealth, BusState, Inbox};
use crate::protocol::id::RoomId;

/// Envelopes that a node may have waiting.
const INBOX: usize = 4096;

/// Their bytes.
const INBOX_BYTES: usize = 32 << 20;

/// What the nodes of a process share.
#[derive(Debug, Clone, Default)]
pub struct LocalBus {
    nodes: Arc<RwLock<Vec<Arc<Place>>>>,
}

/// A node's place on the bus.
#[derive(Debug)]
struct Place {
    sender: Sender<Arrival>,
    inbox: InboxHome,
    rooms: RwLock<HashSet<RoomId>>,
}

/// The bus as one node has it.
#[derive(Debug)]
pub struct LocalBusNode {
    bus: LocalBus,
    place: Arc<Place>,
    state: watch::Sender<BusState>,
    since: Instant,
}

impl LocalBus {
    /// A place for one more node.
    #[must_use]
    pub fn attach(&self) -> LocalBusNode {
        let (sender, inbox) = queue::lane(INBOX, INBOX_BYTES);
        let place = Arc::new(Place {
            sender,
            inbox,
            rooms: RwLock::default(),
        });
        self.nodes.write().push(Arc::clone(&place));
        let state = BusState::Local;
        STATE.with_label_values(&[state.name()]).set(1);
        LocalBusNode {
            bus: self.clone(),
            place,
            state: watch::Sender::new(state),
            since: Instant::now(),
        }
    }
}

impl LocalBusNode {
    fn others(&self, room: RoomId) -> Vec<Arc<Place>> {
        let nodes = self.bus.nodes.read();
        let listens = |place: &&Arc<Place>| {
            !Arc::ptr_eq(place, &self.place) && place.rooms.read().contains(&room)
        };
        nodes.iter().filter(listens).cloned().collect()
    }
}

impl Drop for LocalBusNode {
    fn drop(&mut self) {
        let mut nodes = self.bus.nodes.write();
        nodes.retain(|place| !Arc::ptr_eq(place, &self.place));
    }
}

impl Bus for LocalBusNode {
    fn has_listeners(&self, room: RoomId) -> bool {
        self.bus.nodes.read().len() > 1 && !self.others(room).is_empty()
    }

    fn publish(&self, envelope: Envelope) -> Result<(), BusError> {
        let others = self.others(envelope.room_id);
        let full = others
            .iter()
            .filter(|place| {
                let arrival = Arrival::Envelope(envelope.clone());
                place.sender.try_send(arrival).is_err()
            })
            .count();
        OUT.inc();
        if full > 0 {
            return Err(BusError::Full(full));
        }
        Ok(())
    }

    fn subscribe(&self, room: RoomId) {
        self.place.rooms.write().insert(room);
    }

    fn unsubscribe(&self, room: RoomId) {
        self.place.rooms.write().remove(&room);
    }

    fn states(&self) -> watch::Receiver<BusState> {
        self.state.subscribe()
    }

    fn health(&self) -> BusHealth {
        BusHealth {
            state: BusState::Local,
            since: self.since,
            last_error: None,
            servers: 0,
            servers_up: 0,
            rooms: self.place.rooms.read().len(),
        }
    }

    fn take_inbox(&self, lane: usize) -> Option<Inbox> {
        (lane == 0).then(|| Inbox::take(&self.place.inbox))?
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::bus::envelope::Origin;

    fn envelope(room_id: RoomId) -> Envelope {
        Envelope {
            origin: Origin {
                node: "a".into(),
                incarnation: 1,
            },
            room_id,
            payload: Bytes::from_static(b"x"),
        }
    }

    #[test]
    fn those_who_subscribed_get_it_and_the_sender_does_not() {
        let bus = LocalBus::default();
        let (a, b, c) = (bus.attach(), bus.attach(), bus.attach());
        let room = RoomId::generate();
        a.subscribe(room);
        assert!(!a.has_listeners(room));
        b.subscribe(room);
        assert!(a.has_listeners(room));
        a.publish(envelope(room)).unwrap();
        let waiting = |node: &LocalBusNode| {
            let mut inbox = node.take_inbox(0).unwrap();
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            match inbox.poll_batch(&mut cx, 9) {
                std::task::Poll::Ready(batch) => batch.unwrap().len(),
                std::task::Poll::Pending => 0,
            }
        };
        assert_eq!([&a, &b, &c].map(waiting), [0, 1, 0]);
        b.unsubscribe(room);
        assert!(!a.has_listeners(room));
    }

    #[test]
    fn a_full_inbox_is_told_and_harms_nobody_else() {
        let bus = LocalBus::default();
        let (a, b) = (bus.attach(), bus.attach());
        let room = RoomId::generate();
        b.subscribe(room);
        for _ in 0..INBOX {
            a.publish(envelope(room)).unwrap();
        }
        assert_eq!(a.publish(envelope(room)), Err(BusError::Full(1)));
        drop(b);
        assert_eq!(a.publish(envelope(room)), Ok(()));
    }
}
