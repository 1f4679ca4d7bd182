//! Resuming while messages pour in: no hole, no double, whatever the moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Scene, cursor_of, scene};
use crate::harness::rest::Room;
use crate::harness::rounds;
use crate::harness::socket::Socket;

/// Somebody who publishes to a room without pause, and reads what comes of it.
fn pour(scene: &Scene, room: &Room, stop: &Arc<AtomicBool>) -> tokio::task::JoinHandle<u64> {
    let (ada, room, stop) = (scene.ada.clone(), room.id.clone(), Arc::clone(stop));
    let address = scene.node.address.clone();
    tokio::spawn(async move {
        let mut socket = Socket::connect_to(&address, &ada).await;
        let mut last = 0;
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) {
            let key = format!("{room}-{number}");
            last = socket.publish(&room, "poured", &key).await["seq"]
                .as_u64()
                .expect("a seq");
            number += 1;
        }
        last
    })
}

async fn many_rounds(settings: &[(&str, &str)]) {
    let scene = scene(3, settings).await;
    let stop = Arc::new(AtomicBool::new(false));
    let pouring: Vec<_> = scene
        .rooms
        .iter()
        .map(|room| pour(&scene, room, &stop))
        .collect();
    let mut positions = vec![0; scene.rooms.len()];
    for round in 0..rounds(25) {
        let mut bob = Socket::connect(&scene.node, &scene.bob).await;
        let known: Vec<_> = scene.rooms.iter().zip(positions.iter().copied()).collect();
        let reply = super::resume(&mut bob, &cursor_of(&known)).await;
        assert_eq!(reply["resumed"], 3, "round {round}: {reply}");
        // Some live ones, too.
        for _ in 0..round % 7 {
            bob.ping().await;
        }
        for push in bob.take_pushes() {
            if push["push"] == "resumed" {
                assert!(push.get("gap").is_none(), "round {round}: {push}");
            }
            let Some(seq) = push["seq"].as_u64() else {
                continue;
            };
            let place = scene
                .rooms
                .iter()
                .position(|room| push["room"] == room.id.as_str());
            let position = &mut positions[place.expect("a room of ours")];
            assert_eq!(seq, *position + 1, "round {round}: {push}");
            *position = seq;
        }
    }
    stop.store(true, Ordering::Relaxed);
    let mut last = Vec::new();
    for task in pouring {
        last.push(task.await.expect("the publisher was undisturbed"));
    }
    let mut bob = Socket::connect(&scene.node, &scene.bob).await;
    let known: Vec<_> = scene.rooms.iter().zip(positions.iter().copied()).collect();
    super::resume(&mut bob, &cursor_of(&known)).await;
    for ((room, position), last) in known.into_iter().zip(last) {
        super::replayed(&mut bob, room, position + 1, last).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn out_of_memory_there_is_no_hole_and_no_double() {
    many_rounds(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn out_of_the_log_there_is_no_hole_and_no_double() {
    many_rounds(&[
        ("HUBBUB__HUB__ROOM_MEMORY_EVENTS", "8"),
        ("HUBBUB__HUB__REPLAY_PAGE_EVENTS", "3"),
    ])
    .await;
}
