//! How far members have read, and what is unread.

use std::time::Instant;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::node::Node;
use crate::harness::postgres::TestDatabase;
use crate::harness::rest::{Answer, Room, User, register, send};
use crate::harness::socket::Socket;

struct Scene {
    node: Node,
    database: TestDatabase,
    ada: User,
    bob: User,
    room: Room,
}

/// Two members of a room with so many messages.
async fn scene(messages: u64) -> Scene {
    let (node, database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let bob = register(&node, "bob").await;
    let room = ada.create_room("general").await;
    bob.join_room(&room).await;
    for n in 1..=messages {
        ada.say(&room.id, "said", &n.to_string()).await.ok();
    }
    Scene {
        node,
        database,
        ada,
        bob,
        room,
    }
}

async fn put(user: &User, room: &str, msg_no: &Value) -> Answer {
    let request = user.request(Method::PUT, &format!("/api/rooms/{room}/read"));
    send(request.json(&json!({ "msg_no": msg_no }))).await
}

/// `read_msg_no`, `unread` and `mentions`, the same in every place where they stand.
async fn shown(user: &User, room: &Room) -> [Value; 3] {
    let of = |view: &Value| ["read_msg_no", "unread", "mentions"].map(|name| view[name].clone());
    let alone = of(&user.get(&format!("/api/rooms/{}", room.id)).await.ok());
    let by_slug = of(&user.get(&format!("/api/rooms/{}", room.slug)).await.ok());
    assert_eq!(by_slug, alone);
    for query in ["", "?mine=true"] {
        let list = user.get(&format!("/api/rooms{query}")).await.ok();
        let rooms = list["rooms"].as_array().expect("rooms");
        if let Some(view) = rooms.iter().find(|view| view["id"] == room.id.as_str()) {
            assert_eq!(of(view), alone, "{query}");
        }
    }
    alone
}

#[tokio::test]
async fn the_highest_wins_and_the_room_is_told() {
    let scene = scene(5).await;
    let room = &scene.room.id;
    let mut ada = Socket::connect(&scene.node, &scene.ada).await;
    ada.join(room).await;
    let mut bob = Socket::connect(&scene.node, &scene.bob).await;
    assert_eq!(
        shown(&scene.bob, &scene.room).await,
        [json!(0), json!(5), json!(0)]
    );
    for (msg_no, stored, moved) in [(3, 3, true), (2, 3, false), (3, 3, false), (5, 5, true)] {
        let fields = json!({ "room": scene.room.slug, "msg_no": msg_no });
        assert_eq!(bob.ok("read", fields).await, json!({ "msg_no": stored }));
        let read = json!([stored, 5 - stored, 0]);
        assert_eq!(json!(shown(&scene.bob, &scene.room).await), read);
        if moved {
            let push = ada.push("read").await;
            let told = json!({
                "push": "read", "room": room, "user_id": scene.bob.id, "msg_no": stored
            });
            assert_eq!(push, told);
        }
    }
    let reply = put(&scene.bob, room, &json!(4)).await;
    assert_eq!(reply.ok(), json!({ "msg_no": 5 }));
    ada.ping().await;
    let told = ada.take_pushes();
    assert!(told.iter().all(|push| push["push"] != "read"), "{told:?}");
    // One's own marker is nobody else's.
    assert_eq!(
        shown(&scene.ada, &scene.room).await,
        [json!(0), json!(5), json!(0)]
    );
}

#[tokio::test]
async fn beyond_the_head_and_of_strangers_is_refused() {
    let scene = scene(2).await;
    let room = &scene.room.id;
    let eve = register(&scene.node, "eve").await;
    let hidden = json!({ "name": "hidden", "is_private": true });
    let hidden = scene.ada.create_room_with(&hidden).await;
    let nowhere = uuid::Uuid::now_v7().to_string();
    let mut bob = Socket::connect(&scene.node, &scene.bob).await;
    let mut stranger = Socket::connect(&scene.node, &eve).await;
    let code = async |socket: &mut Socket, room: &str, msg_no: Value| {
        let fields = json!({ "room": room, "msg_no": msg_no });
        socket.err("read", fields).await["code"].clone()
    };
    for wrong in [
        json!(3),
        json!(1_u64 << 53),
        json!(-1),
        json!("1"),
        json!(1.5),
        Value::Null,
    ] {
        assert_eq!(code(&mut bob, room, wrong.clone()).await, "invalid_request");
        put(&scene.bob, room, &wrong)
            .await
            .problem(400, "invalid_request");
    }
    put(&scene.bob, room, &json!(u64::MAX))
        .await
        .problem(400, "invalid_request");
    assert_eq!(code(&mut stranger, room, json!(1)).await, "not_a_member");
    put(&eve, room, &json!(1))
        .await
        .problem(403, "not_a_member");
    for absent in [&hidden.id, &hidden.slug, &nowhere, "no-such-room"] {
        assert_eq!(
            code(&mut stranger, absent, json!(1)).await,
            "room_not_found"
        );
        put(&eve, absent, &json!(1))
            .await
            .problem(404, "room_not_found");
    }
    let view = eve.get(&format!("/api/rooms/{room}")).await.ok();
    for name in ["read_msg_no", "unread", "mentions"] {
        assert_eq!(view[name], Value::Null);
    }
    assert_eq!(
        shown(&scene.bob, &scene.room).await,
        [json!(0), json!(2), json!(0)]
    );
}

/// Somebody scrolls: many marks at once are few statements, and others are not held up.
#[tokio::test]
async fn marks_of_a_moment_are_stored_together() {
    const MARKS: u64 = 200;
    let scene = scene(MARKS).await;
    let room = &scene.room.id;
    let mut bob = Socket::connect(&scene.node, &scene.bob).await;
    let before = scene.node.metric("hub_read_marks_batch_count").await;
    let begun = Instant::now();
    for n in (1..=MARKS).rev() {
        let fields = json!({ "room": room, "msg_no": n });
        bob.send_command("read", fields).await;
    }
    for _ in 0..MARKS {
        let reply = bob.reply().await.expect("the connection goes on");
        let stored = reply["ok"]["msg_no"].as_u64().expect("a marker");
        let asked = MARKS + 1 - reply["id"].as_u64().expect("an id");
        assert!(stored >= asked, "{reply}");
    }
    let took = begun.elapsed();
    let statements = scene.node.metric("hub_read_marks_batch_count").await - before;
    // Each has gathered for 50 ms.
    assert!(
        u128::from(statements) <= 2 + took.as_millis() / 50,
        "{statements} in {took:?}"
    );
    assert!(statements < MARKS / 4, "{statements} statements");
    assert_eq!(scene.node.metric("hub_read_marks_waiting").await, 0);
    assert_eq!(shown(&scene.bob, &scene.room).await[0], MARKS);
}

#[tokio::test]
async fn several_rooms_are_marked_by_one_request() {
    let scene = scene(3).await;
    let second = scene.ada.create_room("second").await;
    scene.ada.say(&second.id, "one", "1").await.ok();
    let nowhere = uuid::Uuid::now_v7().to_string();
    let body = json!({ "rooms": [
        { "room": scene.room.id, "msg_no": 2 },
        { "room": nowhere, "msg_no": 2 },
        { "room": second.id, "msg_no": 9 },
        { "room": second.id, "msg_no": 1 },
    ] });
    let answer = scene.ada.post("/api/rooms/read", &body).await.ok();
    let rooms = answer["rooms"].as_array().expect("rooms");
    assert_eq!(rooms[0], json!({ "room": scene.room.id, "msg_no": 2 }));
    assert_eq!(rooms[1]["room"], nowhere.as_str());
    assert_eq!(rooms[1]["error"]["code"], "room_not_found");
    assert_eq!(rooms[2]["error"]["code"], "invalid_request");
    assert_eq!(rooms[3], json!({ "room": second.id, "msg_no": 1 }));
    assert_eq!(
        shown(&scene.ada, &scene.room).await,
        [json!(2), json!(1), json!(0)]
    );

    let mark = json!({ "room": second.id, "msg_no": 1 });
    let most = json!({ "rooms": vec![mark.clone(); 100] });
    assert_eq!(scene.ada.post("/api/rooms/read", &most).await.status, 200);
    let more = json!({ "rooms": vec![mark; 101] });
    let refused = scene.ada.post("/api/rooms/read", &more).await;
    assert_eq!(
        refused.problem(400, "invalid_request")["errors"][0]["field"],
        "rooms"
    );
    let none = scene
        .ada
        .post("/api/rooms/read", &json!({ "rooms": [] }))
        .await;
    assert_eq!(none.ok(), json!({ "rooms": [] }));
}

#[tokio::test]
async fn mentions_above_the_marker_are_counted() {
    let scene = scene(4).await;
    let client = scene.database.connect().await;
    let named = "INSERT INTO mentions (room_id, user_id, msg_no, message_id)
        SELECT room_id, $1::text::uuid, msg_no, id FROM messages WHERE msg_no IN (1, 3, 4)";
    client
        .execute(named, &[&scene.bob.id])
        .await
        .expect("stored");
    assert_eq!(shown(&scene.bob, &scene.room).await[2], 3);
    put(&scene.bob, &scene.room.id, &json!(3)).await.ok();
    assert_eq!(
        shown(&scene.bob, &scene.room).await,
        [json!(3), json!(1), json!(1)]
    );
    put(&scene.bob, &scene.room.id, &json!(4)).await.ok();
    assert_eq!(shown(&scene.bob, &scene.room).await[2], 0);
    assert_eq!(shown(&scene.ada, &scene.room).await[2], 0);
}

/// A row that somebody else holds is waited for without holding up others.
#[tokio::test]
async fn a_locked_membership_is_tried_again() {
    let scene = scene(2).await;
    let client = scene.database.connect().await;
    client.batch_execute("BEGIN").await.expect("begun");
    let lock = "SELECT FROM room_members WHERE user_id = $1::text::uuid FOR UPDATE";
    client
        .execute(lock, &[&scene.bob.id])
        .await
        .expect("locked");
    let room = scene.room.id.clone();
    let mut bob = Socket::connect(&scene.node, &scene.bob).await;
    let waiting = bob
        .send_command("read", json!({ "room": room, "msg_no": 2 }))
        .await;
    let ada = put(&scene.ada, &room, &json!(1)).await;
    assert_eq!(ada.ok(), json!({ "msg_no": 1 }));
    client.batch_execute("COMMIT").await.expect("free");
    let reply = bob.reply_to(waiting).await.expect("an answer");
    assert_eq!(reply["ok"], json!({ "msg_no": 2 }));
}
