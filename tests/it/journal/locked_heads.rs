//! A room whose head somebody else has locked: it waits, and nobody else does.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::Value;

use super::cluster::Cluster;
use super::log::verified;
use super::pipeline::{Publish, ack, ascending, burst, code, replies, send};
use crate::harness::rest::{Room, User};
use crate::harness::socket::Socket;

/// Long after the patience of a batch (50 ms), long before that of the tests.
const SHORTLY: Duration = Duration::from_secs(3);

/// Sends so many publishes at once to a room; all of them must be acknowledged.
async fn acknowledged(socket: &mut Socket, room: &Room, prefix: &str, count: usize) -> Vec<Value> {
    let sent = Publish::numbered(room, prefix, count);
    burst(socket, &sent).await.iter().map(ack).collect()
}

#[tokio::test]
async fn the_other_rooms_of_the_writer_go_on_and_it_follows_in_order() {
    let cluster = Cluster::start(
        2,
        &[
            ("WRITERS", "1"),
            ("PATIENT_LOCK_TIMEOUT_MS", "20000"),
            ("FLIGHT_TIMEOUT_MS", "20000"),
        ],
    )
    .await;
    let people = cluster.users(["ada", "bob"]).await;
    let locked = cluster.room("locked", &people).await;
    let mut free = Vec::new();
    for name in ["free1", "free2", "free3"] {
        free.push(cluster.room(name, &people).await);
    }
    let before = cluster.last_seq(&locked).await;
    let mut waiting = [
        cluster.socket(0, &people[0]).await,
        cluster.socket(0, &people[1]).await,
        cluster.socket(1, &people[0]).await,
    ];
    let lock = cluster.lock_head(&locked).await;
    let mut ids = Vec::new();
    for (n, socket) in waiting.iter_mut().enumerate() {
        ids.push(send(socket, &Publish::numbered(&locked, &format!("w{n}-"), 15)).await);
    }
    cluster.queued(0, 30).await;
    cluster.queued(1, 15).await;
    for node in 0..2 {
        let sockets = free.iter().map(|room| {
            let cluster = &cluster;
            let user = &people[1];
            async move {
                let mut socket = cluster.socket(node, user).await;
                for round in 0..5 {
                    let prefix = format!("n{node}r{round}-");
                    ascending(&acknowledged(&mut socket, room, &prefix, 20).await);
                }
            }
        });
        join_all(sockets).await;
    }
    // All that time nothing has happened in the locked room, and nothing was given up.
    cluster.queued(0, 30).await;
    cluster.queued(1, 15).await;
    assert_eq!(cluster.last_seq(&locked).await, before);
    // Later ones stand behind those that wait.
    let later = Publish::numbered(&locked, "later", 5);
    ids[0].extend(send(&mut waiting[0], &later).await);
    cluster.queued(0, 35).await;
    lock.release().await;

    for (socket, ids) in waiting.iter_mut().zip(&ids) {
        let acks: Vec<_> = replies(socket, ids).await.iter().map(ack).collect();
        ascending(&acks);
    }
    for room in free.iter().chain([&locked]) {
        verified(&cluster.sql, &room.id).await;
    }
    assert_eq!(cluster.last_seq(&locked).await, before + 50);
}

/// Both are on the writer's second lane then; the one that is free again must not wait for the
/// one that is not, neither on this node nor on another.
#[tokio::test]
async fn two_locked_rooms_do_not_wait_for_each_other() {
    let cluster = Cluster::start(
        2,
        &[
            ("WRITERS", "1"),
            ("PATIENT_LOCK_TIMEOUT_MS", "20000"),
            ("FLIGHT_TIMEOUT_MS", "20000"),
        ],
    )
    .await;
    let people = cluster.users(["ada"]).await;
    // Heads are locked in the order of the ids, and ids grow: this is about the first.
    let first = cluster.room("first", &people).await;
    let second = cluster.room("second", &people).await;
    let free = cluster.room("free", &people).await;
    for (short, long) in [(&first, &second), (&second, &first)] {
        let mut sockets = [
            cluster.socket(0, &people[0]).await,
            cluster.socket(0, &people[0]).await,
        ];
        let mut free_socket = cluster.socket(0, &people[0]).await;
        let short_lock = cluster.lock_head(short).await;
        let long_lock = cluster.lock_head(long).await;
        let long_ids = send(&mut sockets[0], &Publish::numbered(long, &short.slug, 3)).await;
        let short_ids = send(&mut sockets[1], &Publish::numbered(short, &short.slug, 3)).await;
        cluster.queued(0, 6).await;
        // When this is written, what came before has been found locked.
        let prefix = format!("{}-", short.slug);
        acknowledged(&mut free_socket, &free, &prefix, 1).await;
        short_lock.release().await;

        let started = Instant::now();
        let acks = replies(&mut sockets[1], &short_ids).await;
        let there = people[0].at(&cluster.nodes[1]);
        let posted = there
            .say(&short.id, "there", &format!("there-{}", short.slug))
            .await;
        let waited = started.elapsed();
        assert_eq!(posted.status, 201, "{posted:?}");
        ascending(&acks.iter().map(ack).collect::<Vec<_>>());
        assert!(waited < SHORTLY, "it waited {waited:?} for the other room");
        long_lock.release().await;
        let acks = replies(&mut sockets[0], &long_ids).await;
        ascending(&acks.iter().map(ack).collect::<Vec<_>>());
    }
    verified(&cluster.sql, &first.id).await;
    verified(&cluster.sql, &second.id).await;
}

#[tokio::test]
async fn held_too_long_it_is_refused_for_now_and_nothing_is_stored() {
    held_too_long(&[("WRITERS", "1"), ("PATIENT_LOCK_TIMEOUT_MS", "400")]).await;
}

/// As the defaults have it: what waits for a lock is not a connection that has died.
#[tokio::test]
async fn so_it_is_if_the_patience_is_as_long_as_the_time_out_of_a_flight() {
    held_too_long(&[
        ("WRITERS", "1"),
        ("PATIENT_LOCK_TIMEOUT_MS", "1000"),
        ("FLIGHT_TIMEOUT_MS", "1000"),
    ])
    .await;
}

async fn held_too_long(settings: &[(&str, &str)]) {
    let cluster = Cluster::start(1, settings).await;
    let people: [User; 2] = cluster.users(["ada", "bob"]).await;
    let locked = cluster.room("locked", &people).await;
    let free = cluster.room("free", &people).await;
    let before = cluster.last_seq(&locked).await;
    let mut ada = cluster.socket(0, &people[0]).await;
    let mut bob = cluster.socket(0, &people[1]).await;
    let sent = Publish::numbered(&locked, "a", 8);
    let lock = cluster.lock_head(&locked).await;
    let (refused, _) = tokio::join!(
        burst(&mut ada, &sent),
        acknowledged(&mut bob, &free, "b", 20),
    );
    for (n, reply) in refused.iter().enumerate() {
        // The first has waited in vain; what came after it must not overtake it.
        let (code, retry) = code(reply).expect("nobody can have stored it");
        let expected = ["unavailable", "earlier_failed"];
        assert!(expected[..=n.min(1)].contains(&&*code) && retry, "{reply}");
    }
    assert_eq!(cluster.last_seq(&locked).await, before);
    cluster.queued(0, 0).await;
    lock.release().await;

    let again: Vec<_> = burst(&mut ada, &sent).await.iter().map(ack).collect();
    let seqs = ascending(&again);
    assert_eq!(seqs, (before + 1..=before + 8).collect::<Vec<_>>());
    acknowledged(&mut bob, &locked, "b", 5).await;
    let log = verified(&cluster.sql, &locked.id).await;
    assert_eq!(log.last().expect("events").seq, before + 13);
    verified(&cluster.sql, &free.id).await;
}
