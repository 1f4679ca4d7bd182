//! Resuming from far behind: bounded, paced, and beside everything else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Scene, cursor_of, resume, scene, told};
use crate::harness::eventually;
use crate::harness::raw::{FIN, RawPeer, masked, opcode};
use crate::harness::rest::Room;
use crate::harness::socket::Socket;

/// Fills a room with so many messages, by SQL.
async fn fill(scene: &Scene, room: &Room, count: i64) {
    scene.ada.say(&room.id, "the first", "first").await.ok();
    let client = scene.database.connect().await;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&room.id, &count];
    // Seq 1 is Bob's joining, 2 the first message.
    let events =
        "INSERT INTO room_events (room_id, seq, kind, msg_no, id, user_id, data, created_at)
        SELECT room_id, n, 1, n - 1, gen_random_uuid(), user_id, data, created_at
        FROM room_events, generate_series(3, $2::bigint) AS n
        WHERE room_id = $1::text::uuid AND seq = 2";
    client.execute(events, &parameters).await.expect("filled");
    let head = "UPDATE room_heads SET last_seq = $2::bigint, last_msg_no = $2::bigint - 1 WHERE room_id = $1::text::uuid";
    client.execute(head, &parameters).await.expect("moved");
    client
        .batch_execute("VACUUM ANALYZE room_events")
        .await
        .expect("analysed");
}

/// A million events, in a room that has had its actor before or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_the_beginning_of_a_million() {
    const EVENTS: i64 = 1_000_000;
    let scene = scene(2, &[]).await;
    let [long, other] = &scene.rooms[..] else {
        panic!("two rooms");
    };
    fill(&scene, long, EVENTS).await;
    let stop = Arc::new(AtomicBool::new(false));
    let talking = talk(&scene, other, &stop).await;
    let mut bob = Socket::connect(&scene.node, &scene.bob).await;
    bob.join(&other.id).await;
    let before = scene.node.resident_bytes();
    let begun = Instant::now();
    bob.send_command("resume", json!({ "cursor": cursor_of(&[(long, 1)]) }))
        .await;
    let (mut next, mut most) = (2_u64, before);
    let mut beside = 0;
    while next <= EVENTS.unsigned_abs() {
        let push = bob.next_push("an event", |push| push["seq"].is_u64()).await;
        if push["room"] == other.id.as_str() {
            beside += 1;
            continue;
        }
        assert_eq!(push["seq"], next, "{push}");
        next += 1;
        if next.is_multiple_of(10_000) {
            bob.take_pushes();
            most = most.max(scene.node.resident_bytes());
        }
    }
    let took = begun.elapsed();
    let reply = bob.reply().await.expect("the reply comes at the end");
    assert_eq!(reply["ok"]["resumed"], 1, "{reply}");
    stop.store(true, Ordering::Relaxed);
    let (acks, slowest) = talking.await.expect("undisturbed");
    let grown = most.saturating_sub(before);
    println!(
        "{EVENTS} events in {took:?}; memory grew by {} KiB; beside it {acks} acks, the slowest \
         after {slowest:?}, and {beside} pushes of the other room",
        grown / 1024
    );
    assert!(grown < 64 << 20, "grew by {grown} bytes");
    assert!(acks > 100 && beside > 100, "{acks} acks, {beside} pushes");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    // And the live ones follow.
    scene.ada.say(&long.id, "live", "live").await.ok();
    let live = bob.next_push("live", |push| push["body"] == "live").await;
    assert_eq!(live["seq"], next);
}

/// Somebody who publishes, and waits for the ack and the push, until told to stop.
async fn talk(
    scene: &Scene,
    room: &Room,
    stop: &Arc<AtomicBool>,
) -> tokio::task::JoinHandle<(u64, Duration)> {
    let (stop, id) = (Arc::clone(stop), room.id.clone());
    let mut socket = Socket::connect(&scene.node, &scene.ada).await;
    socket.join(&id).await;
    tokio::spawn(async move {
        let (mut count, mut slowest) = (0, Duration::ZERO);
        while !stop.load(Ordering::Relaxed) {
            let begun = Instant::now();
            socket
                .publish(&id, "beside", &format!("beside-{count}"))
                .await;
            socket.push("message").await;
            slowest = slowest.max(begun.elapsed());
            count += 1;
            socket.take_pushes();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        (count, slowest)
    })
}

#[tokio::test]
pub(crate) async fn a_thousand_missed_events() {
    let scene = scene(1, &[]).await;
    let room = &scene.rooms[0];
    fill(&scene, room, 1002).await;
    let mut best = Duration::MAX;
    for _ in 0..10 {
        let mut bob = Socket::connect(&scene.node, &scene.bob).await;
        let begun = Instant::now();
        let reply = resume(&mut bob, &cursor_of(&[(room, 2)])).await;
        best = best.min(begun.elapsed());
        assert_eq!(reply["resumed"], 1);
        assert_eq!(told(&mut bob, room).await["replayed"], 1000);
        super::replayed(&mut bob, room, 3, 1002).await;
    }
    println!("1,000 missed events out of the log, the best of ten: {best:?}");
}

/// Everybody comes back at once, from far behind: everybody gets everything, the pages that they
/// have in common are read once, and REST is answered meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_at_once() {
    const CLIENTS: usize = 500;
    const EVENTS: u64 = 300;
    let scene = scene(
        1,
        &[
            ("HUBBUB__HUB__REPLAY_PAGES_MAX", "2"),
            ("HUBBUB__HUB__REPLAY_PAGE_EVENTS", "30"),
            ("HUBBUB__HUB__ROOM_MEMORY_EVENTS", "10"),
        ],
    )
    .await;
    let room = &scene.rooms[0];
    fill(&scene, room, EVENTS.cast_signed()).await;
    let mut sockets = Vec::new();
    for _ in 0..CLIENTS {
        sockets.push(Socket::connect(&scene.node, &scene.bob).await);
    }
    let cursor = cursor_of(&[(room, 0)]);
    for socket in &mut sockets {
        let fields = json!({ "cursor": cursor });
        socket.send_command("resume", fields).await;
    }
    let begun = Instant::now();
    let stop = Arc::new(AtomicBool::new(false));
    let asking = {
        let (stop, ada) = (Arc::clone(&stop), scene.ada.clone());
        tokio::spawn(async move {
            let (mut count, mut slowest) = (0, Duration::ZERO);
            while !stop.load(Ordering::Relaxed) {
                let begun = Instant::now();
                ada.get("/api/rooms").await.ok();
                slowest = slowest.max(begun.elapsed());
                count += 1;
            }
            (count, slowest)
        })
    };
    let reading = sockets.into_iter().map(|mut socket| {
        let room = room.clone();
        tokio::spawn(async move {
            let reply = socket.reply().await.expect("an answer");
            assert_eq!(reply["ok"]["resumed"], 1, "{reply}");
            super::replayed(&mut socket, &room, 1, EVENTS).await;
        })
    });
    for client in futures_util::future::join_all(reading).await {
        client.expect("it got everything");
    }
    let took = begun.elapsed();
    stop.store(true, Ordering::Relaxed);
    let (asked, slowest) = asking.await.expect("REST goes on");
    let read = scene
        .node
        .metric("hub_replay_pages_total{how=\"read\"}")
        .await;
    let shared = scene
        .node
        .metric("hub_replay_pages_total{how=\"shared\"}")
        .await;
    println!(
        "{CLIENTS} clients × {EVENTS} events in {took:?}: {read} pages read, {shared} shared; \
         {asked} REST reads beside it, the slowest after {slowest:?}"
    );
    assert!(shared > 0, "nothing was shared");
    assert!(read < shared, "{read} pages read, {shared} shared");
    for gauge in ["hub_replay_turns_waiting", "hub_replay_pages_reading"] {
        assert_eq!(scene.node.metric(gauge).await, 0, "{gauge}");
    }
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
}

/// While a replay goes on at a slow reader's pace, pings are answered, other commands wait for
/// their turn, and the peer's going is noticed.
#[tokio::test]
pub(crate) async fn a_slow_reader_is_alive_and_its_end_is_noticed() {
    let scene = scene(
        1,
        &[
            ("HUBBUB__WEBSOCKET__PING_INTERVAL_S", "1"),
            ("HUBBUB__WEBSOCKET__PING_TIMEOUT_S", "2"),
            ("HUBBUB__WEBSOCKET__SEND_BUFFER_BYTES", "4096"),
            ("HUBBUB__WEBSOCKET__OUTBOX_MAX_AGE_MS", "20000"),
        ],
    )
    .await;
    let room = &scene.rooms[0];
    fill(&scene, room, 60_000).await;
    let mut peer = RawPeer::upgraded(&scene.node, &scene.bob.token).await;
    let command = json!({ "id": 1, "cmd": "resume", "cursor": cursor_of(&[(room, 0)]) });
    let command = command.to_string();
    peer.write(&masked(FIN | opcode::TEXT, command.as_bytes()))
        .await;
    let ping = json!({ "id": 2, "cmd": "ping" }).to_string();
    peer.write(&masked(FIN | opcode::TEXT, ping.as_bytes()))
        .await;
    let begun = Instant::now();
    let (mut events, mut pongs, mut asked) = (0, 0, 0);
    // Slower than the ping's time-out allows for the whole, and steadily.
    while begun.elapsed() < Duration::from_secs(5) {
        let frame = peer.read_frame().await.expect("the connection goes on");
        match frame.first & 0x0f {
            opcode::PONG => pongs += 1,
            opcode::PING => {
                asked += 1;
                peer.write(&masked(FIN | opcode::PONG, &frame.payload))
                    .await;
            }
            opcode::TEXT => {
                assert!(!frame.payload.starts_with(b"{\"id\""), "a reply too early");
                events += 1;
            }
            other => panic!("unexpected opcode {other}"),
        }
        if events % 100 == 0 {
            peer.write(&masked(FIN | opcode::PING, b"still there?"))
                .await;
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }
    println!("{events} events, {pongs} pongs, {asked} pings of the hub");
    assert!(events > 100 && pongs > 0, "{events} events, {pongs} pongs");
    let connections = "websocket_active_connections";
    assert_eq!(scene.node.metric(connections).await, 1);
    drop(peer);
    eventually(
        "its connection goes in the middle of the replay",
        async || (scene.node.metric(connections).await == 0).then_some(()),
    )
    .await;
}

/// A membership that ends in the middle of a replay ends the replay: what was said afterwards does
/// not come, and the client is told why.
#[tokio::test]
async fn who_is_removed_in_the_middle_gets_no_more() {
    let settings = [("HUBBUB__WEBSOCKET__SEND_BUFFER_BYTES", "4096")];
    let scene = scene(2, &settings).await;
    let [long, other] = &scene.rooms[..] else {
        panic!("two rooms");
    };
    fill(&scene, long, 60_000).await;
    let mut peer = RawPeer::upgraded(&scene.node, &scene.bob.token).await;
    let cursor = cursor_of(&[(long, 0), (other, 0)]);
    let command = json!({ "id": 1, "cmd": "resume", "cursor": cursor }).to_string();
    peer.write(&masked(FIN | opcode::TEXT, command.as_bytes()))
        .await;
    for _ in 0..100 {
        peer.read_frame().await.expect("the replay begins");
    }
    let path = format!("/api/rooms/{}/members/{}", long.id, scene.bob.id);
    let removal = scene.ada.request(reqwest::Method::DELETE, &path);
    crate::harness::rest::send(removal).await.ok();
    scene.ada.say(&long.id, "a secret", "secret").await.ok();
    let (mut refused, mut last) = (None, 0);
    let reply = loop {
        let frame = peer.read_frame().await.expect("the connection goes on");
        let value: serde_json::Value = serde_json::from_slice(&frame.payload).expect("JSON");
        if value["id"] == 1 {
            break value;
        }
        assert_ne!(value["body"], "a secret");
        if value["room"] != long.id.as_str() {
            continue;
        }
        if value["push"] == "resumed" {
            refused = Some(value);
        } else if let Some(seq) = value["seq"].as_u64() {
            assert!(refused.is_none(), "after the refusal: {value}");
            assert!(seq <= 60_001, "{value}");
            last = seq;
        }
    };
    let refused = refused.expect("it is told");
    assert_eq!(refused["err"]["code"], "not_a_member", "{refused}");
    assert!(last < 60_001, "the replay came to its end before");
    // The other room came all the same.
    assert_eq!(reply["ok"]["resumed"], 1, "{reply}");
    assert_eq!(reply["ok"]["refused"], 1, "{reply}");
}

/// A client that is told to move in the middle of a resume can go on from what it is told, in all
/// rooms: the one whose replay has begun, and the one whose turn has not come.
#[tokio::test]
async fn what_drain_says_in_the_middle_of_a_resume_has_all_rooms() {
    const EVENTS: i64 = 100_000;
    let scene = scene(2, &[("HUBBUB__HTTP__DRAIN_MS", "2000")]).await;
    let [long, other] = &scene.rooms[..] else {
        panic!("two rooms");
    };
    fill(&scene, long, EVENTS).await;
    let mut bob = Socket::connect(&scene.node, &scene.bob).await;
    let cursor = cursor_of(&[(long, 1), (other, 1)]);
    bob.send_command("resume", json!({ "cursor": cursor }))
        .await;
    let mut last = 1;
    let drain = loop {
        let push = bob
            .next_push("an event or drain", |push| {
                push["seq"].is_u64() || push["push"] == "drain"
            })
            .await;
        if push["push"] == "drain" {
            break push;
        }
        last += 1;
        assert_eq!(push["seq"], last, "{push}");
        if last == 100 {
            scene.node.terminate();
        }
    };
    assert!(
        last < EVENTS.unsigned_abs(),
        "the replay was still going on"
    );
    assert_eq!(super::seq_in(&drain, long), last);
    assert_eq!(super::seq_in(&drain, other), 1);
}
