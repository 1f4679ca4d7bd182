//! What a cursor may hold: anybody can write one.

use hubbub::protocol::cursor;
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use serde_json::json;

use super::{cursor_of, position, replayed, resume, scene, told};
use crate::harness::socket::Socket;

#[tokio::test]
async fn garbage_is_refused_and_hurts_nobody() {
    let scene = scene(1, &[]).await;
    let mut bob = Socket::connect(&scene.node, &scene.bob).await;
    let good = cursor_of(&[(&scene.rooms[0], 0)]);
    let seed: u64 = rand::random();
    let mut random = StdRng::seed_from_u64(seed);
    let mut garbage: Vec<String> = ["", "!", "AA", "AQE", "null", "\u{1F600}", "AQ=="]
        .map(str::to_owned)
        .into();
    garbage.push("A".repeat(4097));
    garbage.push("A".repeat(900_000));
    garbage.push(good[..good.len() - 1].to_owned());
    garbage.push(format!("{good}{good}"));
    for _ in 0..200 {
        let mut bytes = good.clone().into_bytes();
        let at = random.random_range(0..bytes.len());
        bytes[at] = b"-_ABCxyz019+/= "[random.random_range(0..15)];
        garbage.push(String::from_utf8(bytes).expect("ASCII"));
        let mut bytes = vec![0; random.random_range(0..80)];
        random.fill_bytes(&mut bytes);
        garbage.push(String::from_utf8_lossy(&bytes).into_owned());
    }
    for text in &garbage {
        let reply = bob.request("resume", json!({ "cursor": text })).await;
        match cursor::decode(text) {
            // A letter changed makes another cursor: of a room that is not there, of an epoch
            // that never was.
            Ok(positions) => {
                let all = reply["ok"]["resumed"]
                    .as_u64()
                    .zip(reply["ok"]["refused"].as_u64());
                let all = all.map(|(resumed, refused)| resumed + refused);
                assert_eq!(
                    all,
                    Some(positions.len() as u64),
                    "seed {seed}: {text:?} {reply}"
                );
            }
            Err(_) => {
                assert_eq!(
                    reply["err"]["code"], "invalid_cursor",
                    "seed {seed}: {text:?}"
                );
            }
        }
    }
    for wrong in [json!(7), json!([]), json!({ "a": 1 })] {
        let err = bob.err("resume", json!({ "cursor": wrong })).await;
        assert_eq!(err["code"], "invalid_request");
    }
    let err = bob.err("resume", json!({})).await;
    assert_eq!(err["message"], "`cursor` is missing");
    bob.take_pushes();
    assert_eq!(resume(&mut bob, &good).await["resumed"], 1);
}

#[tokio::test]
async fn a_room_twice_and_too_many_rooms_are_refused() {
    let scene = scene(3, &[("HUBBUB__WEBSOCKET__MAX_ROOMS", "2")]).await;
    let mut bob = Socket::connect(&scene.node, &scene.bob).await;
    let [first, second, third] = &scene.rooms[..] else {
        panic!("three rooms");
    };
    let resume_err = async |bob: &mut Socket, cursor: String| {
        bob.err("resume", json!({ "cursor": cursor })).await["code"].clone()
    };
    let twice = cursor_of(&[(first, 1), (first, 0)]);
    assert_eq!(resume_err(&mut bob, twice).await, "invalid_cursor");
    let three = cursor_of(&[(first, 1), (second, 1), (third, 1)]);
    assert_eq!(resume_err(&mut bob, three).await, "too_many_rooms");
    // None of it was joined.
    assert_eq!(
        bob.err("leave", json!({ "room": first.id })).await["code"],
        "not_joined"
    );
    // Beside a room that is joined already there is place for one more.
    bob.join(&first.id).await;
    let reply = resume(&mut bob, &cursor_of(&[(second, 1), (third, 1)])).await;
    assert_eq!(
        (&reply["resumed"], &reply["refused"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(told(&mut bob, third).await["err"]["code"], "too_many_rooms");
}

#[tokio::test]
async fn another_epoch_and_the_future_are_told_as_gaps() {
    let scene = scene(3, &[]).await;
    let [other, future, far] = &scene.rooms[..] else {
        panic!("three rooms");
    };
    for room in &scene.rooms {
        scene.ada.say(&room.id, "one", "1").await.ok();
    }
    let positions = [
        position(other, 1, other.epoch ^ 1),
        position(future, 7, future.epoch),
        position(far, u64::MAX, far.epoch),
    ];
    let cursor = cursor::encode(&positions).expect("they fit");
    let mut bob = Socket::connect(&scene.node, &scene.bob).await;
    let reply = resume(&mut bob, &cursor).await;
    assert_eq!(reply["resumed"], 3);
    for room in &scene.rooms {
        let resumed = told(&mut bob, room).await;
        assert_eq!(resumed["epoch"], room.epoch);
        assert_eq!(resumed["replayed"], 0);
        let gap = json!({ "from": 1, "to": 2, "reason": "epoch" });
        assert_eq!(resumed["gap"], gap);
        scene.ada.say(&room.id, "live", "2").await.ok();
        replayed(&mut bob, room, 3, 3).await;
    }
}

/// Below the history floor nothing is given, from memory or from the log, whoever asks how.
#[tokio::test]
async fn below_the_history_floor_there_is_a_gap() {
    for memory in ["1", "1000"] {
        let scene = scene(1, &[("HUBBUB__HUB__ROOM_MEMORY_EVENTS", memory)]).await;
        let room = &scene.rooms[0];
        for n in 2..=20 {
            scene.ada.say(&room.id, "said", &n.to_string()).await.ok();
        }
        let client = scene.database.connect().await;
        client
            .execute(
                "UPDATE room_members SET history_floor = 10 WHERE user_id = $1::text::uuid",
                &[&scene.bob.id],
            )
            .await
            .expect("the floor is set");
        for since in [0, 3, 9, 10, 15] {
            let mut bob = Socket::connect(&scene.node, &scene.bob).await;
            let fields = json!({ "room": room.id, "since": since, "epoch": room.epoch });
            let joined = bob.ok("join", fields).await;
            let gap =
                (since < 10).then(|| json!({ "from": since + 1, "to": 10, "reason": "history" }));
            assert_eq!(joined.get("gap"), gap.as_ref(), "{joined}");
            let first = since.max(10) + 1;
            assert_eq!(joined["replayed"], 21 - first);
            replayed(&mut bob, room, first, 20).await;
            let mut again = Socket::connect(&scene.node, &scene.bob).await;
            resume(&mut again, &cursor_of(&[(room, since)])).await;
            let resumed = told(&mut again, room).await;
            assert_eq!(resumed.get("gap"), gap.as_ref(), "{resumed}");
            replayed(&mut again, room, first, 20).await;
        }
        // Without a position there is nothing to be missing; another epoch goes before.
        let mut bob = Socket::connect(&scene.node, &scene.bob).await;
        let joined = bob.join(&room.id).await;
        assert!(joined.get("gap").is_none(), "{joined}");
        let fields = json!({ "room": room.id, "since": 2, "epoch": room.epoch ^ 1 });
        assert_eq!(bob.ok("join", fields).await["gap"]["reason"], "epoch");
    }
}
