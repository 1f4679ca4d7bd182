//! Coming back: nothing is missing, nothing comes twice.

use std::collections::HashMap;

use hubbub::protocol::cursor::{self, Position};
use hubbub::protocol::event::Epoch;
use hubbub::protocol::id::RoomId;
use serde_json::json;

use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{self, TestDatabase};
use crate::harness::rest::{Room, User, register};
use crate::harness::socket::Socket;
use crate::harness::stream::{EventStream, StreamEvent};

/// A node whose rooms remember little and whose pages are short, so that all ways of a replay are
/// gone.
async fn forgetful_node() -> (Node, TestDatabase) {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url)
        .set("HUBBUB__HUB__ROOM_MEMORY_EVENTS", "16")
        .set("HUBBUB__HUB__REPLAY_PAGE_EVENTS", "7");
    (Node::start(options).await, database)
}

/// Says `count` things in each room.
async fn talk(mut socket: Socket, rooms: Vec<Room>, count: usize) {
    for n in 0..count {
        for room in &rooms {
            socket
                .publish(&room.id, &n.to_string(), &n.to_string())
                .await;
        }
    }
}

/// What a reader has, room by room.
#[derive(Default)]
struct Reader {
    seqs: HashMap<String, u64>,
    resumed: usize,
}

impl Reader {
    /// Takes an event; panics if one is missing or comes twice.
    fn take(&mut self, event: &StreamEvent) {
        let push = event.json();
        let Some(room) = push["room"].as_str() else {
            return;
        };
        if event.name == "resumed" {
            assert!(
                push.get("gap").is_none() && push.get("err").is_none(),
                "{push}"
            );
            self.resumed += 1;
            let first = !self.seqs.contains_key(room);
            let start = push["last_seq"].as_u64().unwrap() - push["replayed"].as_u64().unwrap();
            let stands = self.seqs.entry(room.to_owned()).or_insert(start);
            assert!(first || *stands == start, "{push} but {stands}");
        }
        if let Some(seq) = push["seq"].as_u64() {
            let stands = self.seqs.get_mut(room).expect("`resumed` comes first");
            assert_eq!(seq, *stands + 1, "{push}");
            *stands = seq;
        }
    }

    fn is_at(&self, rooms: &[Room], seq: u64) -> bool {
        rooms
            .iter()
            .all(|room| self.seqs.get(&room.id) == Some(&seq))
    }
}

/// Reads a stream while messages pour in, and cuts it again and again.
async fn read_with_cuts(ada: &User, path: &str, rooms: &[Room], last_seq: u64) -> usize {
    let mut reader = Reader::default();
    let mut last_event_id: Option<String> = None;
    let mut cuts = 0;
    while !reader.is_at(rooms, last_seq) {
        let mut stream = EventStream::open(ada, path, last_event_id.as_deref()).await;
        // More each time, and by a step that meets a replay in its beginning, middle and end.
        let limit = 1 + cuts * 13 % 97;
        let mut taken = 0;
        while taken < limit && !reader.is_at(rooms, last_seq) {
            let event = stream.find(|_| true).await.expect("the stream goes on");
            reader.take(&event);
            last_event_id = Some(event.last_event_id).filter(|id| !id.is_empty());
            taken += 1;
        }
        cuts += 1;
    }
    assert!(reader.resumed >= rooms.len());
    cuts
}

#[tokio::test]
pub(crate) async fn a_room_is_resumed_while_messages_pour_in() {
    let (node, _database) = forgetful_node().await;
    let ada = register(&node, "ada").await;
    let rooms = vec![ada.create_room("general").await];
    let path = format!("/api/rooms/{}/events", rooms[0].id);
    // The first id: before anything is said.
    let mut stream = EventStream::open(&ada, &path, None).await;
    stream.event("resumed").await;
    let talking = talk(Socket::connect(&node, &ada).await, rooms.clone(), 300);
    let reading = read_with_cuts(&ada, &path, &rooms, 300);
    let (cuts, ()) = tokio::join!(reading, talking);
    assert!(cuts > 3, "{cuts}");
    for seq in 1..=300 {
        assert_eq!(stream.event("message").await.json()["seq"], seq);
    }
    // From the beginning, in one go, out of Postgres.
    let zero = format!("{}-0", rooms[0].epoch);
    let query = format!("{path}?last_event_id={zero}");
    let mut stream = EventStream::open(&ada, &query, None).await;
    let resumed = stream.event("resumed").await;
    assert_eq!(resumed.json()["replayed"], 300);
    assert_eq!(resumed.last_event_id, zero);
    for seq in 1..=300 {
        assert_eq!(stream.event("message").await.json()["seq"], seq);
    }
}

#[tokio::test]
async fn all_rooms_are_resumed_by_one_cursor_while_messages_pour_in() {
    let (node, _database) = forgetful_node().await;
    let ada = register(&node, "ada").await;
    let mut rooms = Vec::new();
    for name in ["one", "two", "three"] {
        rooms.push(ada.create_room(name).await);
    }
    let talking = talk(Socket::connect(&node, &ada).await, rooms.clone(), 150);
    let reading = read_with_cuts(&ada, "/api/events", &rooms, 150);
    let (cuts, ()) = tokio::join!(reading, talking);
    assert!(cuts > 3, "{cuts}");

    // From the beginning of all, by a cursor of one's own making.
    let position = |room: &Room| Position {
        room_id: RoomId(room.id.parse().unwrap()),
        epoch: Epoch(i32::try_from(room.epoch).unwrap()),
        seq: 0,
    };
    let cursor: Vec<_> = rooms.iter().map(position).collect();
    let cursor = cursor::encode(&cursor).unwrap();
    let path = format!("/api/events?cursor={cursor}");
    let mut reader = Reader::default();
    let mut stream = EventStream::open(&ada, &path, None).await;
    while !reader.is_at(&rooms, 150) {
        let event = stream.find(|_| true).await.expect("the stream goes on");
        reader.take(&event);
    }
    assert_eq!(reader.resumed, 3);
}

#[tokio::test]
async fn ids_that_are_none_are_refused_and_those_of_elsewhere_are_told() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let bob = register(&node, "bob").await;
    let room = ada.create_room("general").await;
    let theirs = bob.create_room("theirs").await;
    ada.say(&room.id, "hi", "1").await.ok();
    let path = format!("/api/rooms/{}/events", room.id);
    let id_of = |room: &Room, epoch: i64, seq| {
        let position = Position {
            room_id: RoomId(room.id.parse().unwrap()),
            epoch: Epoch(i32::try_from(epoch).unwrap()),
            seq,
        };
        cursor::encode(&[position]).unwrap()
    };
    for garbage in [
        "x",
        "1",
        "1-",
        "-1-1",
        "1-1-1",
        "99999999999-1",
        "AQ!",
        "\u{ff}",
    ] {
        for path in [path.as_str(), "/api/events"] {
            let request = EventStream::request(&ada, path);
            let refused = crate::harness::rest::send(request.header("last-event-id", garbage));
            refused.await.problem(400, "invalid_cursor");
        }
    }
    let by_query = ada.get(&format!("{path}?last_event_id=nonsense")).await;
    by_query.problem(400, "invalid_cursor");
    let other_kind = ada.get("/api/events?cursor=7-1").await;
    other_kind.problem(400, "invalid_cursor");
    let foreign = format!("{path}?cursor={}", id_of(&theirs, 7, 0));
    ada.get(&foreign).await.problem(400, "invalid_cursor");

    // Another epoch, and the future: told as a gap.
    let other = (room.epoch % 1000) + 1;
    for id in [
        format!("{other}-1"),
        format!("{}-99", room.epoch),
        id_of(&room, other, 0),
    ] {
        let mut stream = EventStream::open(&ada, &path, Some(&id)).await;
        let resumed = stream.event("resumed").await;
        assert_eq!(resumed.last_event_id, format!("{}-1", room.epoch));
        let resumed = resumed.json();
        assert_eq!(
            resumed["gap"],
            json!({ "from": 1, "to": 1, "reason": "epoch" })
        );
        assert_eq!(resumed["epoch"], room.epoch);
    }

    // A room of the cursor that one is no member of is told, and the others go on.
    let mut stream = EventStream::open(&ada, "/api/events", Some(&id_of(&theirs, 7, 3))).await;
    let refused = stream.event("resumed").await.json();
    assert_eq!(refused["room"], theirs.id);
    assert_eq!(refused["err"]["code"], "not_a_member");
    assert_eq!(refused["err"]["retry"], false);
    let joined = stream.event("resumed").await;
    assert_eq!(joined.json()["room"], room.id);
    let stands = cursor::decode(&joined.last_event_id).unwrap();
    assert_eq!(stands.len(), 1, "{stands:?}");
    assert_eq!(stands[0].seq, 1);
}

#[tokio::test]
async fn a_replay_from_memory_that_is_more_than_may_wait_is_paced() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url)
        .set("HUBBUB__WEBSOCKET__MAX_MESSAGE_BYTES", "66000")
        .set("HUBBUB__WEBSOCKET__OUTBOX_MAX_BYTES", "66000")
        .set("HUBBUB__WEBSOCKET__EPHEMERAL_MAX_BYTES", "66000");
    let node = Node::start(options).await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await;
    let path = format!("/api/rooms/{}/events", room.id);
    // Keeps the room in memory.
    let mut first = EventStream::open(&ada, &path, None).await;
    first.event("resumed").await;
    let body = "x".repeat(6_000);
    for n in 0..20 {
        ada.say(&room.id, &body, &n.to_string()).await.ok();
        first.event("message").await;
    }
    let id = format!("{}-0", room.epoch);
    let mut stream = EventStream::open(&ada, &path, Some(&id)).await;
    assert_eq!(stream.event("resumed").await.json()["replayed"], 20);
    let mut socket = Socket::connect(&node, &ada).await;
    let fields = json!({ "room": room.id, "since": 0, "epoch": room.epoch });
    assert_eq!(socket.ok("join", fields).await["replayed"], 20);
    for seq in 1..=20 {
        assert_eq!(stream.event("message").await.json()["seq"], seq);
        assert_eq!(socket.push("message").await["seq"], seq);
    }
    ada.say(&room.id, "live", "live").await.ok();
    assert_eq!(stream.event("message").await.json()["seq"], 21);
    assert_eq!(socket.push("message").await["seq"], 21);
}
