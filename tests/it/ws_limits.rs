//! The limits of a WebSocket connection, each at its edge.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::harness::node::Node;
use crate::harness::postgres::TestDatabase;
use crate::harness::raw::{FIN, RawPeer, head, masked, opcode, unmasked};
use crate::harness::rest::{Room, User, register};
use crate::harness::socket::Socket;

struct Scene {
    node: Node,
    _database: TestDatabase,
    ada: User,
    room: Room,
}

async fn scene(settings: &[(&str, &str)]) -> Scene {
    let (node, database) = Node::on_fresh_database_with(settings).await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await;
    Scene {
        node,
        _database: database,
        ada,
        room,
    }
}

impl Scene {
    async fn joined(&self) -> Socket {
        let mut socket = Socket::connect(&self.node, &self.ada).await;
        socket.join(&self.room.id).await;
        socket
    }

    /// A raw peer, and a bystander who must notice nothing.
    async fn peer_and_bystander(&self) -> (RawPeer, Socket) {
        let peer = RawPeer::upgraded(&self.node, &self.ada.token).await;
        (peer, self.joined().await)
    }
}

/// Sends these bytes, and asserts that the hub closes this connection with this code and no other.
async fn closes(scene: &Scene, what: &str, bytes: &[u8], code: u16) {
    let (mut peer, mut bystander) = scene.peer_and_bystander().await;
    peer.write(bytes).await;
    assert_eq!(peer.close_code().await, Some(code), "{what}");
    bystander.publish(&scene.room.id, "undisturbed", what).await;
    assert_eq!(bystander.push("message").await["client_id"], what);
}

#[tokio::test]
async fn without_credentials_time_is_short() {
    let scene = scene(&[("HUBBUB__WEBSOCKET__AUTH_TIMEOUT_S", "1")]).await;
    let begun = Instant::now();
    let mut silent = Socket::anonymous(&scene.node).await;
    let mut busy = Socket::anonymous(&scene.node).await;
    let refused = busy.err("ping", json!({})).await;
    assert_eq!(refused["code"], "unauthenticated");
    let mut known = Socket::anonymous(&scene.node).await;
    let token = json!({ "token": scene.ada.token });
    known.ok("auth.refresh", token).await;
    for socket in [&mut silent, &mut busy] {
        let closed = socket.close_code().await;
        assert_eq!(closed, (4100, "unauthenticated".to_owned()));
    }
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(900), "too early: {took:?}");
    known.ping().await;
}

#[tokio::test]
pub(crate) async fn who_answers_no_ping_is_gone() {
    let scene = scene(&[
        ("HUBBUB__WEBSOCKET__PING_INTERVAL_S", "1"),
        ("HUBBUB__WEBSOCKET__PING_TIMEOUT_S", "1"),
    ])
    .await;
    let mut deaf = RawPeer::upgraded(&scene.node, &scene.ada.token).await;
    let mut good = scene.joined().await;
    let both = async {
        let mut pings = 0;
        loop {
            let frame = deaf.read_frame().await.expect("a close frame first");
            match frame.first & 0x0f {
                opcode::PING => pings += 1,
                opcode::CLOSE => break (pings, frame.payload),
                other => panic!("unexpected opcode {other}"),
            }
        }
    };
    // A client that reads answers pings by itself, and stays.
    let (gone, stayed) = tokio::join!(both, good.read_for(Duration::from_secs(4)));
    assert!(gone.0 >= 1, "it was asked first");
    assert_eq!(gone.1[..2], 4002_u16.to_be_bytes());
    assert_eq!(stayed, None);
    good.ping().await;
}

#[tokio::test]
pub(crate) async fn who_answers_pings_by_hand_stays() {
    let scene = scene(&[
        ("HUBBUB__WEBSOCKET__PING_INTERVAL_S", "1"),
        ("HUBBUB__WEBSOCKET__PING_TIMEOUT_S", "1"),
    ])
    .await;
    let mut peer = RawPeer::upgraded(&scene.node, &scene.ada.token).await;
    for _ in 0..3 {
        let ping = peer.read_frame().await.expect("the connection goes on");
        assert_eq!(ping.first, FIN | opcode::PING);
        assert!(ping.payload.len() <= 125);
        peer.write(&masked(FIN | opcode::PONG, &ping.payload)).await;
    }
    peer.write(&masked(FIN | opcode::PING, b"and you?")).await;
    let pong = peer.read_frame().await.expect("an answer");
    assert_eq!(
        (pong.first, pong.payload.as_slice()),
        (FIN | opcode::PONG, &b"and you?"[..])
    );
}

#[tokio::test]
async fn who_is_in_no_room_and_says_nothing_goes() {
    let scene = scene(&[("HUBBUB__WEBSOCKET__IDLE_TIMEOUT_S", "1")]).await;
    let mut in_room = scene.joined().await;
    let mut idle = Socket::connect(&scene.node, &scene.ada).await;
    assert_eq!(idle.close_code().await, (4003, "idle".to_owned()));
    // Rooms keep a connection open, and the time begins when the last is left.
    in_room.ping().await;
    in_room.ok("leave", json!({ "room": scene.room.id })).await;
    assert_eq!(in_room.close_code().await.0, 4003);
}

#[tokio::test]
async fn rooms_of_one_connection_are_counted() {
    let scene = scene(&[("HUBBUB__WEBSOCKET__MAX_ROOMS", "2")]).await;
    let mut socket = scene.joined().await;
    let second = scene.ada.create_room("second").await.id;
    let third = scene.ada.create_room("third").await.id;
    socket.join(&second).await;
    let error = socket.err("join", json!({ "room": third })).await;
    assert_eq!(error["code"], "too_many_rooms");
    socket.join(&second).await;
    socket.ok("leave", json!({ "room": second })).await;
    socket.join(&third).await;
    socket.publish(&third, "in", "1").await;
    assert_eq!(socket.push("message").await["room"], third.as_str());
}

#[tokio::test]
pub(crate) async fn a_body_has_64_kib_and_not_a_byte_more() {
    const MAX: usize = 65_536;
    let scene = scene(&[]).await;
    let room = &scene.room.id;
    let mut socket = scene.joined().await;
    let largest = "x".repeat(MAX);
    socket.publish(room, &largest, "1").await;
    assert_eq!(socket.push("message").await["body"], largest);
    // Bytes count, not characters; and not the escapes in which they came.
    let wide = "ä".repeat(MAX / 2);
    socket.publish(room, &wide, "2").await;
    let escaped = "\u{1}".repeat(MAX);
    socket.publish(room, &escaped, "3").await;
    for (n, body) in [
        "x".repeat(MAX + 1),
        format!("{}x", "ä".repeat(MAX / 2)),
        "x".repeat(900_000),
    ]
    .iter()
    .enumerate()
    {
        let fields = json!({ "room": room, "body": body, "client_id": format!("large-{n}") });
        let error = socket.err("publish", fields).await;
        assert_eq!(error["code"], "too_large");
        assert_eq!(error["retry"], false);
        let answer = scene.ada.say(room, body, &format!("large-{n}")).await;
        answer.problem(413, "too_large");
        let data = json!({ "room": room, "name": "large", "data": body });
        assert_eq!(socket.err("emit", data).await["code"], "too_large");
    }
    assert_eq!(scene.ada.say(room, &largest, "4").await.status, 201);
    assert_eq!(scene.ada.history(room).await.len(), 4);
}

#[tokio::test]
async fn a_message_over_the_frame_limit_closes_its_connection() {
    let scene = scene(&[("HUBBUB__WEBSOCKET__MAX_MESSAGE_BYTES", "70000")]).await;
    let fits = json!({ "id": 1, "cmd": "ping", "pad": "" }).to_string();
    let (mut peer, _bystander) = scene.peer_and_bystander().await;
    let pad = "x".repeat(70_000 - fits.len());
    let fits = json!({ "id": 1, "cmd": "ping", "pad": pad }).to_string();
    assert_eq!(fits.len(), 70_000);
    peer.write(&masked(FIN | opcode::TEXT, fits.as_bytes()))
        .await;
    let reply = peer.read_frame().await.expect("a reply");
    let reply: Value = serde_json::from_slice(&reply.payload).expect("JSON");
    assert_eq!(reply, json!({ "id": 1, "ok": {} }));

    // The head alone is enough: nobody waits for the rest, or makes room for it.
    let mut one_more = head(FIN | opcode::TEXT, 70_001, 0x80);
    one_more.extend(*b"mask");
    closes(&scene, "one byte more", &one_more, 1009).await;
    let mut huge = vec![FIN | opcode::TEXT, 0x80 | 0x7f];
    huge.extend((1_u64 << 62).to_be_bytes());
    huge.extend(*b"mask");
    closes(&scene, "an absurd length", &huge, 1009).await;
    let part = vec![b'x'; 40_000];
    let mut pieces = masked(opcode::TEXT, &part);
    pieces.extend(masked(opcode::CONTINUATION, &part));
    closes(&scene, "too much in pieces", &pieces, 1009).await;
}

#[tokio::test]
pub(crate) async fn what_breaks_the_framing_closes_its_connection() {
    let scene = scene(&[]).await;
    let ping = br#"{"id":1,"cmd":"ping"}"#;
    let mut long_form = vec![FIN | opcode::TEXT, 0x80 | 0x7e, 0, 5, 0, 0, 0, 0];
    long_form.extend(b"hello");
    let mut unfinished = masked(opcode::TEXT, b"{");
    unfinished.extend(masked(FIN | opcode::TEXT, ping));
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("unmasked", unmasked(FIN | opcode::TEXT, ping), 1002),
        ("RSV1", masked(FIN | 0x40 | opcode::TEXT, ping), 1002),
        ("RSV2", masked(FIN | 0x20 | opcode::TEXT, ping), 1002),
        ("RSV3", masked(FIN | 0x10 | opcode::TEXT, ping), 1002),
        ("opcode 3", masked(FIN | 3, ping), 1002),
        ("opcode 11", masked(FIN | 0xb, ping), 1002),
        ("a ping in pieces", masked(opcode::PING, b"x"), 1002),
        (
            "a ping of 126",
            masked(FIN | opcode::PING, &[b'x'; 126]),
            1002,
        ),
        ("nothing to continue", masked(FIN, b"x"), 1002),
        ("text within text", unfinished, 1002),
        ("a length in long form", long_form, 1002),
        (
            "a close code of one byte",
            masked(FIN | opcode::CLOSE, &[3]),
            1002,
        ),
        (
            "a close code of nobody",
            masked(FIN | opcode::CLOSE, &[3, 237]),
            1002,
        ),
        ("no UTF-8", masked(FIN | opcode::TEXT, b"\"\xff\""), 1007),
        (
            "a cut character",
            masked(FIN | opcode::TEXT, b"\"\xc3"),
            1007,
        ),
        (
            "a surrogate",
            masked(FIN | opcode::TEXT, b"\xed\xa0\x80"),
            1007,
        ),
        (
            "an overlong NUL",
            masked(FIN | opcode::TEXT, b"\xc0\x80"),
            1007,
        ),
        ("a binary message", masked(FIN | opcode::BINARY, ping), 1003),
    ];
    for (what, bytes, code) in cases {
        closes(&scene, what, &bytes, code).await;
    }
}

#[tokio::test]
pub(crate) async fn a_message_may_come_byte_by_byte_and_in_pieces() {
    let scene = scene(&[]).await;
    let mut peer = RawPeer::upgraded(&scene.node, &scene.ada.token).await;
    let room = &scene.room.id;
    let text =
        format!(r#"{{"id":"ü","cmd":"publish","room":"{room}","body":"🙂","client_id":"1"}}"#);
    // The pieces are cut within characters, with a ping between them.
    let (one, two) = text.as_bytes().split_at(8);
    let mut bytes = masked(opcode::TEXT, one);
    bytes.extend(masked(FIN | opcode::PING, b"between"));
    bytes.extend(masked(opcode::CONTINUATION, two));
    bytes.extend(masked(FIN | opcode::CONTINUATION, b""));
    for byte in bytes {
        peer.write(&[byte]).await;
    }
    let pong = peer.read_frame().await.expect("a pong");
    assert_eq!(pong.payload, b"between");
    let reply = peer.read_frame().await.expect("a reply");
    let reply: Value = serde_json::from_slice(&reply.payload).expect("JSON");
    assert_eq!(reply["id"], "ü");
    assert_eq!(reply["ok"]["msg_no"], 1);
    peer.write(&masked(FIN | opcode::CLOSE, &1000_u16.to_be_bytes()))
        .await;
    assert_eq!(peer.close_code().await, Some(1000));
}

#[tokio::test]
pub(crate) async fn many_commands_at_once_are_all_answered() {
    let scene = scene(&[("HUBBUB__WEBSOCKET__MAX_INFLIGHT", "4")]).await;
    let mut socket = scene.joined().await;
    let mut expected = std::collections::BTreeSet::new();
    for n in 0..200 {
        let key = format!("k{n}");
        let fields = json!({ "room": scene.room.id, "body": key, "client_id": key });
        expected.insert(socket.send_command("publish", fields).await);
    }
    let mut seqs = Vec::new();
    while !expected.is_empty() {
        let reply = socket.reply().await.expect("the connection goes on");
        assert!(expected.remove(&reply["id"].as_u64().expect("an id")));
        seqs.push(reply["ok"]["seq"].as_u64().expect("a seq"));
    }
    seqs.sort_unstable();
    seqs.dedup();
    assert_eq!(seqs.len(), 200);
    // Sent in this order, stored in this order.
    let history = scene.ada.history(&scene.room.id).await;
    let keys: Vec<_> = history
        .iter()
        .map(|message| message["client_id"].clone())
        .collect();
    let sent: Vec<_> = (0..200).map(|n| json!(format!("k{n}"))).collect();
    assert_eq!(keys, sent);
}

#[tokio::test]
pub(crate) async fn connections_of_the_node_are_counted() {
    let scene = scene(&[("HUBBUB__HTTP__MAX_CONNECTIONS", "2")]).await;
    let first = Socket::connect(&scene.node, &scene.ada).await;
    let mut second = Socket::connect(&scene.node, &scene.ada).await;
    let authorization = format!("Bearer {}", scene.ada.token);
    let headers = [("authorization", authorization.as_str())];
    let refused = Socket::open(&scene.node, "/ws", &headers).await.err();
    let refused = refused.expect("the third is refused");
    assert_eq!(refused.status, 503);
    assert_eq!(refused.body["code"], "overloaded");
    second.ping().await;
    first.close().await;
    crate::harness::eventually("there is room again", async || {
        Socket::open(&scene.node, "/ws", &headers).await.ok()
    })
    .await
    .ping()
    .await;
}

/// A socket whose connection has ended, and whose peer does not go, is one still.
#[tokio::test]
async fn a_place_is_given_back_with_its_socket() {
    let scene = scene(&[
        ("HUBBUB__HTTP__MAX_CONNECTIONS", "1"),
        ("HUBBUB__WEBSOCKET__CLOSE_TIMEOUT_MS", "10000"),
    ])
    .await;
    let mut peer = RawPeer::upgraded(&scene.node, &scene.ada.token).await;
    let normal = 1000_u16.to_be_bytes();
    peer.write(&masked(FIN | opcode::CLOSE, &normal)).await;
    assert_eq!(peer.close_code().await, Some(1000));
    crate::harness::eventually("the connection has ended", async || {
        let open = scene.node.metric("websocket_active_connections").await;
        (open == 0).then_some(())
    })
    .await;
    let refused = Socket::open(&scene.node, "/ws", &[]).await.err();
    assert_eq!(refused.expect("its socket is there").status, 503);
    peer.finish().await;
    crate::harness::eventually("there is room again", async || {
        Socket::open(&scene.node, "/ws", &[]).await.ok()
    })
    .await;
}

/// Whatever comes: the connection that sent it may end, no other one notices.
#[tokio::test]
async fn random_bytes_hurt_nobody_else() {
    let seed: u64 = rand::random();
    let mut random = StdRng::seed_from_u64(seed);
    let scene = scene(&[]).await;
    let mut bystander = scene.joined().await;
    for round in 0..100 {
        let mut peer = RawPeer::upgraded(&scene.node, &scene.ada.token).await;
        let mut bytes = vec![0; random.random_range(1..300)];
        random.fill_bytes(&mut bytes);
        if random.random_bool(0.5) {
            // A good frame with nonsense in it goes deeper than a bad frame.
            bytes = masked(
                FIN | opcode::TEXT,
                String::from_utf8_lossy(&bytes).as_bytes(),
            );
        }
        peer.write(&bytes).await;
        peer.finish().await;
        while peer.read_frame().await.is_some() {}
        let key = format!("round {round} of seed {seed}");
        bystander.publish(&scene.room.id, "undisturbed", &key).await;
        assert_eq!(bystander.push("message").await["client_id"], key);
    }
    let log = scene.node.log().text();
    assert!(!log.contains("panicked"), "seed {seed}: {log}");
}
