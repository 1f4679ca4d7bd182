//! Two clients in one room, one in each codec.

use serde_json::{Value, json};

use crate::harness::msgpack::bin;
use crate::harness::node::Node;
use crate::harness::raw::RawPeer;
use crate::harness::rest::register;
use crate::harness::socket::Socket;
use crate::harness::stream::EventStream;

#[tokio::test]
async fn both_see_the_same() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let bob = register(&node, "bob").await;
    let room = ada.create_room("general").await;
    bob.join_room(&room).await;
    let mut packed = Socket::connect_packed(&node, &ada).await;
    let mut plain = Socket::connect(&node, &bob).await;
    let joined = packed.join("general").await;
    assert_eq!(joined["room"], room.id.as_str());
    let again = plain.join("general").await;
    assert_eq!(again["epoch"], joined["epoch"]);

    let ack = packed
        .publish("general", "g\u{fc}nstig \u{1f600}", "c1")
        .await;
    plain.publish("general", &"x".repeat(65_536), "c2").await;
    let message = packed.push("message").await;
    assert_eq!(message["seq"], ack["seq"]);
    assert_eq!(message["created_at"], ack["created_at"]);
    assert_eq!(plain.push("message").await, message);
    assert_eq!(plain.push("message").await, packed.push("message").await);

    let id = ack["id"].clone();
    for (cmd, fields) in [
        ("message.edit", json!({ "body": "ho" })),
        ("message.react", json!({ "emoji": "\u{1f44d}" })),
        ("message.pin", json!({ "pinned": true })),
    ] {
        let mut fields = fields;
        fields["room"] = "general".into();
        fields["message_id"] = id.clone();
        packed.ok(cmd, fields).await;
        assert_eq!(plain.push(cmd).await, packed.push(cmd).await, "{cmd}");
    }
    let page = json!({ "room": "general" });
    let history = packed.ok("history", page.clone()).await;
    assert_eq!(history, plain.ok("history", page).await);
    assert_eq!(history, bob.page(&room.id, "").await);

    packed.ok("typing", json!({ "room": "general" })).await;
    assert_eq!(plain.push("typing").await["typing"], true);
    plain
        .ok("read", json!({ "room": "general", "msg_no": 1 }))
        .await;
    assert_eq!(plain.push("read").await, packed.push("read").await);
    let room_field = json!({ "room": "general" });
    let here = packed.ok("presence", room_field.clone()).await;
    assert_eq!(here["count"], 2);
    let refused = packed.err("history", json!({ "room": "nowhere" })).await;
    assert_eq!(
        refused,
        plain.err("history", json!({ "room": "nowhere" })).await
    );
    let left = packed.ok("leave", room_field).await;

    // And what comes after it, by the cursor of the other codec.
    plain.publish("general", "later", "c3").await;
    let cursor = json!({ "cursor": joined["cursor"] });
    packed.ok("resume", cursor).await;
    let resumed = packed.push("resumed").await;
    assert_eq!(resumed["replayed"], 6);
    assert_eq!(left["room"], resumed["room"]);
    assert_eq!(packed.push("message").await["seq"], message["seq"]);
}

/// What an application may send, bytes in every place, and what looks like bytes and is not.
fn values() -> Vec<Value> {
    vec![
        bin(b""),
        bin(&[0, 0xff, 0x80]),
        json!({ "at": [1, -7, 2.5, null, bin(&[7; 300])], "of": { "deep": bin(b"\0") } }),
        json!({ "$bins": "AA==" }),
        json!([u64::MAX, i64::MIN, 0.1, "\u{0}"]),
    ]
}

#[tokio::test]
async fn bytes_in_data_survive_every_way() {
    let (mut node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let bob = register(&node, "bob").await;
    let room = ada.create_room("general").await;
    bob.join_room(&room).await;
    let mut packed = Socket::connect_packed(&node, &ada).await;
    let mut plain = Socket::connect(&node, &bob).await;
    let start = packed.join("general").await;
    plain.join("general").await;
    let mut stream = EventStream::open(&bob, &format!("/api/rooms/{}/events", room.id), None).await;
    stream.event("resumed").await;

    for (number, data) in values().into_iter().enumerate() {
        for volatile in [true, false] {
            let sent = if number % 2 == 0 {
                &mut packed
            } else {
                &mut plain
            };
            let emit = json!({
                "room": "general", "name": "n", "data": data, "volatile": volatile,
            });
            sent.ok("emit", emit).await;
            let got = packed.push("event").await;
            assert_eq!(got["data"], data);
            assert_eq!(plain.push("event").await, got);
            let block = stream.event("event").await;
            assert_eq!(block.json(), got);
        }
    }
    // Out of the room's memory, then out of the log.
    for is_restarted in [false, true] {
        if is_restarted {
            node.kill9();
            node.restart().await;
        }
        let since = json!({ "room": "general", "since": start["last_seq"] });
        for mut late in [
            Socket::connect_packed(&node, &ada).await,
            Socket::connect(&node, &bob).await,
        ] {
            late.ok("join", since.clone()).await;
            for data in values() {
                assert_eq!(late.push("event").await["data"], data);
            }
        }
        let bob = bob.at(&node);
        let path = format!("/api/rooms/{}/events", room.id);
        let from = format!("{}-{}", start["epoch"], start["last_seq"]);
        let mut stream = EventStream::open(&bob, &path, Some(&from)).await;
        for data in values() {
            assert_eq!(stream.event("event").await.json()["data"], data);
        }
    }
}

#[tokio::test]
async fn the_first_subprotocol_that_is_spoken_counts() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let authorization = format!("Bearer {}", ada.token);
    for (offer, chosen) in [
        ("hubbub.msgpack.v1, hubbub.json.v1", "hubbub.msgpack.v1"),
        ("soap, hubbub.json.v1, hubbub.msgpack.v1", "hubbub.json.v1"),
    ] {
        let mut raw = RawPeer::connect(&node).await;
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Authorization: {authorization}\r\nSec-WebSocket-Protocol: {offer}\r\n\r\n",
            node.address
        );
        raw.write(request.as_bytes()).await;
        let head = raw.read_head().await.to_lowercase();
        assert!(head.starts_with("http/1.1 101"), "{head}");
        let expected = format!("sec-websocket-protocol: {chosen}\r\n");
        assert!(head.contains(&expected), "{head}");
    }
}
