//! A full queue says so at once, and takes again when it is not.

use std::collections::HashMap;

use super::cluster::Cluster;
use super::log::verified;
use super::pipeline::{Publish, ack, ascending, burst, code, refused, send};

const BOUND: usize = 8;

#[tokio::test]
async fn beyond_its_bound_publishes_are_refused_for_now() {
    let bound = BOUND.to_string();
    let cluster = Cluster::start(
        1,
        &[
            ("WRITERS", "1"),
            ("BATCH_MAX_EVENTS", "4"),
            ("QUEUE_MAX_EVENTS", &bound),
            ("PATIENT_LOCK_TIMEOUT_MS", "20000"),
            ("FLIGHT_TIMEOUT_MS", "20000"),
        ],
    )
    .await;
    let [ada] = cluster.users(["ada"]).await;
    let room = cluster.room("room", std::slice::from_ref(&ada)).await;
    let mut socket = cluster.socket(0, &ada).await;
    let lock = cluster.lock_head(&room).await;
    let sent = Publish::numbered(&room, "a", 3 * BOUND);
    let ids = send(&mut socket, &sent).await;
    // The refusals come while those in the queue still wait.
    let mut answers = HashMap::new();
    while answers.len() < ids.len() - BOUND {
        let reply = socket.reply().await.expect("the connection lasts");
        assert_eq!(code(&reply), Some(refused("overloaded", true)), "{reply}");
        answers.insert(reply["id"].as_u64().expect("an id"), reply);
    }
    assert!(ids[..BOUND].iter().all(|id| !answers.contains_key(id)));
    cluster.queued(0, 8).await;
    let answer = ada.say(&room.id, "by post", "p").await;
    answer.problem(503, "overloaded");
    assert_eq!(cluster.last_seq(&room).await, 0);
    lock.release().await;

    let mut acks = Vec::new();
    for _ in 0..BOUND {
        acks.push(ack(&socket.reply().await.expect("the connection lasts")));
    }
    assert_eq!(ascending(&acks), (1..=8).collect::<Vec<_>>());
    // Those refused, a few at a time now.
    for publishes in sent[BOUND..].chunks(4) {
        acks.extend(burst(&mut socket, publishes).await.iter().map(ack));
    }
    ascending(&acks);
    assert_eq!(verified(&cluster.sql, &room.id).await.len(), 3 * BOUND);
    cluster.queued(0, 0).await;
}
