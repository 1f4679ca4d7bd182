//! Messages that say bytes: the same on every way, stored as they are, and gone when deleted.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::msgpack::{bin, with_bytes};
use crate::harness::node::Node;
use crate::harness::postgres::TestDatabase;
use crate::harness::rest::{Room, User, register};
use crate::harness::socket::Socket;
use crate::harness::stream::EventStream;

struct Scene {
    node: Node,
    database: TestDatabase,
    ada: User,
    bob: User,
    room: Room,
    packed: Socket,
    plain: Socket,
    stream: EventStream,
}

async fn scene(settings: &[(&str, &str)]) -> Scene {
    let (node, database) = Node::on_fresh_database_with(settings).await;
    let ada = register(&node, "ada").await;
    let bob = register(&node, "bob").await;
    let room = ada.create_room("general").await;
    bob.join_room(&room).await;
    let mut packed = Socket::connect_packed(&node, &ada).await;
    let mut plain = Socket::connect(&node, &bob).await;
    packed.join(&room.id).await;
    plain.join(&room.id).await;
    let mut stream = EventStream::open(&bob, &events_of(&room), None).await;
    stream.event("resumed").await;
    Scene {
        node,
        database,
        ada,
        bob,
        room,
        packed,
        plain,
        stream,
    }
}

fn events_of(room: &Room) -> String {
    format!("/api/rooms/{}/events", room.id)
}

/// Every byte there is, more than once.
fn every_byte() -> Vec<u8> {
    (0..=255).cycle().take(600).collect()
}

fn in_base64(bytes: &[u8]) -> Value {
    json!({ "body": STANDARD.encode(bytes), "encoding": "base64" })
}

/// Asserts that an object in JSON says these bytes.
fn says(object: &Value, bytes: &[u8]) {
    for (field, value) in in_base64(bytes).as_object().expect("an object") {
        assert_eq!(object[field], *value, "{object}");
    }
}

impl Scene {
    /// The next push of this name, which all three must get alike, in JSON.
    async fn push(&mut self, name: &str) -> Value {
        let plain = self.plain.push(name).await;
        assert_eq!(self.stream.event(name).await.json(), plain);
        let mut expected = plain.clone();
        with_bytes(&mut expected);
        assert_eq!(self.packed.push(name).await, expected);
        plain
    }

    /// The newest page, which is the same by REST and in both codecs, in JSON.
    async fn messages(&mut self) -> Vec<Value> {
        let fields = json!({ "room": self.room.id });
        let plain = self.plain.ok("history", fields.clone()).await;
        assert_eq!(self.bob.page(&self.room.id, "").await, plain);
        let mut expected = plain.clone();
        let messages = expected["messages"].as_array_mut().expect("a list");
        messages.iter_mut().for_each(with_bytes);
        assert_eq!(self.packed.ok("history", fields).await, expected);
        for message in plain["messages"].as_array().expect("a list") {
            let path = format!("/api/rooms/{}/messages/{}", self.room.id, text(message));
            assert_eq!(self.bob.get(&path).await.ok(), *message);
        }
        plain["messages"].as_array().expect("a list").clone()
    }
}

fn text(message: &Value) -> &str {
    message["id"].as_str().expect("an id")
}

#[tokio::test]
async fn bytes_go_in_and_come_out_by_every_way() {
    let mut scene = scene(&[]).await;
    let (room, bytes) = (scene.room.id.clone(), every_byte());
    let path = format!("/api/rooms/{room}/messages");

    let fields = json!({ "room": room, "client_id": "a", "body": bin(&bytes) });
    scene.packed.ok("publish", fields).await;
    let mut fields = in_base64(&bytes);
    fields["client_id"] = "c".into();
    scene.bob.post(&path, &fields).await.ok();
    fields["client_id"] = "b".into();
    fields["room"] = room.clone().into();
    scene.plain.ok("publish", fields).await;

    let mut first = None;
    for client_id in ["a", "c", "b"] {
        let push = scene.push("message").await;
        assert_eq!(push["client_id"], client_id);
        says(&push, &bytes);
        first.get_or_insert(push);
    }
    let messages = scene.messages().await;
    assert_eq!(messages.len(), 3);
    for message in &messages {
        says(message, &bytes);
    }
    // What is searched is empty.
    let client = scene.database.connect().await;
    let sql = "SELECT count(*) FROM messages WHERE body = '' AND body_bytes = $1";
    let row = client.query_one(sql, &[&bytes]).await.expect("it answers");
    assert_eq!(row.get::<_, i64>(0), 3);

    // What was missed comes from the room's memory, and from the log.
    let since = first.expect("a message")["seq"].as_u64().expect("a seq") - 1;
    for is_restarted in [false, true] {
        if is_restarted {
            scene.node.kill9();
            scene.node.restart().await;
        }
        let mut packed = Socket::connect_packed(&scene.node, &scene.ada).await;
        let mut plain = Socket::connect(&scene.node, &scene.bob).await;
        let fields = json!({ "room": room, "since": since });
        let epoch = packed.ok("join", fields.clone()).await["epoch"].clone();
        plain.ok("join", fields).await;
        let id = format!("{epoch}-{since}");
        let bob = scene.bob.at(&scene.node);
        let mut stream = EventStream::open(&bob, &events_of(&scene.room), Some(&id)).await;
        for _ in 0..3 {
            assert_eq!(packed.push("message").await["body"], bin(&bytes));
            says(&plain.push("message").await, &bytes);
            says(&stream.event("message").await.json(), &bytes);
        }
    }
}

#[tokio::test]
async fn edits_threads_and_deletions() {
    let mut scene = scene(&[]).await;
    let room = scene.room.id.clone();
    let fields = json!({ "room": room, "client_id": "a", "body": "text" });
    let root = scene.packed.ok("publish", fields).await;
    let id = text(&root).to_owned();
    scene.push("message").await;
    let reply = json!({
        "room": room, "client_id": "r", "thread": id, "body": bin(b"\0reply"),
    });
    scene.packed.ok("publish", reply).await;
    assert_eq!(scene.push("message").await["thread"], id.as_str());
    let thread = format!("?thread={id}");
    let page = scene.bob.page(&room, &thread).await;
    says(&page["messages"][0], b"\0reply");

    // Text becomes bytes, other bytes, and text again; the same again is nothing new.
    let path = format!("/api/rooms/{room}/messages/{id}");
    for (body, is_new) in [
        (bin(b"\xff one"), true),
        (bin(b"\xff one"), false),
        (bin(b"two"), true),
        (json!("two"), true),
        (json!("two"), false),
        (bin(b"\0secret\xff"), true),
    ] {
        let edit = json!({ "room": room, "message_id": id, "body": body });
        let reply = scene.packed.ok("message.edit", edit).await;
        assert_eq!(reply.get("seq").is_some(), is_new, "{body}");
        if !is_new {
            continue;
        }
        let mut push = scene.push("message.edit").await;
        with_bytes(&mut push);
        assert_eq!(push["body"], body);
        let mut message = scene.messages().await[0].clone();
        with_bytes(&mut message);
        assert_eq!(message["body"], body);
    }
    // By REST, too.
    let edited = scene
        .ada
        .patch(&path, &in_base64(b"\0more secret\xff"))
        .await;
    edited.ok();
    says(&scene.push("message.edit").await, b"\0more secret\xff");

    let epoch = scene.room.epoch;
    scene
        .packed
        .ok("message.delete", json!({ "room": room, "message_id": id }))
        .await;
    scene.push("message.delete").await;
    let message = &scene.messages().await[0];
    assert_eq!(message["body"], "");
    assert_eq!(message["deleted"], true);
    assert_eq!(message.get("encoding"), None);
    // Nothing of it is left in the database, and nothing is replayed.
    let client = scene.database.connect().await;
    let sql = "SELECT
        (SELECT count(*) FROM messages WHERE body_bytes IS NOT NULL AND id <> $1)
        - (SELECT count(*) FROM messages WHERE body_bytes IS NOT NULL)
        + (SELECT count(*) FROM room_events WHERE position('secret'::bytea IN data) > 0)";
    let id: uuid::Uuid = id.parse().expect("an id");
    let row = client.query_one(sql, &[&id]).await.expect("it answers");
    assert_eq!(row.get::<_, i64>(0), 0);
    let mut late = EventStream::open(
        &scene.bob,
        &events_of(&scene.room),
        Some(&format!("{epoch}-1")),
    )
    .await;
    let replayed = late.event("message").await.json();
    assert_eq!(
        (&replayed["body"], &replayed["deleted"]),
        (&json!(""), &json!(true))
    );
    assert_eq!(replayed.get("encoding"), None);
    let edit = late.event("message.edit").await.json();
    assert_eq!(
        (&edit["body"], &edit["deleted"]),
        (&json!(""), &json!(true))
    );
}

#[tokio::test]
async fn limits_and_keys() {
    let mut scene = scene(&[("HUBBUB__LIMITS__MESSAGE_BYTES", "100")]).await;
    let room = scene.room.id.clone();
    let path = format!("/api/rooms/{room}/messages");
    let publish = |client_id: &str, mut body: Value| {
        body["room"] = room.clone().into();
        body["client_id"] = client_id.into();
        body
    };
    let bytes = |length: usize| json!({ "body": bin(&vec![b'a'; length]) });
    let base64 = |length: usize| in_base64(&vec![b'a'; length]);

    let ack = scene.packed.ok("publish", publish("k", bytes(100))).await;
    let too_large = |err: Value| assert_eq!(err["code"], "too_large", "{err}");
    too_large(scene.packed.err("publish", publish("l", bytes(101))).await);
    too_large(scene.plain.err("publish", publish("l", base64(101))).await);
    let answer = scene.bob.post(&path, &publish("l", base64(101))).await;
    answer.problem(413, "too_large");
    scene.plain.ok("publish", publish("l", base64(100))).await;
    for wrong in [
        json!({ "body": "AA", "encoding": "base64" }),
        json!({ "body": "", "encoding": "base64" }),
        json!({ "body": "AA==", "encoding": "hex" }),
    ] {
        let err = scene
            .plain
            .err("publish", publish("m", wrong.clone()))
            .await;
        assert_eq!(err["code"], "invalid_request", "{err}");
        let answer = scene.bob.post(&path, &publish("m", wrong)).await;
        assert!([400, 422].contains(&answer.status), "{answer:?}");
    }

    // The same bytes under the same key are the same message, in whichever codec; the same text
    // is another.
    assert_eq!(
        scene.packed.ok("publish", publish("k", bytes(100))).await,
        ack
    );
    let mut again = Socket::connect(&scene.node, &scene.ada).await;
    assert_eq!(again.ok("publish", publish("k", base64(100))).await, ack);
    let same_text = json!({ "body": "a".repeat(100) });
    let err = again.err("publish", publish("k", same_text)).await;
    assert_eq!(err["code"], "client_id_reused");
    let err = again.err("publish", publish("k", base64(99))).await;
    assert_eq!(err["code"], "client_id_reused");

    // A retry of an event is one, in whichever codec.
    let emit = json!({
        "room": room, "name": "n", "client_id": "e", "data": { "at": [1, bin(b"x")] },
    });
    let ack = scene.packed.ok("emit", emit.clone()).await;
    assert_eq!(again.ok("emit", emit.clone()).await, ack);
    let mut other = emit;
    other["data"]["at"][0] = 2.into();
    let err = again.err("emit", other).await;
    assert_eq!(err["code"], "client_id_reused");
}
