//! Publishes that come together are committed together.

use futures_util::future::join_all;

use super::cluster::Cluster;
use super::log::verified;
use super::pipeline::{Publish, ack, burst, replies, send};

/// How many batches, and how many entries were in them.
async fn batches(cluster: &Cluster) -> (u64, u64) {
    (
        cluster.metric(0, "journal_batch_events_count").await,
        cluster.metric(0, "journal_batch_events_sum").await,
    )
}

#[tokio::test]
async fn a_queue_is_written_in_few_batches() {
    let cluster = Cluster::start(1, &[("WRITERS", "1")]).await;
    let [ada, bob] = cluster.users(["ada", "bob"]).await;
    let people = [ada, bob];
    let locked = cluster.room("locked", &people).await;
    let mut rooms = vec![&locked];
    let more = [
        cluster.room("two", &people).await,
        cluster.room("three", &people).await,
    ];
    rooms.extend(&more);
    let mut sockets = [
        cluster.socket(0, &people[0]).await,
        cluster.socket(0, &people[1]).await,
    ];
    let (count_before, _) = batches(&cluster).await;
    let lock = cluster.lock_head(&locked).await;
    let mut ids = Vec::new();
    for (n, socket) in sockets.iter_mut().enumerate() {
        ids.push(send(socket, &Publish::numbered(&locked, &format!("s{n}-"), 100)).await);
    }
    cluster.queued(0, 200).await;
    lock.release().await;
    for (socket, ids) in sockets.iter_mut().zip(&ids) {
        replies(socket, ids).await.iter().for_each(|reply| {
            ack(reply);
        });
    }
    let (count, _) = batches(&cluster).await;
    // The first of them as it came, again on the patient lane, and the rest.
    let written = count - count_before;
    assert!(written <= 8, "200 publishes took {written} batches");
    verified(&cluster.sql, &locked.id).await;
}

#[tokio::test]
async fn bursts_share_commits_without_being_held_up() {
    let cluster = Cluster::start(1, &[("WRITERS", "1")]).await;
    let people = cluster.users(["ada", "bob", "carol", "dave"]).await;
    let rooms = [
        cluster.room("one", &people).await,
        cluster.room("two", &people).await,
    ];
    let before = batches(&cluster).await;
    let senders = people.iter().enumerate().map(|(n, user)| {
        let (cluster, room) = (&cluster, &rooms[n % 2]);
        async move {
            let mut socket = cluster.socket(0, user).await;
            let publishes = Publish::numbered(room, "b", 100);
            burst(&mut socket, &publishes)
                .await
                .iter()
                .for_each(|reply| {
                    ack(reply);
                });
        }
    });
    join_all(senders).await;
    let after = batches(&cluster).await;
    let (count, events) = (after.0 - before.0, after.1 - before.1);
    assert!(events >= 400, "{events} entries were in batches");
    assert!(
        count * 2 <= events,
        "{events} publishes took {count} batches"
    );
    for room in &rooms {
        verified(&cluster.sql, &room.id).await;
    }
}
