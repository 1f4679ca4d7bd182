//! Members come, go and change on several nodes while others talk: the log tells it all.

use hubbub::protocol::event::EventBody;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use tokio::task::JoinSet;

use super::cluster::{Cluster, add, remove};
use super::log::{verified, verify_history};
use super::pipeline::{Publish, ack, burst, code};
use crate::harness::rest::{Room, User};
use crate::harness::rounds;
use crate::harness::socket::Socket;

#[tokio::test]
async fn changes_on_several_nodes_among_messages_make_one_log() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let cluster = Cluster::start(3, &[("WRITERS", "2")]).await;
    let people = cluster
        .users(["owner", "ada", "bob", "carol", "dave"])
        .await;
    let room = cluster.room("room", &people[..3]).await;
    let other = cluster.room("other", &people[..2]).await;
    add(&people[0], &room, &people[1], "owner").await.ok();

    let mut tasks = JoinSet::new();
    for n in 0..6 {
        let random = StdRng::seed_from_u64(seed.wrapping_add(n));
        let people: Vec<_> = cluster
            .nodes
            .iter()
            .map(|node| people.each_ref().map(|user| user.at(node)))
            .collect();
        let rooms = [room.clone(), other.clone()];
        tasks.spawn(async move {
            change_memberships(people, rooms, random).await;
            0
        });
    }
    for (n, user) in people.iter().enumerate() {
        let socket = cluster.socket(n % cluster.nodes.len(), user).await;
        tasks.spawn(talk(socket, room.clone()));
    }
    let acknowledged: usize = tasks.join_all().await.into_iter().sum();

    let log = verified(&cluster.sql, &room.id).await;
    let is_message = |body: &EventBody| matches!(body, EventBody::Message { .. });
    let messages = log.iter().filter(|event| is_message(&event.body)).count();
    assert_eq!(messages, acknowledged);
    assert!(messages > 0, "somebody could talk");
    assert!(log.len() > messages + 20, "members came and went");
    verified(&cluster.sql, &other.id).await;
    // Somebody is in it: its last member may have left.
    let reader = &people[3];
    reader.join_room(&room).await;
    let log = verified(&cluster.sql, &room.id).await;
    for node in &cluster.nodes {
        verify_history(&reader.at(node), &room.id, &log).await;
    }
}

/// Both may go as long as the other stays.
#[tokio::test]
async fn of_two_owners_who_leave_on_two_nodes_at_once_one_stays() {
    let cluster = Cluster::start(2, &[]).await;
    let people = cluster.users(["ada", "bob", "carol"]).await;
    let [ada, bob, _] = &people;
    let room = cluster.room("room", &people).await;
    let bob_there = bob.at(&cluster.nodes[1]);
    let leave = format!("/api/rooms/{}/leave", room.id);
    let nothing = json!({});
    for round in 0..10 {
        // Whoever stayed is the owner who makes the other one.
        for (one, other) in [(ada, bob), (bob, ada)] {
            if add(one, &room, other, "owner").await.status < 300 {
                break;
            }
        }
        let (one, other) =
            tokio::join!(ada.post(&leave, &nothing), bob_there.post(&leave, &nothing),);
        let (gone, stayed) = if one.status == 204 {
            (one, other)
        } else {
            (other, one)
        };
        assert_eq!(gone.status, 204, "round {round}: {gone:?}");
        stayed.problem(409, "last_owner");
    }
    verified(&cluster.sql, &room.id).await;
}

/// Who is alone may leave, and then nobody is left; but not stay as anything less than owner.
#[tokio::test]
async fn an_owner_who_is_alone_stays_owner() {
    let cluster = Cluster::start(1, &[]).await;
    let [ada] = cluster.users(["ada"]).await;
    let room = ada.create_room("room").await;
    let answer = add(&ada, &room, &ada, "member").await;
    answer.problem(409, "last_owner");
    assert!(verified(&cluster.sql, &room.id).await.is_empty());
    let leave = format!("/api/rooms/{}/leave", room.id);
    assert_eq!(ada.post(&leave, &json!({})).await.status, 204);
    verified(&cluster.sql, &room.id).await;
}

/// Random changes by random people on random nodes; many are refused, none may fail.
async fn change_memberships(people_at: Vec<[User; 5]>, rooms: [Room; 2], mut random: StdRng) {
    for _ in 0..rounds(40) {
        let people = &people_at[random.random_range(0..people_at.len())];
        // The first two are owners to begin with: it is mostly they who may change something.
        let actors = if random.random_bool(0.7) { 2 } else { 5 };
        let actor = &people[random.random_range(0..actors)];
        // The room's maker stays, so that somebody can always change something.
        let user = &people[random.random_range(1..5)];
        let room = &rooms[usize::from(random.random_bool(0.3))];
        let role = ["member", "moderator", "owner"][random.random_range(0..3)];
        let path = |what| format!("/api/rooms/{}/{what}", room.id);
        let answer = match random.random_range(0..5) {
            0 => remove(actor, room, user).await,
            1 => user.post(&path("leave"), &json!({})).await,
            2 => user.post(&path("join"), &json!({})).await,
            _ => add(actor, room, user, role).await,
        };
        assert!(answer.status < 500, "{answer:?}");
    }
}

/// Publishes as long as the others change things; gives the number of acks.
async fn talk(mut socket: Socket, room: Room) -> usize {
    let mut acks = 0;
    for round in 0..40 {
        let publishes = Publish::numbered(&room, &format!("{round}-"), 5);
        for reply in burst(&mut socket, &publishes).await {
            match code(&reply) {
                None => {
                    ack(&reply);
                    acks += 1;
                }
                Some((code, _)) => assert_eq!(code, "not_a_member", "{reply}"),
            }
        }
    }
    acks
}
