//! Who is alive.

use super::*;

fn ping() -> Out<Said> {
    own(Packet::Ping("".into()))
}

/// "At a given interval the server sends a `ping` packet and the client has a few seconds to send a
/// `pong` packet back."
#[test]
fn of_revision_4_the_server_asks() {
    let mut it = Scene::websocket(V4);
    for _ in 0..3 {
        assert_eq!(it.session.deadline(), Some(it.now + ms(300)));
        assert_eq!(it.at(ms(299)).on(Event::Tick), []);
        assert_eq!(it.at(ms(1)).on(Event::Tick), [Action::Write(1, ping())]);
        assert_eq!(it.session.deadline(), Some(it.now + ms(200)));
        assert_eq!(it.at(ms(199)).socket(1, "3"), []);
    }
    // Whatever else comes is no pong.
    it.at(ms(300)).on(Event::Tick);
    assert_eq!(it.at(ms(100)).socket(1, "4x"), [text("x")]);
    assert_eq!(
        it.at(ms(100)).on(Event::Tick),
        [Action::CloseSocket(1), Action::Closed(Reason::PingTimeout)]
    );
    assert_eq!(it.session.deadline(), None);
}

#[test]
fn of_revision_4_a_poll_brings_the_ping() {
    let mut it = Scene::polling(V4);
    assert_eq!(it.poll(2), []);
    assert_eq!(it.at(ms(300)).on(Event::Tick), [payload(2, [ping()])]);
    assert_eq!(it.post(3, "3"), [Action::Ok(3)]);
    // Without a poll it waits, and the session ends.
    assert_eq!(it.at(ms(300)).on(Event::Tick), []);
    assert_eq!(
        it.at(ms(200)).on(Event::Tick),
        [Action::Closed(Reason::PingTimeout)]
    );
    assert_eq!(it.poll(4), [Action::BadRequest(4)]);
}

/// "Server must respond to periodic `ping` packets sent by the client with `pong` packets",
/// "containing the same data"; it notices when "it does not receive any data within
/// `pingTimeout + pingInterval`".
#[test]
fn of_revision_3_the_client_asks() {
    let mut it = Scene::websocket(V3);
    let pong = |data: &'static str| [Action::Write(1, own(Packet::Pong(data.into())))];
    assert_eq!(it.at(ms(499)).socket(1, "2"), pong(""));
    assert_eq!(it.at(ms(499)).socket(1, "2abc"), pong("abc"));
    assert_eq!(it.at(ms(499)).socket(1, "4x"), [text("x")]);
    assert_eq!(it.at(ms(499)).on(Event::Tick), []);
    assert_eq!(
        it.at(ms(1)).on(Event::Tick),
        [Action::CloseSocket(1), Action::Closed(Reason::PingTimeout)]
    );
    let mut it = Scene::polling(V3);
    assert_eq!(it.post(2, "1:2"), [Action::Ok(2)]);
    assert_eq!(it.poll(3), [payload(3, [own(Packet::Pong("".into()))])]);
}

#[test]
fn a_heartbeat_in_the_wrong_direction_ends_the_session() {
    for (revision, packet) in [(V4, "2"), (V3, "3")] {
        let mut it = Scene::websocket(revision);
        assert_eq!(
            it.socket(1, packet),
            [Action::CloseSocket(1), Action::Closed(Reason::OutOfPlace)]
        );
    }
}
