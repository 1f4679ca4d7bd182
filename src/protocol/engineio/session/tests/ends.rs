//! The ways in which a session ends.

use super::*;

fn close(poll: PeerId) -> Did {
    payload(poll, [own(Packet::Close)])
}

fn closed(reason: Reason) -> Did {
    Action::Closed(reason)
}

/// "To ensure packet ordering, a client MUST NOT have more than one active `GET` request. Should it
/// happen, the server MUST return an HTTP 400 error status and close the session."
#[test]
fn a_second_poll_ends_it() {
    for revision in [V3, V4] {
        let mut it = Scene::polling(revision);
        it.poll(2);
        assert_eq!(
            it.poll(3),
            [Action::BadRequest(3), close(2), closed(Reason::Overlap)]
        );
        assert_eq!(it.poll(4), [Action::BadRequest(4)]);
    }
}

/// The same of `POST`.
#[test]
fn a_second_post_ends_it() {
    let mut it = Scene::polling(V4);
    let begun = |id| Event::PostBegun {
        id,
        is_bytes: false,
    };
    it.poll(2);
    assert_eq!(it.on(begun(3)), []);
    assert_eq!(
        it.on(begun(4)),
        [
            Action::BadRequest(4),
            close(2),
            Action::BadRequest(3),
            closed(Reason::Overlap)
        ]
    );
    let body = Body::Text("4x");
    assert_eq!(it.on(Event::Posted { id: 3, body }), []);
}

#[test]
fn requests_that_break_off_end_it() {
    let mut it = Scene::polling(V4);
    it.poll(2);
    assert_eq!(it.on(Event::PollAborted(7)), []);
    assert_eq!(it.on(Event::PollAborted(2)), [closed(Reason::Aborted)]);
    let mut it = Scene::polling(V4);
    it.on(Event::PostBegun {
        id: 2,
        is_bytes: false,
    });
    assert_eq!(it.on(Event::PostAborted(2)), [closed(Reason::Aborted)]);
    let mut it = Scene::websocket(V4);
    assert_eq!(
        it.on(Event::SocketClosed(1)),
        [Action::CloseSocket(1), closed(Reason::TransportClosed)]
    );
}

#[test]
fn what_is_no_packet_ends_it() {
    for (revision, body) in [
        (V4, "abc"),
        (V4, ""),
        (V4, "4a\x1e"),
        (V3, "4hello"),
        (V3, "9:4"),
    ] {
        let mut it = Scene::polling(revision);
        it.poll(2);
        let did = it.post(3, body);
        let at = usize::from(did.first() == Some(&text("a")));
        assert_eq!(did[at..at + 2], [Action::BadRequest(3), close(2)]);
        assert!(matches!(did[at + 2..], [Action::Closed(Reason::Packet(_))]));
    }
    let mut it = Scene::websocket(V4);
    let did = it.socket(1, "abc");
    assert_eq!(did[0], Action::CloseSocket(1));
    // What belongs to the handshake or to a change of transport.
    for packet in ["0{}", "5"] {
        let mut it = Scene::polling(V4);
        assert_eq!(
            it.post(2, packet),
            [Action::BadRequest(2), closed(Reason::OutOfPlace)]
        );
    }
}

#[test]
fn bytes_are_no_body_of_revision_4() {
    let mut it = Scene::polling(V4);
    let begun = Event::PostBegun {
        id: 2,
        is_bytes: true,
    };
    assert_eq!(
        it.on(begun),
        [Action::BadRequest(2), closed(Reason::Content)]
    );
}

#[test]
fn a_body_that_is_too_long_is_refused_alone() {
    let mut it = Scene::polling(V4);
    it.on(Event::PostBegun {
        id: 2,
        is_bytes: false,
    });
    assert_eq!(it.on(Event::PostTooLarge(2)), [Action::TooLarge(2)]);
    assert_eq!(it.post(3, "4x"), [text("x"), Action::Ok(3)]);
}

/// "1 close: Request the close of this transport"; the poll that waits is ended by a noop.
#[test]
fn the_client_ends_it() {
    let mut it = Scene::polling(V4);
    it.poll(2);
    assert_eq!(
        it.post(3, "4x\x1e1\x1e4y"),
        [
            text("x"),
            payload(2, [own(Packet::Noop)]),
            Action::Ok(3),
            closed(Reason::Client)
        ]
    );
    let mut it = Scene::websocket(V3);
    assert_eq!(
        it.socket(1, "1"),
        [Action::CloseSocket(1), closed(Reason::Client)]
    );
    assert_eq!(it.socket(1, "4x"), []);
}

#[test]
fn the_server_ends_it_after_what_waits() {
    let mut it = Scene::polling(V4);
    it.send("a");
    assert_eq!(it.on(Event::Close), []);
    // It says and hears nothing more.
    assert_eq!(it.on(send("b")), []);
    assert_eq!(it.post(2, "4x"), [Action::Ok(2)]);
    assert_eq!(it.poll(3), [payload(3, [said("a")])]);
    assert_eq!(it.poll(4), [close(4), closed(Reason::Server)]);
    let mut it = Scene::polling(V4);
    it.poll(2);
    assert_eq!(it.on(Event::Close), [close(2), closed(Reason::Server)]);
    let mut it = Scene::websocket(V4);
    assert_eq!(
        it.on(Event::Close),
        [Action::CloseSocket(1), closed(Reason::Server)]
    );
}

/// A proxy has sent it again, as the node that was to bring the answer has died.
#[test]
fn a_poll_whose_answer_was_lost_ends_it() {
    let mut it = Scene::polling(V4);
    it.send("a");
    assert_eq!(it.poll(2), [payload(2, [said("a")])]);
    it.send("b");
    assert_eq!(
        it.on(Event::PollRepeated(3)),
        [Action::BadRequest(3), closed(Reason::Aborted)]
    );
    // The first is still waiting.
    let mut it = Scene::polling(V4);
    it.poll(2);
    assert_eq!(
        it.on(Event::PollRepeated(3)),
        [Action::BadRequest(3), close(2), closed(Reason::Aborted)]
    );
    let mut it = Scene::websocket(V4);
    assert_eq!(it.on(Event::PollRepeated(3)), [Action::BadRequest(3)]);
}

/// The official client takes what comes with the end for not received.
#[test]
fn the_end_comes_by_itself() {
    let mut it = Scene::polling(V4);
    it.poll(2);
    assert_eq!(it.on(send("a")), []);
    assert_eq!(it.on(Event::Close), [payload(2, [said("a")])]);
    assert_eq!(it.poll(3), [close(3), closed(Reason::Server)]);
}

#[test]
fn a_client_that_does_not_come_for_the_end_is_forgotten() {
    let mut it = Scene::polling(V4);
    it.on(Event::Close);
    assert_eq!(it.session.deadline(), Some(it.now + ms(3000)));
    assert_eq!(it.at(ms(2999)).on(Event::Tick), []);
    assert_eq!(it.at(ms(1)).on(Event::Tick), [closed(Reason::Server)]);
    // Or it is told by the WebSocket that it was about to change to.
    let mut it = Scene::polling(V4);
    it.on(Event::SocketOpened(9));
    it.socket(9, "2probe");
    it.send("a");
    it.on(Event::Close);
    assert_eq!(
        it.socket(9, "5"),
        [
            Action::Upgraded(9),
            Action::Write(9, said("a")),
            Action::CloseSocket(9),
            closed(Reason::Server)
        ]
    );
}
