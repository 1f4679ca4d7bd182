//! The main job: people sign up, make a room, talk, and read what was said.

use serde_json::{Value, json};

use crate::harness::node::Node;
use crate::harness::postgres::TestDatabase;
use crate::harness::rest::{Room, User, register, text};
use crate::harness::socket::{End, Socket};

/// Two people who are members of one room, and the room.
struct Scene {
    node: Node,
    _database: TestDatabase,
    ada: User,
    bob: User,
    room: Room,
}

async fn scene() -> Scene {
    let (node, database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let bob = register(&node, "bob").await;
    let room = ada.create_room("general").await;
    bob.join_room(&room).await;
    Scene {
        node,
        _database: database,
        ada,
        bob,
        room,
    }
}

impl Scene {
    /// A connection of a user that has joined the room.
    async fn joined(&self, user: &User) -> Socket {
        let mut socket = Socket::connect(&self.node, user).await;
        socket.join(&self.room.id).await;
        socket
    }
}

/// What the message and its push, ack and history entry have in common.
fn said(message: &Value) -> (u64, u64, String, String, String, String) {
    (
        message["seq"].as_u64().expect("a seq"),
        message["msg_no"].as_u64().expect("a msg_no"),
        text(&message["id"]),
        text(&message["user_id"]),
        text(&message["body"]),
        text(&message["client_id"]),
    )
}

#[tokio::test]
pub(crate) async fn two_people_talk_and_read_what_was_said() {
    let scene = scene().await;
    let room = &scene.room.id;
    let mut ada = scene.joined(&scene.ada).await;
    let mut bob = scene.joined(&scene.bob).await;

    let first = ada.publish(room, "hello, Bob \u{1F44B}", "a1").await;
    let second = bob.publish(room, "hello,\n\"Ada\"", "b1").await;
    let mut seen = Vec::new();
    for socket in [&mut ada, &mut bob] {
        let pushes = [socket.push("message").await, socket.push("message").await];
        assert_eq!(pushes[0]["room"], room.as_str());
        seen.push(pushes);
    }
    assert_eq!(seen[0], seen[1], "everybody sees the same, the sender too");
    for (push, ack) in seen[0].iter().zip([&first, &second]) {
        for field in ["seq", "msg_no", "id", "created_at"] {
            assert_eq!(push[field], ack[field], "{push} and its ack {ack}");
        }
    }
    assert_eq!(seen[0][0]["body"], "hello, Bob \u{1F44B}");
    assert_eq!(seen[0][0]["user_id"], scene.ada.id.as_str());
    assert_eq!(seen[0][1]["body"], "hello,\n\"Ada\"");
    assert_eq!(seen[0][1]["user_id"], scene.bob.id.as_str());

    let stored = scene.bob.history(room).await;
    let stored: Vec<_> = stored.iter().map(said).collect();
    let pushed: Vec<_> = seen[0].iter().map(said).collect();
    assert_eq!(stored, pushed);
    let page = bob.ok("history", json!({ "room": room })).await;
    assert_eq!(page, scene.bob.page(room, "").await);
    assert_eq!(ada.close().await, closed_normally());
}

fn closed_normally() -> End {
    End::Closed {
        code: 1000,
        reason: String::new(),
    }
}

#[tokio::test]
async fn a_message_posted_over_rest_is_pushed_and_acknowledged_alike() {
    let scene = scene().await;
    let mut bob = scene.joined(&scene.bob).await;
    let answer = scene.ada.say(&scene.room.slug, "by post", "p1").await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let ack = answer.json();
    let push = bob.push("message").await;
    for field in ["seq", "msg_no", "id", "created_at"] {
        assert_eq!(push[field], ack[field], "{push} and its ack {ack}");
    }
    assert_eq!(push["client_id"], "p1");
    // The same key over the other protocol is the same message.
    let mut ada = Socket::connect(&scene.node, &scene.ada).await;
    let again = ada.publish(&scene.room.id, "by post", "p1").await;
    assert_eq!(again, ack);
    assert_eq!(scene.ada.history(&scene.room.id).await.len(), 1);
}

#[tokio::test]
pub(crate) async fn everybody_sees_the_same_order_without_holes() {
    const EACH: u64 = 40;
    let scene = scene().await;
    let mut users = vec![scene.ada.clone(), scene.bob.clone()];
    for name in ["carol", "dave"] {
        let user = register(&scene.node, name).await;
        user.join_room(&scene.room).await;
        users.push(user);
    }
    let mut sockets = Vec::new();
    for user in &users {
        sockets.push(scene.joined(user).await);
    }
    let total = EACH * sockets.len() as u64;
    let room = scene.room.id.clone();
    let talkers = sockets.into_iter().zip(&users).map(|(mut socket, user)| {
        let (room, name) = (room.clone(), user.name.clone());
        async move {
            let mut acks = Vec::new();
            for n in 0..EACH {
                let key = format!("{name}-{n}");
                acks.push(socket.publish(&room, &key, &key).await["seq"].clone());
            }
            let mut seen = Vec::new();
            for _ in 0..total {
                seen.push(socket.push("message").await);
            }
            (name, acks, seen)
        }
    });
    let results = futures_util::future::join_all(talkers).await;
    let (_, _, order) = &results[0];
    let first = order[0]["seq"].as_u64().expect("a seq");
    for (place, message) in (0..).zip(order) {
        assert_eq!(message["seq"], first + place, "seq is dense");
        assert_eq!(message["msg_no"], 1 + place, "msg_no is dense");
    }
    for (name, acks, seen) in &results {
        assert_eq!(seen, order, "what {name} saw");
        let own = order
            .iter()
            .filter(|message| text(&message["body"]).starts_with(name.as_str()));
        let own: Vec<_> = own.map(|message| message["seq"].clone()).collect();
        assert_eq!(
            &own, acks,
            "{name}'s messages stand in the order of sending"
        );
    }
}

#[tokio::test]
async fn a_room_goes_by_its_id_or_its_slug_and_is_always_told_by_its_id() {
    let scene = scene().await;
    let (id, slug) = (scene.room.id.as_str(), scene.room.slug.as_str());
    assert_eq!(slug, "general");
    let mut bob = Socket::connect(&scene.node, &scene.bob).await;
    let joined = bob.join(slug).await;
    assert_eq!(joined["room"], id);
    assert_eq!(joined["epoch"], scene.room.epoch);
    let by_slug = bob.publish(slug, "by slug", "1").await;
    let by_id = bob.publish(id, "by id", "2").await;
    assert!(by_slug["seq"].as_u64() < by_id["seq"].as_u64());
    assert_eq!(bob.push("message").await["room"], id);
    for name in [id, slug] {
        let found = scene.bob.get(&format!("/api/rooms/{name}")).await.ok();
        assert_eq!(found["id"], id);
        assert_eq!(found["last_seq"], by_id["seq"]);
        assert_eq!(scene.bob.page(name, "").await["last_seq"], by_id["seq"]);
    }
    assert_eq!(
        bob.ok("presence", json!({ "room": slug })).await["room"],
        id
    );
    assert_eq!(bob.ok("leave", json!({ "room": slug })).await["room"], id);
}

#[tokio::test]
pub(crate) async fn presence_tells_who_is_here_who_came_and_who_went() {
    let scene = scene().await;
    let room = &scene.room.id;
    let mut ada = scene.joined(&scene.ada).await;
    let here = ada.ok("presence", json!({ "room": room })).await;
    assert_eq!(here["count"], 1);
    assert_eq!(here["users"], json!([scene.ada.id]));

    let mut bob = scene.joined(&scene.bob).await;
    let came = ada
        .next_push("Bob came", |push| names(push, "joins", &scene.bob))
        .await;
    assert_eq!(came["room"], room.as_str());
    assert_eq!(came["count"], 2);
    let here = bob.ok("presence", json!({ "room": room })).await;
    assert_eq!(here["count"], 2);
    let mut users: Vec<_> = here["users"].as_array().expect("users").clone();
    let mut expected = vec![json!(scene.ada.id), json!(scene.bob.id)];
    users.sort_by_key(Value::to_string);
    expected.sort_by_key(Value::to_string);
    assert_eq!(users, expected);

    // A second connection of the same user is nobody new, and its end is nobody's leaving.
    let second = scene.joined(&scene.bob).await;
    assert_eq!(second.close().await, closed_normally());
    bob.close().await;
    let went = ada
        .next_push("Bob went", |push| names(push, "leaves", &scene.bob))
        .await;
    assert_eq!(went["count"], 1);
    let told = ada.take_pushes();
    let again = told.iter().any(|push| {
        names(push, "joins", &scene.bob) || names(push, "leaves", &scene.bob) || push["count"] == 3
    });
    assert!(!again, "{told:?}");
}

/// Whether a presence push names this user among those who came or went.
fn names(push: &Value, list: &str, user: &User) -> bool {
    let users = push[list].as_array();
    push["push"] == "presence" && users.is_some_and(|users| users.contains(&json!(user.id)))
}

#[tokio::test]
async fn typing_reaches_the_others_and_leaves_no_trace() {
    let scene = scene().await;
    let room = &scene.room.id;
    let mut ada = scene.joined(&scene.ada).await;
    let mut bob = scene.joined(&scene.bob).await;
    let before = scene.ada.page(room, "").await;
    for typing in [true, false] {
        let fields = json!({ "room": room, "typing": typing });
        assert_eq!(ada.ok("typing", fields).await, json!({}));
        let push = bob.push("typing").await;
        assert_eq!(
            push,
            json!({ "push": "typing", "room": room, "user_id": scene.ada.id, "typing": typing })
        );
    }
    ada.ping().await;
    let own = ada.take_pushes();
    assert!(own.iter().all(|push| push["push"] != "typing"), "{own:?}");
    assert_eq!(scene.ada.page(room, "").await, before);
}

#[tokio::test]
async fn a_volatile_event_passes_by_and_a_durable_one_stays() {
    let scene = scene().await;
    let room = &scene.room.id;
    let mut ada = scene.joined(&scene.ada).await;
    let mut bob = scene.joined(&scene.bob).await;
    let data = json!({ "x": [1, 2.5, null, "\u{0}é"], "deep": { "a": { "b": [] } } });

    let fields = json!({ "room": room, "name": "cursor", "data": data, "volatile": true });
    assert_eq!(ada.ok("emit", fields).await, json!({}));
    let push = bob.push("event").await;
    assert_eq!(
        push,
        json!({
            "push": "event", "room": room, "name": "cursor", "data": data,
            "user_id": scene.ada.id
        })
    );
    // Other connections of the sender get it, and so does the one that sent it.
    assert_eq!(ada.push("event").await, push);

    let fields = json!({ "room": room, "name": "drawn", "data": data, "client_id": "d1" });
    let ack = ada.ok("emit", fields.clone()).await;
    let live = bob.push("event").await;
    assert_eq!(live["seq"], ack["seq"]);
    assert_eq!(live["id"], ack["id"]);
    assert_eq!(live["name"], "drawn");
    assert_eq!(live["data"], data);
    assert_eq!(ada.push("event").await, live);
    assert_eq!(ada.ok("emit", fields).await, ack, "its key was used before");

    // Whoever comes later gets the durable one only.
    let since = ack["seq"].as_u64().expect("a seq") - 1;
    let mut late = Socket::connect(&scene.node, &scene.bob).await;
    let fields = json!({ "room": room, "since": since, "epoch": scene.room.epoch });
    assert_eq!(late.ok("join", fields).await["replayed"], 1);
    assert_eq!(late.push("event").await, live);
    late.ping().await;
    let rest = late.take_pushes();
    assert!(
        rest.iter().all(|push| push["push"] == "presence"),
        "{rest:?}"
    );
    assert_eq!(scene.ada.history(room).await, Vec::<Value>::new());
}

/// More than the room remembers, more than one page of the log, more than the outbox holds.
#[tokio::test]
pub(crate) async fn a_long_replay_is_paced_by_its_reader() {
    const MESSAGES: u64 = 150;
    let database = crate::harness::postgres::database().await;
    let options = crate::harness::node::NodeOptions::on(&database.url)
        .set("HUBBUB__HUB__ROOM_MEMORY_EVENTS", "2")
        .set("HUBBUB__WEBSOCKET__MAX_MESSAGE_BYTES", "65536")
        .set("HUBBUB__WEBSOCKET__OUTBOX_MAX_BYTES", "65536")
        .set("HUBBUB__WEBSOCKET__EPHEMERAL_MAX_BYTES", "65536");
    let node = Node::start(options).await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await.id;
    let mut writer = Socket::connect(&node, &ada).await;
    let body = "x".repeat(6000);
    for n in 1..=MESSAGES {
        writer.publish(&room, &body, &n.to_string()).await;
    }
    let mut late = Socket::connect(&node, &ada).await;
    let joined = late.ok("join", json!({ "room": room, "since": 0 })).await;
    assert_eq!(joined["replayed"], MESSAGES);
    writer.publish(&room, "live", "live").await;
    for seq in 1..=MESSAGES + 1 {
        assert_eq!(late.push("message").await["seq"], seq);
    }
}

#[tokio::test]
pub(crate) async fn who_left_hears_nothing_and_gets_it_all_on_coming_back() {
    let scene = scene().await;
    let room = &scene.room.id;
    let mut ada = scene.joined(&scene.ada).await;
    let mut bob = scene.joined(&scene.bob).await;
    ada.publish(room, "one", "1").await;
    let seen = bob.push("message").await;

    let left = bob.ok("leave", json!({ "room": room })).await;
    assert_eq!(left["room"], room.as_str());
    assert!(left["cursor"].is_string(), "{left}");
    let mut missed = Vec::new();
    for n in 2..=25 {
        ada.publish(room, &format!("missed {n}"), &n.to_string())
            .await;
    }
    for _ in 1..=25 {
        missed.push(ada.push("message").await);
    }
    missed.remove(0);
    bob.ping().await;
    let heard = bob.take_pushes();
    assert!(
        heard.iter().all(|push| push["push"] != "message"),
        "{heard:?}"
    );

    let fields = json!({ "room": room, "since": seen["seq"], "epoch": scene.room.epoch });
    let joined = bob.ok("join", fields).await;
    assert_eq!(joined["replayed"], 24);
    assert_eq!(joined["last_seq"], missed[23]["seq"]);
    assert!(joined.get("gap").is_none(), "{joined}");
    assert!(joined["cursor"].is_string());
    ada.publish(room, "live", "live").await;
    for message in &missed {
        assert_eq!(&bob.push("message").await, message);
    }
    assert_eq!(bob.push("message").await["body"], "live");
}

#[tokio::test]
async fn a_position_of_another_life_of_the_log_is_told_as_a_gap() {
    let scene = scene().await;
    let room = &scene.room.id;
    let mut ada = scene.joined(&scene.ada).await;
    let head = ada.publish(room, "one", "1").await["seq"].clone();
    let head = head.as_u64().expect("a seq");
    for (since, epoch) in [(head, scene.room.epoch + 1), (head + 7, scene.room.epoch)] {
        let mut late = Socket::connect(&scene.node, &scene.bob).await;
        let fields = json!({ "room": room, "since": since, "epoch": epoch });
        let joined = late.ok("join", fields).await;
        assert_eq!(joined["epoch"], scene.room.epoch);
        assert_eq!(joined["last_seq"], head);
        assert_eq!(joined["gap"]["reason"], "epoch", "{joined}");
    }
}

#[tokio::test]
async fn a_removed_member_is_told_and_hears_and_says_no_more() {
    let scene = scene().await;
    let room = &scene.room.id;
    let mut ada = scene.joined(&scene.ada).await;
    let mut bob = scene.joined(&scene.bob).await;
    ada.publish(room, "before", "1").await;
    bob.push("message").await;
    let path = format!("/api/rooms/{room}/members/{}", scene.bob.id);
    let answer = scene.ada.request(reqwest::Method::DELETE, &path);
    crate::harness::rest::send(answer).await.ok();

    let removed = bob.push("removed").await;
    assert_eq!(removed, json!({ "push": "removed", "room": room }));
    let member = ada
        .next_push("Bob's removal", |push| {
            push["push"] == "member" && push["change"] == "removed"
        })
        .await;
    assert_eq!(member["user_id"], scene.bob.id.as_str());
    assert_eq!(member["by"], scene.ada.id.as_str());
    let fields = json!({ "room": room, "body": "still here", "client_id": "b1" });
    assert_eq!(bob.err("publish", fields).await["code"], "not_a_member");
    ada.publish(room, "after", "2").await;
    ada.ping().await;
    bob.ping().await;
    let heard = bob.take_pushes();
    assert!(
        heard.iter().all(|push| push["push"] != "message"),
        "{heard:?}"
    );
    let error = bob.err("join", json!({ "room": room })).await;
    assert_eq!(error["code"], "not_a_member");
}

#[tokio::test]
async fn tickets_and_cookies_open_connections_once_and_often() {
    let scene = scene().await;
    let ticket = scene.ada.ticket().await;
    let path = format!("/ws?ticket={ticket}");
    let mut socket = Socket::open(&scene.node, &path, &[])
        .await
        .expect("a fresh ticket is good");
    socket.join(&scene.room.id).await;
    let again = Socket::open(&scene.node, &path, &[]).await;
    let refused = again.err().expect("a ticket is good once");
    assert_eq!(refused.status, 401);
    assert_eq!(refused.body["code"], "unauthenticated");

    let origin = format!("http://{}", scene.node.address);
    let headers = [("cookie", scene.bob.cookie.as_str()), ("origin", &origin)];
    for _ in 0..2 {
        let mut socket = Socket::open(&scene.node, "/ws", &headers)
            .await
            .expect("a session's cookie is good");
        socket.join(&scene.room.id).await;
    }
}

#[tokio::test]
pub(crate) async fn a_connection_without_credentials_gets_them_by_its_first_command() {
    let scene = scene().await;
    let mut socket = Socket::anonymous(&scene.node).await;
    let error = socket.err("join", json!({ "room": scene.room.id })).await;
    assert_eq!(error["code"], "unauthenticated");
    let error = socket
        .err("auth.refresh", json!({ "token": "x".repeat(43) }))
        .await;
    assert_eq!(error["code"], "unauthenticated");
    let fields = json!({ "token": scene.ada.token });
    let ok = socket.ok("auth.refresh", fields).await;
    assert_eq!(ok["user_id"], scene.ada.id.as_str());
    assert!(ok["expires_at"].is_string());
    socket.join(&scene.room.id).await;
}

#[tokio::test]
pub(crate) async fn a_logout_ends_the_sessions_connections() {
    let scene = scene().await;
    let mut ada = scene.joined(&scene.ada).await;
    let mut bob = scene.joined(&scene.bob).await;
    scene.ada.post("/api/auth/logout", &json!({})).await.ok();
    assert_eq!(ada.close_code().await, (4101, "session_ended".to_owned()));
    scene
        .ada
        .get("/api/rooms")
        .await
        .problem(401, "unauthenticated");
    bob.publish(&scene.room.id, "undisturbed", "1").await;
}
