use std::task::{Context, Poll, Waker};

use super::*;
use crate::hub::connection::liveness::Liveness;
use crate::hub::connection::outbox::{Hold, Outbox, OutboxLimits};
use crate::hub::encoded::{Ephemeral, WireFormat};
use crate::hub::room::RoomHandle;
use crate::protocol::event::{Epoch, Event, EventBody, Seq};
use crate::protocol::id::{EventId, UserId};

const LIMITS: OutboxLimits = OutboxLimits {
    max_bytes: 100_000,
    ephemeral_max_bytes: 25_000,
    max_age: Duration::from_secs(30),
    max_stall: Duration::from_secs(1),
};

/// More than are written to in one pass.
const MEMBERS: usize = 1000;

#[derive(Debug)]
struct Nowhere;

impl Hold for Nowhere {
    fn cut(&self) {}

    fn written_bytes(&self) -> u64 {
        0
    }
}

/// A room whose members take at once what is written to them.
struct Scene {
    table: Table,
    room_id: RoomId,
    members: VecDeque<Rc<Attachment>>,
    limits: Rc<OutboxLimits>,
    last: Seq,
}

impl Scene {
    fn new(limits: OutboxLimits) -> Self {
        let limits = Rc::new(limits);
        let mut scene = Self {
            table: Table::new(Rc::clone(&limits), Duration::ZERO),
            room_id: RoomId::generate(),
            members: VecDeque::new(),
            limits,
            last: 0,
        };
        for _ in 0..MEMBERS {
            scene.join();
        }
        scene
    }

    fn join(&mut self) {
        let outbox = Outbox::taken_by(Box::new(Nowhere), Rc::clone(&self.limits));
        let life = Liveness::new(0, true);
        let format = WireFormat::SseRoom;
        let member = self.table.attach(
            outbox,
            format,
            std::net::Ipv4Addr::LOCALHOST.into(),
            None,
            life,
            None,
        );
        let room = RoomHandle::without_actor(self.room_id);
        let position = self.table.position(self.room_id).unwrap_or(0);
        let is_in = self.table.subscribe(&member, room, Epoch(1), position);
        assert!(is_in);
        self.members.push_back(member);
    }

    fn event(&self, seq: Seq) -> Arc<SharedEvent> {
        let body = EventBody::Message {
            msg_no: seq,
            body: "x".repeat(5000).as_str().into(),
            client_id: "c".into(),
            thread: None,
            mentions: Box::default(),
            deleted: false,
        };
        let event = Event {
            room_id: self.room_id,
            epoch: Epoch(1),
            seq,
            id: EventId::generate(),
            user_id: UserId::generate(),
            created_at: jiff::Timestamp::UNIX_EPOCH,
            body,
        };
        SharedEvent::new(event, None)
    }

    /// Delivers events until too much is pending.
    fn pour(&mut self) {
        loop {
            match self.table.deliver(&self.event(self.last + 1)) {
                Turn::Next => self.last += 1,
                turn => return assert_eq!(turn, Turn::Full),
            }
        }
    }

    fn typing(&mut self) {
        let content = Ephemeral::Typing {
            room_id: self.room_id,
            user_id: UserId::generate(),
            typing: true,
        };
        self.table.broadcast(SharedPush::new(content), None);
    }

    /// One pass, and everything written has been taken. Whether the room has room again.
    fn pass(&mut self) -> bool {
        let pass = self.table.pass();
        let mut context = Context::from_waker(Waker::noop());
        for member in &self.members {
            while let Poll::Ready(Some(_)) = member.outbox.poll_take(&mut context) {}
            assert_eq!(member.outbox.closing(), None);
        }
        pass.short == [self.room_id]
    }

    /// Whether the room takes events again, whatever happens before each pass.
    fn recovers_from(&mut self, mut disturbance: impl FnMut(&mut Self)) -> bool {
        self.pour();
        for _ in 0..100 {
            disturbance(self);
            if self.pass() {
                return self.table.deliver(&self.event(self.last + 1)) == Turn::Next;
            }
        }
        false
    }
}

#[test]
fn a_room_that_was_full_takes_events_again_while_the_rest_is_being_written() {
    let mut scene = Scene::new(LIMITS);
    assert!(scene.recovers_from(|_| {}));
    let room = scene.table.local(scene.room_id).unwrap();
    assert!(room.pending_bytes > 2 * scene.event(1).event.size_bytes());
}

#[test]
fn what_is_ephemeral_never_holds_back_what_is_durable() {
    assert!(Scene::new(LIMITS).recovers_from(Scene::typing));
    let same = OutboxLimits {
        ephemeral_max_bytes: LIMITS.max_bytes,
        ..LIMITS
    };
    let flood = |scene: &mut Scene| (0..1000).for_each(|_| scene.typing());
    assert!(Scene::new(same).recovers_from(flood));
}
