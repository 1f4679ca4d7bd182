//! Many publishers on several nodes, in shared rooms and in rooms of their own.

use std::collections::{HashMap, HashSet};

use hubbub::protocol::event::EventBody;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::cluster::Cluster;
use super::log::{Logged, verified, verify_history};
use super::pipeline::{ack, body, seq};
use crate::harness::rest::{Room, User};
use crate::harness::socket::Socket;

/// Publishes of each connection, and a third of it over REST for each sender there.
const EACH: usize = 150;

/// Something that was said and acknowledged.
struct Said {
    room: String,
    user_id: String,
    client_id: String,
    what: What,
    ack: Value,
}

enum What {
    Message(String),
    Event(Value),
}

#[tokio::test]
async fn what_is_acknowledged_is_stored_once_and_each_sender_keeps_the_order() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let cluster = Cluster::start(3, &[]).await;
    let users = cluster.users(["ada", "bob", "carol", "dave", "eve"]).await;
    let mut rooms = Vec::new();
    for name in ["shared1", "shared2", "own0", "own1", "own2"] {
        rooms.push(cluster.room(name, &users).await);
    }

    let mut senders = JoinSet::new();
    for connection in 0..6 {
        // Somebody has two connections, on two nodes.
        let user = &users[connection % users.len()];
        let node = connection % cluster.nodes.len();
        let socket = cluster.socket(node, user).await;
        let rooms = [&rooms[0], &rooms[1], &rooms[2 + node]].map(Room::clone);
        let random = StdRng::seed_from_u64(seed.wrapping_add(connection as u64));
        let prefix = format!("w{connection}-");
        senders.spawn(say_by_socket(
            socket,
            user.id.clone(),
            rooms,
            prefix,
            random,
        ));
    }
    for (n, user) in users[..2].iter().enumerate() {
        let users = cluster.nodes.iter().map(|node| user.at(node)).collect();
        senders.spawn(say_by_rest(users, rooms.clone(), format!("r{n}-")));
    }
    let said = senders.join_all().await;

    verify_acks(said.iter().flatten());
    for room in &rooms {
        let log = verified(&cluster.sql, &room.id).await;
        let in_room = |said: &&Said| said.room == room.id;
        let logged: HashMap<_, _> = log
            .iter()
            .filter_map(|event| Some(((event.user_id.to_string(), event.client_id()?), event)))
            .collect();
        let all = said.iter().flatten().filter(in_room);
        assert_eq!(all.clone().count(), logged.len(), "stored and said");
        for said in all {
            let key = (said.user_id.clone(), &*said.client_id);
            verify_said(said, logged[&key]);
        }
        for one_sender in &said {
            let seqs = one_sender.iter().filter(in_room).map(|it| seq(&it.ack));
            assert!(seqs.is_sorted_by(|a, b| a < b), "a sender keeps the order");
        }
        for node in &cluster.nodes {
            verify_history(&users[0].at(node), &room.id, &log).await;
        }
    }
}

/// In bursts of random length, into random rooms.
async fn say_by_socket(
    mut socket: Socket,
    user_id: String,
    rooms: [Room; 3],
    prefix: String,
    mut random: StdRng,
) -> Vec<Said> {
    let mut all = Vec::new();
    while all.len() < EACH {
        let mut sent = HashMap::new();
        let mut order = Vec::new();
        for n in all.len()..all.len() + random.random_range(1..=30) {
            let room = &rooms[random.random_range(0..rooms.len())].id;
            let client_id = format!("{prefix}{n}");
            let (id, what) = if random.random_bool(0.15) {
                let data = json!({ "n": n, "of": [client_id, null, 0.5, -1] });
                let fields = json!({ "room": room, "name": "mark", "data": data, "volatile": false, "client_id": client_id });
                (socket.send_command("emit", fields).await, What::Event(data))
            } else {
                let body = body(&prefix, n);
                let fields = json!({ "room": room, "body": body, "client_id": client_id });
                let id = socket.send_command("publish", fields).await;
                (id, What::Message(body))
            };
            order.push(id);
            sent.insert(id, (room.clone(), client_id, what));
        }
        let mut acks = HashMap::new();
        for _ in &order {
            let reply = socket.reply().await.expect("the connection lasts");
            acks.insert(reply["id"].as_u64().expect("an id"), ack(&reply));
        }
        for id in order {
            let (room, client_id, what) = sent.remove(&id).expect("it was sent");
            all.push(Said {
                room,
                user_id: user_id.clone(),
                client_id,
                what,
                ack: acks.remove(&id).expect("each is answered once"),
            });
        }
    }
    all
}

/// One after the other, each on another node and in another room.
async fn say_by_rest(user_at: Vec<User>, rooms: Vec<Room>, prefix: String) -> Vec<Said> {
    let mut all = Vec::new();
    for n in 0..EACH / 3 {
        let user = &user_at[n % user_at.len()];
        let room = &rooms[n % rooms.len()].id;
        let (body, client_id) = (body(&prefix, n), format!("{prefix}{n}"));
        let answer = user.say(room, &body, &client_id).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        all.push(Said {
            room: room.clone(),
            user_id: user.id.clone(),
            client_id,
            what: What::Message(body),
            ack: answer.json(),
        });
    }
    all
}

fn verify_acks<'a>(said: impl Iterator<Item = &'a Said>) {
    let (mut ids, mut places) = (HashSet::new(), HashSet::new());
    for said in said {
        let id = said.ack["id"].as_str().expect("an id");
        assert!(ids.insert(id), "an id twice: {}", said.ack);
        let place = (&said.room, seq(&said.ack));
        assert!(places.insert(place), "a seq twice: {}", said.ack);
    }
}

fn verify_said(said: &Said, event: &Logged) {
    event.is_told_by(&said.ack);
    match (&said.what, &event.body) {
        (What::Message(said), EventBody::Message { body, .. }) => {
            assert_eq!(Some(&**said), body.text());
        }
        (What::Event(said), EventBody::Custom { name, data, .. }) => {
            assert_eq!(&**name, "mark");
            let data: Value = serde_json::from_str(data.json()).expect("JSON");
            assert_eq!(*said, data);
        }
        _ => panic!("another kind of event: {event:?}"),
    }
}
