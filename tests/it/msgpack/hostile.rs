//! MessagePack that no honest client sends, over a real socket.

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use serde_json::json;

use crate::harness::msgpack::pack;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{self, TestDatabase};
use crate::harness::rest::register;
use crate::harness::socket::Socket;

/// The request `{"id":7,"cmd":"emit","room":…,"name":"n","volatile":true,"data":…}` with these
/// bytes in place of `data`'s.
fn emit(data: &[u8]) -> Vec<u8> {
    let head = json!({ "id": 7, "cmd": "emit", "room": "general", "name": "n", "volatile": true });
    let mut request = pack(&head);
    request[0] += 1;
    request.extend(b"\xa4data");
    request.extend(data);
    request
}

/// The request `{"id":7,"cmd":"publish",…,"body":…}` with these bytes in place of `body`'s.
fn publish(body: &[u8]) -> Vec<u8> {
    let head = json!({ "id": 7, "cmd": "publish", "room": "general", "client_id": "c" });
    let mut request = pack(&head);
    request[0] += 1;
    request.extend(b"\xa4body");
    request.extend(body);
    request
}

/// A connection in MessagePack that is in a room.
async fn joined() -> (Node, TestDatabase, Socket) {
    let (node, database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    ada.create_room("general").await;
    let mut socket = Socket::connect_packed(&node, &ada).await;
    socket.join("general").await;
    (node, database, socket)
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_the_connection_goes_on() {
    let (_node, _database, mut socket) = joined().await;
    let ping = pack(&json!({ "id": 7, "cmd": "ping" }));
    // It has no id that could be told.
    for (what, bytes) in [
        ("nothing", vec![]),
        ("a list", b"\x92\xa2id\x07".to_vec()),
        ("a string", b"\xa4ping".to_vec()),
        ("it ends too soon", ping[..ping.len() - 1].to_vec()),
        ("it goes on", [&ping[..], b"\xc0"].concat()),
        ("twice", [&ping[..], &ping].concat()),
        (
            "a length that lies",
            b"\xdf\xff\xff\xff\xff\xa3cmd\xa4ping".to_vec(),
        ),
        (
            "a string that lies",
            b"\x81\xa3cmd\xdb\xff\xff\xff\xffping".to_vec(),
        ),
        (
            "a list that lies",
            b"\x81\xa4data\xdd\xff\xff\xff\xff".to_vec(),
        ),
        (
            "bytes that lie",
            b"\x81\xa4data\xc6\xff\xff\xff\xff".to_vec(),
        ),
        ("a number as key", b"\x82\x01\x02\xa3cmd\xa4ping".to_vec()),
        ("bytes as key", b"\x81\xc4\x03cmd\xa4ping".to_vec()),
        ("a key that is no text", b"\x81\xa3c\xffd\xa4ping".to_vec()),
        (
            "a key twice",
            b"\x82\xa3cmd\xa4ping\xa3cmd\xa4ping".to_vec(),
        ),
        (
            "an unknown key twice",
            b"\x83\xa1x\x01\xa3cmd\xa4ping\xa1x\x01".to_vec(),
        ),
        ("the byte c1", b"\x81\xa3cmd\xc1".to_vec()),
        ("JSON", br#"{"id":7,"cmd":"ping"}"#.to_vec()),
    ] {
        socket.send_bytes(bytes).await;
        let reply = socket.reply().await.unwrap();
        assert_eq!(reply["err"]["code"], "invalid_request", "{what}");
        assert_eq!(reply.get("id"), None, "{what}");
    }
    socket.publish("general", "undisturbed", "c").await;
}

#[tokio::test]
async fn a_wrong_field_is_refused_by_its_name() {
    let (_node, _database, mut socket) = joined().await;
    let deep = [&[0x91; 128][..], &[0xc0]].concat();
    let deepest = [&vec![0x91; 900_000][..], &[0xc0]].concat();
    for (what, bytes, field, code) in [
        ("too deep", emit(&deep), "`data`", "invalid_request"),
        ("much too deep", emit(&deepest), "`data`", "too_large"),
        (
            "an extension",
            emit(b"\xd4\x01x"),
            "`data`",
            "invalid_request",
        ),
        (
            "an extension within",
            emit(b"\x91\xc7\x01\x01x"),
            "`data`",
            "invalid_request",
        ),
        (
            "a key twice",
            emit(b"\x82\xa1a\x01\xa1a\x01"),
            "`data`",
            "invalid_request",
        ),
        (
            "a number as key",
            emit(b"\x81\x01\x01"),
            "`data`",
            "invalid_request",
        ),
        ("no text", emit(b"\xa1\xff"), "`data`", "invalid_request"),
        (
            "no number",
            emit(b"\xcb\x7f\xf8\0\0\0\0\0\0"),
            "`data`",
            "invalid_request",
        ),
        (
            "too long",
            emit(&pack(&json!("x".repeat(65_536)))),
            "`data`",
            "too_large",
        ),
        (
            "a number as text",
            publish(b"\x01"),
            "`body`",
            "invalid_request",
        ),
        (
            "an extension as text",
            publish(b"\xd6\xff\0\0\0\0"),
            "`body`",
            "invalid_request",
        ),
        (
            "half a character",
            publish(b"\xa1\xc3"),
            "`body`",
            "invalid_text",
        ),
        (
            "a surrogate",
            publish(b"\xa3\xed\xa0\x80"),
            "`body`",
            "invalid_text",
        ),
        ("U+0000", publish(b"\xa1\0"), "`body`", "invalid_text"),
    ] {
        socket.send_bytes(bytes).await;
        let reply = socket.reply().await.unwrap();
        assert_eq!(reply["id"], 7, "{what}");
        let err = &reply["err"];
        assert_eq!(err["code"], code, "{what}: {reply}");
        let message = err["message"].as_str().expect("a message");
        assert!(message.starts_with(field), "{what}: {message}");
    }
    // Extensions in fields that no command has are a newer client's matter.
    socket
        .send_bytes(b"\x83\xa2id\x07\xa3cmd\xa4ping\xa3new\xd4\x01x".to_vec())
        .await;
    assert_eq!(socket.reply().await.unwrap()["ok"], json!({}));
    socket.publish("general", "undisturbed", "c").await;
}

#[tokio::test]
async fn each_codec_has_its_kind_of_message() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let ping = json!({ "id": 1, "cmd": "ping" });
    let mut packed = Socket::connect_packed(&node, &ada).await;
    packed.send_text(&ping.to_string()).await;
    let unsupported = (1003, "unsupported_data".to_owned());
    assert_eq!(packed.close_code().await, unsupported);
    let mut plain = Socket::connect(&node, &ada).await;
    plain.send_bytes(pack(&ping)).await;
    assert_eq!(plain.close_code().await, unsupported);
}

#[tokio::test]
async fn nonsense_without_end_is_abuse() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let mut socket = Socket::connect_packed(&node, &ada).await;
    for _ in 0..1000 {
        socket.send_bytes(b"\xc1".to_vec()).await;
    }
    assert_eq!(socket.close_code().await, (4102, "abuse".to_owned()));
}

/// Huge lists and maps, random bytes, requests with random bytes in them: answered, and nothing
/// is held for what was only promised.
#[tokio::test]
async fn whatever_comes_the_node_answers_and_does_not_grow() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url)
        .set("HUBBUB__LIMITS__EXEMPT", "127.0.0.0/8")
        .set("HUBBUB__LIMITS__PUBLISHES_PER_MIN", "1000000");
    let node = Node::start(options).await;
    let ada = register(&node, "ada").await;
    ada.create_room("general").await;
    let mut socket = Socket::connect_packed(&node, &ada).await;
    socket.join("general").await;
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let before = node.resident_bytes();
    for round in 0..300 {
        let mut bytes = match round % 4 {
            // As many empty lists as there is room for, each a value.
            0 => emit(&[&b"\xdd\x00\x00\xf0\x00"[..], &vec![0x90; 0xf000]].concat()),
            // Many that promise the most.
            1 => b"\xdf\xff\xff\xff\xff".repeat(50_000),
            2 => {
                let mut bytes = vec![0; rng.random_range(1..2000)];
                rng.fill_bytes(&mut bytes);
                bytes
            }
            _ => emit(&pack(&json!({ "a": [1, { "b": "c" }, null], "d": 1.5 }))),
        };
        if round % 4 == 3 {
            let at = rng.random_range(0..bytes.len());
            bytes[at] = rng.random();
        }
        socket.send_bytes(bytes).await;
        // Whatever came of it, the next one is understood.
        let id = socket.send_command("ping", json!({})).await;
        while socket.reply().await.expect("it goes on")["id"] != id {}
    }
    let grown = node.resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more, seed {seed}");
}
