//! A member publishes on one node while another node removes them: nothing of theirs stands after
//! the removal.

use hubbub::protocol::event::{EventBody, MembershipChange};
use serde_json::json;
use tokio::sync::oneshot;

use super::cluster::{Cluster, add, remove};
use super::log::verified;
use super::pipeline::{Publish, code, send, seq};
use crate::harness::rest::Room;
use crate::harness::rounds;
use crate::harness::socket::Socket;

/// Removals, each under way while the member publishes.
const ROUNDS: usize = 8;

/// Publishes that are on their way at a time.
const WINDOW: usize = 8;

#[tokio::test]
async fn in_a_public_room() {
    removed_while_publishing(false, "not_a_member", 403).await;
}

#[tokio::test]
async fn in_a_private_room() {
    removed_while_publishing(true, "room_not_found", 404).await;
}

async fn removed_while_publishing(is_private: bool, stranger: &str, status: u16) {
    let cluster = Cluster::start(2, &[]).await;
    let [owner, member] = cluster.users(["owner", "member"]).await;
    let body = json!({ "name": "room", "is_private": is_private });
    let room = owner.create_room_with(&body).await;
    let owner_there = owner.at(&cluster.nodes[1]);
    let mut socket = cluster.socket(0, &member).await;
    let mut last_acks = Vec::new();
    for round in 0..rounds(ROUNDS) {
        let added = add(&owner_there, &room, &member, "member").await;
        assert_eq!(added.status, 201, "{added:?}");
        let (warm, is_warm) = oneshot::channel();
        let removing = async {
            is_warm.await.expect("publishes are acknowledged");
            let removed = remove(&owner_there, &room, &member).await;
            assert_eq!(removed.status, 204, "{removed:?}");
        };
        // The removal meets another moment of the publishing in every round.
        let publishing = publish_until_refused(&mut socket, &room, round, 5 + 3 * round, warm);
        let ((last_ack, refusals), ()) = tokio::join!(publishing, removing);
        for refusal in refusals {
            assert_eq!(refusal, (stranger.to_owned(), false));
        }
        last_acks.push(last_ack);
        for (node, number) in cluster.nodes.iter().zip(0..) {
            let key = format!("late{round}-{number}");
            let answer = member.at(node).say(&room.id, "late", &key).await;
            answer.problem(status, stranger);
        }
    }
    // That nothing in it is of somebody who is no member then, is part of this.
    let log = verified(&cluster.sql, &room.id).await;
    let removals: Vec<i64> = log
        .iter()
        .filter(|event| {
            matches!(event.body, EventBody::Membership { change, .. } if change == MembershipChange::Removed)
        })
        .map(|event| event.seq)
        .collect();
    assert_eq!(removals.len(), rounds(ROUNDS));
    for (last_ack, removal) in last_acks.iter().zip(&removals) {
        assert!(last_ack < removal, "acknowledged after the removal");
    }
    assert!(
        last_acks[1..]
            .iter()
            .zip(&removals)
            .all(|(ack, before)| ack > before)
    );
}

/// Publishes with a window until a publish is refused. Gives the last ack's `seq` and the codes
/// of the refusals, after the last of which nothing is on its way.
async fn publish_until_refused(
    socket: &mut Socket,
    room: &Room,
    round: usize,
    warm_after: usize,
    warm: oneshot::Sender<()>,
) -> (i64, Vec<(String, bool)>) {
    let publish = |n: usize| [Publish::new(room, "again", &format!("r{round}-{n}"))];
    let (mut acks, mut last_ack, mut refusals) = (0, 0, Vec::new());
    let (mut sent, mut warm) = (WINDOW, Some(warm));
    for n in 0..WINDOW {
        send(socket, &publish(n)).await;
    }
    let mut answered = 0;
    while answered < sent {
        let reply = socket.reply().await.expect("the connection lasts");
        answered += 1;
        if let Some(refusal) = code(&reply) {
            refusals.push(refusal);
            continue;
        }
        assert!(refusals.is_empty(), "acknowledged after a refusal: {reply}");
        last_ack = seq(&reply["ok"]);
        acks += 1;
        if acks == warm_after {
            let told = warm.take().map(|warm| warm.send(()));
            assert_eq!(told, Some(Ok(())), "somebody waits to remove");
        }
        assert!(sent < 20_000, "the removal does not come");
        send(socket, &publish(sent)).await;
        sent += 1;
    }
    (last_ack, refusals)
}
