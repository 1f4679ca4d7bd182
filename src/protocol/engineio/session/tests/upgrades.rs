//! From polling to a WebSocket.

use super::*;

const SOCKET: PeerId = 9;

fn probed(revision: Revision) -> Scene {
    let mut it = Scene::polling(revision);
    assert_eq!(it.on(Event::SocketOpened(SOCKET)), []);
    assert_eq!(it.socket(SOCKET, "2probe"), pong());
    it
}

fn pong() -> [Did; 1] {
    [Action::Write(SOCKET, own(Packet::Pong("probe".into())))]
}

fn noop(poll: PeerId) -> Did {
    payload(poll, [own(Packet::Noop)])
}

/// "The server MUST send a `noop` packet to any pending `GET` request to cleanly close the HTTP
/// long-polling transport" and "respond with a `pong` packet with the string `probe`"; then "it must
/// assume this is the new transport channel and send all existing buffers (if any) to it".
#[test]
fn a_session_goes_on_by_its_websocket() {
    for revision in [V3, V4] {
        let mut it = Scene::polling(revision);
        assert_eq!(it.poll(2), []);
        assert_eq!(it.on(Event::SocketOpened(SOCKET)), []);
        let [pong] = pong();
        assert_eq!(it.socket(SOCKET, "2probe"), [pong, noop(2)]);
        assert_eq!(it.send("a"), []);
        assert_eq!(it.session.transport(), Transport::Polling);
        assert_eq!(
            it.socket(SOCKET, "5"),
            [Action::Upgraded(SOCKET), Action::Write(SOCKET, said("a"))]
        );
        assert_eq!(it.session.transport(), Transport::Websocket);
        assert_eq!(it.send("b"), [Action::Write(SOCKET, said("b"))]);
        assert_eq!(it.socket(SOCKET, "4x"), [text("x")]);
        // Polling is over.
        assert_eq!(it.poll(3), [Action::BadRequest(3)]);
        let post = Event::PostBegun {
            id: 4,
            is_bytes: false,
        };
        assert_eq!(it.on(post), [Action::BadRequest(4)]);
        assert!(!it.session.is_closed());
    }
}

#[test]
fn a_poll_during_the_change_is_ended_soon() {
    let mut it = probed(V4);
    assert_eq!(it.poll(2), []);
    assert_eq!(it.session.deadline(), Some(it.now + ms(100)));
    assert_eq!(it.at(ms(99)).on(Event::Tick), []);
    assert_eq!(it.at(ms(1)).on(Event::Tick), [noop(2)]);
    // What is sent meanwhile ends it, too.
    assert_eq!(it.poll(3), []);
    assert_eq!(it.send("a"), [payload(3, [said("a")])]);
    assert_eq!(it.socket(SOCKET, "5"), [Action::Upgraded(SOCKET)]);
}

#[test]
fn requests_that_should_not_be_there_are_ended() {
    let mut it = probed(V4);
    it.poll(2);
    it.on(Event::PostBegun {
        id: 3,
        is_bytes: false,
    });
    assert_eq!(
        it.socket(SOCKET, "5"),
        [
            Action::BadRequest(2),
            Action::BadRequest(3),
            Action::Upgraded(SOCKET)
        ]
    );
    let body = Body::Text("4late");
    assert_eq!(it.on(Event::Posted { id: 3, body }), []);
}

/// "A client MUST NOT open more than one WebSocket connection per session. Should it happen, the
/// server MUST close the WebSocket connection."
#[test]
fn there_is_one_websocket() {
    let close = [Action::CloseSocket(10)];
    let mut it = Scene::polling(V4);
    it.on(Event::SocketOpened(SOCKET));
    assert_eq!(it.on(Event::SocketOpened(10)), close);
    it.socket(SOCKET, "2probe");
    assert_eq!(it.on(Event::SocketOpened(10)), close);
    it.socket(SOCKET, "5");
    assert_eq!(it.on(Event::SocketOpened(10)), close);
    assert_eq!(it.socket(10, "4x"), []);
    assert_eq!(it.on(Event::SocketClosed(10)), []);
    assert_eq!(it.send("a"), [Action::Write(SOCKET, said("a"))]);
    let mut it = Scene::websocket(V4);
    assert_eq!(it.on(Event::SocketOpened(10)), close);
    let settings = Settings {
        may_upgrade: false,
        ..settings()
    };
    let mut it = Scene::polling(V4);
    it.session.settings = settings.into();
    assert_eq!(it.on(Event::SocketOpened(10)), close);
}

#[test]
fn whatever_else_comes_ends_the_attempt_and_polling_goes_on() {
    for packet in ["2", "2prob", "5", "4hello", "1", "x", "", "3probe"] {
        let mut it = Scene::polling(V4);
        it.on(Event::SocketOpened(SOCKET));
        assert_eq!(it.socket(SOCKET, packet), [Action::CloseSocket(SOCKET)]);
        assert_eq!(it.socket(SOCKET, "5"), [], "{packet}");
        assert_eq!(it.send("a"), []);
        assert_eq!(it.poll(2), [payload(2, [said("a")])]);
        // And it may try again.
        assert_eq!(it.on(Event::SocketOpened(10)), []);
    }
    let mut it = probed(V4);
    assert_eq!(it.socket(SOCKET, "2probe"), [Action::CloseSocket(SOCKET)]);
    let mut it = probed(V4);
    let bytes = Event::SocketMessage(SOCKET, Message::Bytes(&[5]));
    assert_eq!(it.on(bytes), [Action::CloseSocket(SOCKET)]);
}

#[test]
fn an_attempt_takes_only_so_long() {
    let mut it = Scene::polling(V3);
    it.on(Event::SocketOpened(SOCKET));
    it.at(ms(400)).socket(SOCKET, "2probe");
    it.post(2, "1:2");
    it.at(ms(400));
    it.post(3, "1:2");
    assert_eq!(it.session.deadline(), Some(it.now + ms(200)));
    assert_eq!(
        it.at(ms(200)).on(Event::Tick),
        [Action::CloseSocket(SOCKET)]
    );
    assert!(!it.session.is_closed());
    let mut it = probed(V4);
    assert_eq!(it.on(Event::SocketClosed(SOCKET)), []);
    assert_eq!(it.on(Event::SocketOpened(10)), []);
}
