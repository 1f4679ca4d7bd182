use std::time::{Duration, Instant};

use super::*;
use crate::protocol::engineio::Revision::{V3, V4};
use crate::protocol::engineio::payload::Body;

mod ends;
mod heartbeats;
mod random;
mod upgrades;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Said(&'static str);

impl Outgoing for Said {
    fn size_bytes(&self) -> usize {
        self.0.len()
    }
}

type Did = Action<'static, Said>;

fn settings() -> Settings {
    Settings {
        ping_interval: ms(300),
        ping_timeout: ms(200),
        upgrade_timeout: ms(1000),
        close_timeout: ms(3000),
        may_upgrade: true,
        max_payload_bytes: 1_000_000,
        queue_bytes: 1_000,
        queue_packets: 10,
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A session and its clock.
struct Scene {
    session: Session<Said>,
    now: Instant,
}

impl Scene {
    /// The handshake is done: by the request 1, or the WebSocket 1.
    fn new(revision: Revision, transport: Transport) -> Self {
        let (now, mut actions) = (Instant::now(), Vec::new());
        let session = Session::open(
            &settings().into(),
            revision,
            "sid",
            transport,
            1,
            now,
            &mut actions,
        );
        let [action] = &*actions else {
            panic!("{actions:?}")
        };
        let open = match action {
            Action::Payload(1, packets) => &packets[..],
            Action::Write(1, packet) => std::slice::from_ref(packet),
            other => panic!("{other:?}"),
        };
        assert!(matches!(open, [Out::Packet(Packet::Open(_))]), "{open:?}");
        Self { session, now }
    }

    fn polling(revision: Revision) -> Self {
        Self::new(revision, Transport::Polling)
    }

    fn websocket(revision: Revision) -> Self {
        Self::new(revision, Transport::Websocket)
    }

    fn at(&mut self, after: Duration) -> &mut Self {
        self.now += after;
        self
    }

    fn on(&mut self, event: Event<'static, Said>) -> Vec<Did> {
        let mut actions = Vec::new();
        self.session.handle(self.now, event, &mut actions);
        actions
    }

    fn poll(&mut self, id: PeerId) -> Vec<Did> {
        self.on(Event::Poll(id))
    }

    fn post(&mut self, id: PeerId, text: &'static str) -> Vec<Did> {
        let begun = self.on(Event::PostBegun {
            id,
            is_bytes: false,
        });
        assert_eq!(begun, []);
        let body = Body::Text(text);
        self.on(Event::Posted { id, body })
    }

    fn send(&mut self, text: &'static str) -> Vec<Did> {
        let mut actions = self.on(send(text));
        actions.extend(self.on(Event::Flush));
        actions
    }

    fn socket(&mut self, id: PeerId, text: &'static str) -> Vec<Did> {
        self.on(Event::SocketMessage(id, Message::Text(text)))
    }
}

fn send(text: &'static str) -> Event<'static, Said> {
    Event::Send {
        message: Said(text),
        is_volatile: false,
    }
}

fn volatile(text: &'static str) -> Event<'static, Said> {
    Event::Send {
        message: Said(text),
        is_volatile: true,
    }
}

fn said(text: &'static str) -> Out<Said> {
    Out::Message(Said(text))
}

fn own(packet: Packet<'static>) -> Out<Said> {
    Out::Packet(packet)
}

fn payload(id: PeerId, packets: impl Into<Vec<Out<Said>>>) -> Did {
    Action::Payload(id, packets.into())
}

fn text(text: &'static str) -> Did {
    Action::Text(text.into())
}

#[test]
fn what_is_sent_waits_for_a_poll_and_goes_together() {
    let mut it = Scene::polling(V4);
    assert_eq!(it.send("a"), []);
    assert_eq!(it.on(send("b")), []);
    assert!(it.session.queued_bytes() > 2);
    assert_eq!(it.poll(2), [payload(2, [said("a"), said("b")])]);
    assert_eq!(it.session.queued_bytes(), 0);
    // A poll that is there is answered at the end of the turn.
    assert_eq!(it.poll(3), []);
    assert_eq!(it.on(send("c")), []);
    assert_eq!(it.on(send("d")), []);
    assert_eq!(it.on(Event::Flush), [payload(3, [said("c"), said("d")])]);
    assert_eq!(it.on(Event::Flush), []);
}

#[test]
fn a_websocket_gets_everything_at_once() {
    let mut it = Scene::websocket(V4);
    assert_eq!(it.on(send("a")), [Action::Write(1, said("a"))]);
    assert_eq!(it.on(volatile("b")), [Action::Write(1, said("b"))]);
    assert_eq!(it.session.queued_bytes(), 0);
}

#[test]
fn a_post_brings_packets_and_is_answered() {
    let mut it = Scene::polling(V4);
    assert_eq!(
        it.post(2, "4hello\x1ebAQI=\x1e4x"),
        [
            text("hello"),
            Action::Bytes(vec![1, 2].into()),
            text("x"),
            Action::Ok(2)
        ]
    );
    let mut it = Scene::polling(V3);
    assert_eq!(it.post(2, "6:4hello"), [text("hello"), Action::Ok(2)]);
    assert_eq!(
        it.on(Event::PostBegun {
            id: 3,
            is_bytes: true
        }),
        []
    );
    let body = Body::Bytes(&[0, 2, 255, b'4', b'x', 1, 2, 255, 4, 9]);
    assert_eq!(
        it.on(Event::Posted { id: 3, body }),
        [text("x"), Action::Bytes(vec![9].into()), Action::Ok(3)]
    );
}

/// "Each packet (read or write) is sent its own WebSocket frame."
#[test]
fn a_websocket_brings_a_packet_in_each_message() {
    let mut it = Scene::websocket(V4);
    assert_eq!(it.socket(1, "4hello"), [text("hello")]);
    let bytes = Event::SocketMessage(1, Message::Bytes(&[4, 1]));
    assert_eq!(it.on(bytes.clone()), [Action::Bytes(vec![4, 1].into())]);
    let mut it = Scene::websocket(V3);
    assert_eq!(it.on(bytes), [Action::Bytes(vec![1].into())]);
}

#[test]
fn volatile_messages_do_not_wait_for_a_poll() {
    let mut it = Scene::polling(V4);
    assert_eq!(it.on(volatile("a")), []);
    assert_eq!(it.poll(2), []);
    assert_eq!(it.on(volatile("b")), []);
    assert_eq!(it.on(Event::Flush), [payload(2, [said("b")])]);
}

#[test]
fn what_waits_is_bounded() {
    let slow = [Action::Closed(Reason::Slow)];
    let mut it = Scene::polling(V4);
    for _ in 0..10 {
        assert_eq!(it.send("a"), []);
    }
    assert_eq!(it.on(send("a")), slow);
    assert_eq!(it.session.queued_bytes(), 0);
    let long: &'static str = "x".repeat(969).leak();
    let mut it = Scene::polling(V4);
    assert_eq!(it.on(send(long)), slow);
    // Answers to its own pings, too.
    let mut it = Scene::polling(V3);
    let pings = "1:2".repeat(11).leak();
    assert_eq!(
        it.post(2, pings),
        [Action::BadRequest(2), Action::Closed(Reason::Slow)]
    );
}
