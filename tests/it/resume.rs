//! Coming back: `resume` with a cursor, and what a position is worth.

mod behind_others;
mod cursors;
pub(crate) mod far_behind;
pub(crate) mod from_memory;
mod pouring;

use hubbub::protocol::cursor::{self, Position};
use hubbub::protocol::event::Epoch;
use hubbub::protocol::id::RoomId;
use serde_json::{Value, json};

use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{self, TestDatabase};
use crate::harness::rest::{Room, User, register};
use crate::harness::socket::Socket;

/// A node with two people who are members of some rooms.
struct Scene {
    node: Node,
    database: TestDatabase,
    ada: User,
    bob: User,
    rooms: Vec<Room>,
}

async fn scene(rooms: usize, settings: &[(&str, &str)]) -> Scene {
    let (node, database) = Node::on_fresh_database_with(settings).await;
    let ada = register(&node, "ada").await;
    let bob = register(&node, "bob").await;
    let mut scene = Scene {
        node,
        database,
        ada,
        bob,
        rooms: Vec::new(),
    };
    for number in 0..rooms {
        let room = scene.ada.create_room(&format!("room-{number}")).await;
        scene.bob.join_room(&room).await;
        scene.rooms.push(room);
    }
    scene
}

/// The cursor of these positions.
fn cursor_of(positions: &[(&Room, u64)]) -> String {
    let positions: Vec<_> = positions
        .iter()
        .map(|(room, seq)| position(room, *seq, room.epoch))
        .collect();
    cursor::encode(&positions).expect("they fit")
}

fn position(room: &Room, seq: u64, epoch: i64) -> Position {
    Position {
        room_id: RoomId(room.id.parse().expect("an id")),
        epoch: Epoch(i32::try_from(epoch).expect("an epoch")),
        seq,
    }
}

/// What a cursor says of a room.
fn seq_in(reply: &Value, room: &Room) -> u64 {
    let text = reply["cursor"].as_str().expect("a cursor");
    let positions = cursor::decode(text).expect("a cursor of ours");
    let id = position(room, 0, room.epoch).room_id;
    let found = positions.iter().find(|position| position.room_id == id);
    found.expect("the room is in it").seq
}

/// The `seq`s of the pushes of a room, asserted to follow each other without a hole.
async fn replayed(socket: &mut Socket, room: &Room, from: u64, to: u64) {
    for seq in from..=to {
        let push = socket
            .next_push("a durable push", |push| {
                push["room"] == room.id.as_str() && push["seq"].is_u64()
            })
            .await;
        assert_eq!(push["seq"], seq, "{push}");
    }
}

async fn resume(socket: &mut Socket, cursor: &str) -> Value {
    socket.ok("resume", json!({ "cursor": cursor })).await
}

/// The push `resumed` of a room.
async fn told(socket: &mut Socket, room: &Room) -> Value {
    socket
        .next_push("resumed", |push| {
            push["push"] == "resumed" && push["room"] == room.id.as_str()
        })
        .await
}

#[tokio::test]
pub(crate) async fn all_rooms_come_back_by_one_cursor() {
    let scene = scene(5, &[]).await;
    let mut bob = Socket::connect(&scene.node, &scene.bob).await;
    let mut cursor = json!({});
    for room in &scene.rooms {
        cursor = bob.join(&room.id).await;
    }
    bob.close().await;
    let mut ada = Socket::connect(&scene.node, &scene.ada).await;
    for (number, room) in (0_u64..).zip(&scene.rooms) {
        for n in 0..number {
            ada.publish(&room.id, "missed", &n.to_string()).await;
        }
    }
    let mut bob = Socket::connect(&scene.node, &scene.bob).await;
    let reply = resume(&mut bob, cursor["cursor"].as_str().expect("a cursor")).await;
    assert_eq!(
        (&reply["resumed"], &reply["refused"]),
        (&json!(5), &json!(0))
    );
    for (number, room) in (0_u64..).zip(&scene.rooms) {
        let resumed = told(&mut bob, room).await;
        assert_eq!(resumed["replayed"], number);
        assert_eq!(resumed["epoch"], room.epoch);
        assert_eq!(resumed["last_seq"], 1 + number);
        assert!(resumed.get("gap").is_none(), "{resumed}");
        // Bob's own joining was the first event, and the cursor is from after it.
        replayed(&mut bob, room, 2, 1 + number).await;
        assert_eq!(seq_in(&reply, room), 1 + number);
        ada.publish(&room.id, "live", "live").await;
        replayed(&mut bob, room, 2 + number, 2 + number).await;
    }
}

#[tokio::test]
async fn a_room_that_fails_stops_no_other() {
    let scene = scene(3, &[]).await;
    let [first, second, third] = &scene.rooms[..] else {
        panic!("three rooms");
    };
    let unknown = Room {
        id: uuid::Uuid::now_v7().to_string(),
        slug: String::new(),
        epoch: 1,
    };
    let path = format!("/api/rooms/{}/members/{}", second.id, scene.bob.id);
    let removal = scene.ada.request(reqwest::Method::DELETE, &path);
    crate::harness::rest::send(removal).await.ok();
    scene.ada.say(&first.id, "one", "1").await.ok();
    scene.ada.say(&third.id, "one", "1").await.ok();

    let cursor = cursor_of(&[(first, 1), (second, 0), (&unknown, 3), (third, 1)]);
    let mut bob = Socket::connect(&scene.node, &scene.bob).await;
    let reply = resume(&mut bob, &cursor).await;
    assert_eq!(
        (&reply["resumed"], &reply["refused"]),
        (&json!(2), &json!(2))
    );
    for (room, code) in [(second, "not_a_member"), (&unknown, "room_not_found")] {
        let refused = told(&mut bob, room).await;
        let join = bob.err("join", json!({ "room": room.id })).await;
        assert_eq!(refused["err"], join, "as a join would be refused");
        assert_eq!(refused["err"]["code"], code);
    }
    for room in [first, third] {
        assert_eq!(told(&mut bob, room).await["replayed"], 1);
        replayed(&mut bob, room, 2, 2).await;
    }
    let heard = bob.take_pushes();
    let second_room = |push: &Value| push["room"] == second.id.as_str();
    assert!(!heard.iter().any(second_room), "{heard:?}");
}

/// A room that the connection is in already starts afresh, as with a second `join`.
#[tokio::test]
async fn a_joined_room_starts_afresh() {
    let scene = scene(1, &[]).await;
    let room = &scene.rooms[0];
    let mut bob = Socket::connect(&scene.node, &scene.bob).await;
    bob.join(&room.id).await;
    bob.publish(&room.id, "one", "1").await;
    replayed(&mut bob, room, 2, 2).await;
    assert_eq!(
        resume(&mut bob, &cursor_of(&[(room, 0)])).await["resumed"],
        1
    );
    told(&mut bob, room).await;
    replayed(&mut bob, room, 1, 2).await;
    bob.publish(&room.id, "two", "2").await;
    replayed(&mut bob, room, 3, 3).await;
    bob.ping().await;
    let again = bob.take_pushes();
    assert!(again.iter().all(|push| push["seq"].is_null()), "{again:?}");
}

/// Postgres stops in the middle: who is not joined is told, with `retry`, and who is stays.
#[tokio::test]
async fn without_a_database_each_missing_room_is_told() {
    let mut server = postgres::TestServer::start(postgres::Options { fsync: false }).await;
    let database = server.database().await;
    let node = Node::start(
        NodeOptions::on(&database.url).set("HUBBUB__WEBSOCKET__COMMAND_TIMEOUT_MS", "500"),
    )
    .await;
    let ada = register(&node, "ada").await;
    let mut rooms = Vec::new();
    for number in 0..4 {
        rooms.push(ada.create_room(&format!("room-{number}")).await);
    }
    let mut socket = Socket::connect(&node, &ada).await;
    socket.join(&rooms[0].id).await;
    server.stop().await;
    let cursor = cursor_of(&[(&rooms[1], 0), (&rooms[2], 0), (&rooms[3], 0)]);
    let reply = resume(&mut socket, &cursor).await;
    assert_eq!(
        (&reply["resumed"], &reply["refused"]),
        (&json!(0), &json!(3))
    );
    for room in &rooms[1..] {
        let err = told(&mut socket, room).await["err"].clone();
        assert_eq!(
            (&err["code"], &err["retry"]),
            (&json!("unavailable"), &json!(true))
        );
    }
    let typing = json!({ "room": rooms[0].id, "typing": true });
    socket.ok("typing", typing).await;
    server.restart().await;
    crate::harness::eventually("the pool has a connection", async || {
        let answer = ada.get("/api/rooms").await;
        (answer.status == 200).then_some(())
    })
    .await;
    assert_eq!(resume(&mut socket, &cursor).await["resumed"], 3);
}
