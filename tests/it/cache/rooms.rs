//! Lists of rooms and of what is pinned: what everybody sees of them is copied, one's own is not.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Cluster, cached, get_with, messages, queries, seen};
use crate::harness::eventually;
use crate::harness::node::Node;
use crate::harness::rest::{Answer, Room, User, register, send, text};

const LIST: &str = "/api/rooms?limit=100";

/// A room of a list.
fn listed<'a>(answer: &'a Value, room: &Room) -> Option<&'a Value> {
    let rooms = answer["rooms"].as_array().unwrap();
    rooms.iter().find(|it| it["id"] == room.id.as_str())
}

/// Asks until nothing of it had to be read.
async fn by_copies(user: &User, path: &str) -> Answer {
    eventually("all of it is there", async || {
        let answer = user.get(path).await;
        (cached(&answer) == "HIT").then_some(answer)
    })
    .await
}

#[tokio::test]
async fn a_list_is_read_by_one_query_and_then_what_has_changed() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let mut rooms = Vec::new();
    for n in 0..70 {
        rooms.push(ada.create_room(&format!("room-{n}")).await);
    }
    let before = queries(&node, "rooms/shared").await;
    let first = ada.get(LIST).await;
    assert_eq!(cached(&first), "MISS");
    assert_eq!(queries(&node, "rooms/shared").await, before + 1);
    assert_eq!(first.json()["rooms"].as_array().unwrap().len(), 70);

    let again = by_copies(&ada, LIST).await;
    assert_eq!(again.json(), first.json());
    let etag = again.header("etag").unwrap();
    let same = get_with(&ada, LIST, &[("if-none-match", etag)]).await;
    assert_eq!((same.status, same.text.as_str()), (304, ""));
    assert_eq!(queries(&node, "rooms/shared").await, before + 1);

    // Each room by itself is what the list says of it, by the same copy.
    for room in &rooms[..3] {
        let view = ada.get(&format!("/api/rooms/{}", room.id)).await;
        assert_eq!(cached(&view), "HIT");
        assert_eq!(Some(&view.json()), listed(&again.json(), room));
    }
    assert_eq!(queries(&node, "rooms/shared").await, before + 1);

    // Two of them go on, and are read, again by one query.
    for room in &rooms[..2] {
        ada.say(&room.id, "hello", "1").await.ok();
    }
    let changed = get_with(&ada, LIST, &[("if-none-match", etag)]).await;
    assert_eq!((changed.status, cached(&changed)), (200, "MISS"));
    for (n, room) in rooms.iter().enumerate() {
        let view = changed.json();
        let view = listed(&view, room).unwrap();
        let said = u64::from(n < 2);
        assert_eq!(view["last_msg_no"], said, "{view}");
        assert_eq!(view["unread"], said, "{view}");
    }
    assert_eq!(queries(&node, "rooms/shared").await, before + 2);
}

#[tokio::test]
async fn ones_own_part_is_never_somebody_elses_or_old() {
    let cluster = Cluster::new(2, &[]).await;
    let [here, there] = &cluster.nodes[..] else {
        panic!("two nodes");
    };
    let ada = register(here, "ada").await;
    let bob = register(here, "bob").await;
    let public = ada.create_room("public").await;
    let wish = json!({ "name": "secret", "slug": "secret", "is_private": true });
    let secret = ada.create_room_with(&wish).await;
    ada.say(&public.id, "hello", "1").await.ok();
    for node in [here, there] {
        let of_ada = by_copies(&ada.at(node), LIST).await.json();
        assert_eq!(listed(&of_ada, &public).unwrap()["role"], "owner");
        assert!(listed(&of_ada, &secret).is_some());
        let of_bob = by_copies(&bob.at(node), LIST).await.json();
        assert_eq!(listed(&of_bob, &public).unwrap()["role"], Value::Null);
        assert!(listed(&of_bob, &secret).is_none(), "{of_bob}");
        let wanted = json!({ "rooms": [secret.id, "secret", public.slug] });
        let found = bob.at(node).post("/api/rooms/batch", &wanted).await.ok();
        assert_eq!(found["missing"], json!([secret.id, "secret"]));
        assert_eq!(Some(&found["rooms"][0]), listed(&of_bob, &public));
    }
    // Whatever of it changes on one node is so at once on the other.
    let members = format!("/api/rooms/{}/members", secret.id);
    for round in 0..10 {
        let member = json!({ "user_id": bob.id, "role": "moderator" });
        ada.post(&members, &member).await.ok();
        let list = bob.at(there).get(LIST).await.ok();
        assert_eq!(listed(&list, &secret).unwrap()["role"], "moderator");
        let mine = bob.at(there).get("/api/rooms?mine=true").await.ok();
        assert_eq!(mine["rooms"].as_array().unwrap().len(), 1);
        let said = ada
            .say(&secret.id, "hello", &format!("s{round}"))
            .await
            .ok();
        let mark = json!({ "msg_no": said["msg_no"] });
        let read = format!("/api/rooms/{}/read", secret.id);
        let marked = bob.request(Method::PUT, &read).json(&mark);
        send(marked).await.ok();
        let list = bob.at(there).get(LIST).await.ok();
        let view = listed(&list, &secret).unwrap();
        assert_eq!(view["read_msg_no"], said["msg_no"], "{view}");
        assert_eq!(view["unread"], 0, "{view}");
        ada.delete(&format!("{members}/{}", bob.id)).await.ok();
        let list = bob.at(there).get(LIST).await.ok();
        assert!(listed(&list, &secret).is_none(), "{list}");
    }
}

#[tokio::test]
async fn lists_are_as_new_as_what_was_seen_of_their_rooms() {
    // What the other node is told comes late.
    let cluster = Cluster::new(2, &[]).await;
    let [here, there] = &cluster.nodes[..] else {
        panic!("two nodes");
    };
    there.fault("hub.changes.heard", "sleep(200)").await;
    let ada = register(here, "ada").await;
    let (one, other) = (ada.create_room("one").await, ada.create_room("other").await);
    let path = messages(&one);
    let first = ada.say(&one.id, "first", "first").await.ok();
    let pin = format!("{path}/{}/pin", text(&first["id"]));
    let pins = format!("/api/rooms/{}/pins", one.id);
    let elsewhere = ada.at(there);
    by_copies(&elsewhere, LIST).await;
    by_copies(&elsewhere, &pins).await;
    for round in 0..10 {
        let topic = json!({ "topic": format!("topic {round}") });
        let address = format!("/api/rooms/{}", other.id);
        let changed = ada.patch(&address, &topic).await.ok();
        let pinned = if round % 2 == 0 {
            send(ada.request(Method::PUT, &pin)).await
        } else {
            ada.delete(&pin).await
        };
        let seq = pinned.ok()["seq"].as_u64().unwrap();
        let cursor =
            super::seen_of(&[(&one, seq), (&other, changed["last_seq"].as_u64().unwrap())]);
        let cursor = [("hubbub-min-cursor", cursor.as_str())];
        let list = get_with(&elsewhere, LIST, &cursor).await.ok();
        assert_eq!(listed(&list, &one).unwrap()["last_seq"], seq);
        assert_eq!(listed(&list, &other).unwrap()["topic"], topic["topic"]);
        let request = elsewhere.request(Method::POST, "/api/rooms/batch");
        let request = request.header(cursor[0].0, cursor[0].1);
        let wanted = json!({ "rooms": [one.id, other.slug] });
        let found = send(request.json(&wanted)).await.ok();
        assert_eq!(found["rooms"][0]["last_seq"], seq);
        assert_eq!(found["rooms"][1]["topic"], topic["topic"]);
        let page = get_with(&elsewhere, &pins, &cursor).await.ok();
        let count = page["messages"].as_array().unwrap().len();
        assert_eq!(count, usize::from(round % 2 == 0), "{page}");
        assert!(page["last_seq"].as_u64() >= Some(seq));
    }
    // What nobody can have seen is refused, and what is no cursor.
    let ahead = seen(&one, 1_000_000);
    for (cursor, code) in [
        (ahead.as_str(), "cursor_ahead"),
        ("nonsense", "invalid_cursor"),
    ] {
        let header = [("hubbub-min-cursor", cursor)];
        for path in [LIST, &pins] {
            let answer = get_with(&elsewhere, path, &header).await;
            assert_eq!(answer.json()["code"], code, "{path}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn what_is_pinned_is_copied_and_what_was_deleted_is_gone() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await;
    let mut said = Vec::new();
    for n in 1..=3 {
        let body = format!("said {n}");
        let event = ada.say(&room.id, &body, &n.to_string()).await.ok();
        let path = format!("{}/{}", messages(&room), text(&event["id"]));
        let pin = ada.request(Method::PUT, &format!("{path}/pin"));
        send(pin).await.ok();
        said.push(path);
    }
    let pins = format!("/api/rooms/{}/pins", room.id);
    let first = by_copies(&ada, &pins).await;
    let before = queries(&node, "messages/pinned").await;
    // What is said does not touch it, but for where the log ends.
    let more = ada.say(&room.id, "more", "more").await.ok();
    let again = ada.get(&pins).await;
    assert_eq!(cached(&again), "HIT");
    assert_eq!(again.json()["last_seq"], more["seq"]);
    assert_eq!(again.json()["messages"], first.json()["messages"]);
    assert_eq!(queries(&node, "messages/pinned").await, before);

    let text = json!({ "body": "edited" });
    ada.patch(&said[0], &text).await.ok();
    let page = ada.get(&pins).await.ok();
    assert_eq!(page["messages"][0]["body"], "edited");
    ada.delete(&said[1]).await.ok();
    let page = ada.get(&pins).await;
    assert!(!page.text.contains("said 2"), "{}", page.text);
    ada.delete(&format!("{}/pin", said[2])).await.ok();
    let page = ada.get(&format!("{pins}?after=1")).await;
    assert!(!page.text.contains("said 3"), "{}", page.text);
}
