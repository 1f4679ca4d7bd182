//! An event that the database refuses: it fails alone, and its sender's order holds.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinSet;

use super::cluster::Cluster;
use super::log::verified;
use super::pipeline::{Publish, ack, ascending, burst, code, refused, replies, send};
use crate::harness::rest::Room;
use crate::harness::socket::Socket;

#[tokio::test]
async fn it_fails_alone_and_its_senders_later_ones_wait_for_it() {
    let cluster = Cluster::start(1, &[("WRITERS", "1")]).await;
    let constraint = "ALTER TABLE messages ADD CONSTRAINT no_poison CHECK (body <> 'poison')";
    cluster.sql.batch_execute(constraint).await.expect("added");
    let people = cluster.users(["ada", "bob", "carol"]).await;
    let room = cluster.room("room", &people).await;
    let other = cluster.room("other", &people).await;
    let [ada, bob, carol] = &people;
    let mut ada_socket = cluster.socket(0, ada).await;
    let mut others = [cluster.socket(0, bob).await, cluster.socket(0, carol).await];
    let before = cluster.last_seq(&room).await;

    let mut poisonous = Publish::numbered(&room, "a", 6);
    "poison".clone_into(&mut poisonous[2].body);
    let elsewhere = Publish::numbered(&other, "e", 3);
    // Held up together, so that they are written together.
    let locks = [
        cluster.lock_head(&room).await,
        cluster.lock_head(&other).await,
    ];
    let ids = send(&mut ada_socket, &poisonous[..4]).await;
    let mut other_ids = Vec::new();
    for socket in &mut others {
        other_ids.push(send(socket, &Publish::numbered(&room, "o", 10)).await);
    }
    let elsewhere_ids = send(&mut ada_socket, &elsewhere).await;
    let more_ids = send(&mut ada_socket, &poisonous[4..]).await;
    cluster.queued(0, 4 + 20 + 3 + 2).await;
    for lock in locks {
        lock.release().await;
    }

    let ids = [ids, more_ids, elsewhere_ids].concat();
    let answers = replies(&mut ada_socket, &ids).await;
    assert_eq!(code(&answers[2]), Some(refused("rejected", false)));
    for later in &answers[3..6] {
        assert_eq!(
            code(later),
            Some(refused("earlier_failed", true)),
            "{later}"
        );
    }
    let mut acks: Vec<_> = answers[..2].iter().map(ack).collect();
    let elsewhere: Vec<_> = answers[6..].iter().map(ack).collect();
    ascending(&elsewhere);
    for (socket, ids) in others.iter_mut().zip(&other_ids) {
        let others: Vec<_> = replies(socket, ids).await.iter().map(ack).collect();
        ascending(&others);
    }
    assert_eq!(cluster.last_seq(&room).await, before + 2 + 20);

    // In their order again, this time without it.
    let again = burst(&mut ada_socket, &poisonous[3..]).await;
    acks.extend(again.iter().map(ack));
    ascending(&acks);
    // Its key is still free: nothing was stored under it.
    let mended = Publish::new(&room, "mended", &poisonous[2].client_id);
    ack(&burst(&mut ada_socket, &[mended]).await[0]);
    let log = verified(&cluster.sql, &room.id).await;
    let expected = before + 2 + 20 + 3 + 1;
    assert_eq!(log.last().expect("events").seq, expected);
    verified(&cluster.sql, &other.id).await;
}

/// Two nodes, senders with and without poison, and a trigger.
#[tokio::test]
async fn under_load_nobody_else_notices() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let cluster = Cluster::start(2, &[("WRITERS", "1")]).await;
    let trigger = "CREATE FUNCTION refuse_poison() RETURNS trigger LANGUAGE plpgsql AS
                   'BEGIN IF NEW.body = ''poison'' THEN RAISE ''poison''; END IF; RETURN NEW; END';
                   CREATE TRIGGER refuse_poison BEFORE INSERT ON messages
                   FOR EACH ROW EXECUTE FUNCTION refuse_poison()";
    cluster.sql.batch_execute(trigger).await.expect("added");
    let people = cluster.users(["ada", "bob", "carol", "dave"]).await;
    let room = cluster.room("room", &people).await;
    let mut senders = JoinSet::new();
    for (n, user) in people.iter().enumerate() {
        let socket = cluster.socket(n % 2, user).await;
        let poison = if n < 2 { 0.1 } else { 0.0 };
        let random = StdRng::seed_from_u64(seed.wrapping_add(n as u64));
        senders.spawn(publish_poisoned(socket, room.clone(), poison, random));
    }
    let stored: usize = senders.join_all().await.into_iter().sum();
    let log = verified(&cluster.sql, &room.id).await;
    let messages = log.iter().filter(|event| event.client_id().is_some());
    assert_eq!(messages.count(), stored, "what is acknowledged is stored");
}

/// Publishes bursts, some of it poison, and sends again what had to wait for a failed one. Gives
/// the number of acks.
async fn publish_poisoned(
    mut socket: Socket,
    room: Room,
    poison: f64,
    mut random: StdRng,
) -> usize {
    let mut acks = 0;
    for round in 0..10 {
        let mut unsent = Publish::numbered(&room, &format!("{round}-"), 12);
        for publish in &mut unsent {
            if random.random_bool(poison) {
                "poison".clone_into(&mut publish.body);
            }
        }
        while !unsent.is_empty() {
            let answers = burst(&mut socket, &unsent).await;
            let good = answers.iter().filter(|answer| code(answer).is_none());
            acks += ascending(good.map(|answer| &answer["ok"])).len();
            let answered = unsent.into_iter().zip(&answers);
            unsent = answered
                .filter(|(publish, answer)| match code(answer) {
                    Some((code, retry)) if code == "earlier_failed" => {
                        assert!(retry && poison > 0.0, "{answer}");
                        true
                    }
                    Some(refusal) => {
                        assert_eq!(refusal, ("rejected".to_owned(), false));
                        assert_eq!(publish.body, "poison");
                        false
                    }
                    None => {
                        assert_ne!(publish.body, "poison");
                        false
                    }
                })
                .map(|(publish, _)| publish)
                .collect();
        }
    }
    acks
}
