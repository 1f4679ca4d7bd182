//! Rooms over REST: making, finding and listing them; users too.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::harness::node::Node;
use crate::harness::rest::{User, register, text};

#[tokio::test]
async fn a_room_is_as_it_was_made() {
    let (node, database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let body = json!({
        "name": "Team 7: Ops!",
        "topic": "pagers\nand <b>coffee</b>",
        "is_private": true,
    });
    let answer = ada.post("/api/rooms", &body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let room = answer.json();
    assert_eq!(room["name"], body["name"]);
    assert_eq!(room["topic"], body["topic"]);
    assert_eq!(room["slug"], "team-7-ops");
    assert_eq!(room["is_private"], true);
    assert_eq!(room["role"], "owner");
    assert_eq!(room["created_by"], ada.id.as_str());
    assert_eq!(
        (&room["last_seq"], &room["last_msg_no"]),
        (&json!(0), &json!(0))
    );
    assert!(
        room["epoch"].as_i64().is_some_and(|epoch| epoch > 0),
        "{room}"
    );
    for name in [text(&room["id"]), text(&room["slug"])] {
        assert_eq!(ada.get(&format!("/api/rooms/{name}")).await.ok(), room);
    }
    // Room, head and owner, and no event.
    let counts = database
        .connect()
        .await
        .query_one(
            "SELECT (SELECT count(*) FROM room_heads), (SELECT count(*) FROM room_members),
                    (SELECT count(*) FROM room_events)",
            &[],
        )
        .await
        .expect("counts");
    let counts: [i64; 3] = [counts.get(0), counts.get(1), counts.get(2)];
    assert_eq!(counts, [1, 1, 0]);
}

#[tokio::test]
async fn a_slug_that_is_made_gives_way_and_one_that_is_wished_does_not() {
    let (node, database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let mut slugs = HashSet::new();
    for _ in 0..3 {
        let room = ada.create_room_with(&json!({ "name": "General" })).await;
        assert!(room.slug.starts_with("general"), "{}", room.slug);
        assert!(slugs.insert(room.slug));
    }
    let wished = json!({ "name": "x", "slug": "general" });
    let answer = ada.post("/api/rooms", &wished).await;
    answer.problem(409, "slug_taken");
    // A refused room leaves nothing behind.
    let counts = database
        .connect()
        .await
        .query_one(
            "SELECT (SELECT count(*) FROM rooms), (SELECT count(*) FROM room_heads),
                    (SELECT count(*) FROM room_members)",
            &[],
        )
        .await
        .expect("counts");
    let counts: [i64; 3] = [counts.get(0), counts.get(1), counts.get(2)];
    assert_eq!(counts, [3, 3, 3]);
    let nameless = ada.create_room_with(&json!({ "name": "\u{5b89}" })).await;
    assert!(nameless.slug.starts_with("room-"), "{}", nameless.slug);
}

#[tokio::test]
async fn what_cannot_be_a_room_is_refused_by_field() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    for (body, field) in [
        (json!({ "name": "" }), "name"),
        (json!({ "name": " x" }), "name"),
        (json!({ "name": "x".repeat(81) }), "name"),
        (json!({ "name": "x", "topic": "x".repeat(501) }), "topic"),
        (json!({ "name": "x", "slug": "Upper" }), "slug"),
        (json!({ "name": "x", "slug": "" }), "slug"),
        (json!({ "name": "x", "slug": "x".repeat(65) }), "slug"),
        (json!({ "name": "x", "is_private": "yes" }), "is_private"),
        (json!({ "slug": "x" }), "name"),
    ] {
        let answer = ada.post("/api/rooms", &body).await;
        let problem = answer.problem(400, "invalid_request");
        assert_eq!(problem["errors"][0]["field"], field, "{answer:?}");
    }
    // What is counted are characters, not bytes.
    let long = json!({ "name": "\u{e9}".repeat(80), "topic": "\u{5b89}".repeat(500) });
    ada.create_room_with(&long).await;
}

/// All pages of a list, one after the other.
async fn pages(user: &User, path: &str, field: &str, limit: u32) -> Vec<Value> {
    let mut found = Vec::new();
    let mut after = String::new();
    loop {
        let separator = if path.contains('?') { '&' } else { '?' };
        let address = format!("{path}{separator}limit={limit}{after}");
        let page = user.get(&address).await.ok();
        let entries = page[field].as_array().expect("entries");
        assert!(entries.len() <= limit as usize, "{page}");
        found.extend(entries.clone());
        match &page["next"] {
            Value::Null => return found,
            next => {
                assert_eq!(entries.len(), limit as usize, "a page with a next is full");
                after = format!("&after={}", text(next));
            }
        }
    }
}

#[tokio::test]
async fn the_list_has_public_rooms_and_ones_own_the_newest_first() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let bob = register(&node, "bob").await;
    let mut of_ada = Vec::new();
    let mut of_bob = Vec::new();
    for n in 0..23 {
        let is_private = n % 3 == 0;
        let room = ada
            .create_room_with(&json!({ "name": format!("room {n}"), "is_private": is_private }))
            .await;
        if !is_private {
            of_bob.push(room.id.clone());
        }
        if n % 6 == 0 {
            let body = json!({ "user_id": bob.id });
            let path = format!("/api/rooms/{}/members", room.id);
            assert_eq!(ada.post(&path, &body).await.status, 201);
            of_bob.push(room.id.clone());
        }
        of_ada.push(room.id);
    }
    of_ada.reverse();
    of_bob.reverse();
    let ids = |rooms: Vec<Value>| rooms.iter().map(|it| text(&it["id"])).collect::<Vec<_>>();
    for limit in [1, 5, 22, 23, 100] {
        assert_eq!(ids(pages(&ada, "/api/rooms", "rooms", limit).await), of_ada);
        assert_eq!(ids(pages(&bob, "/api/rooms", "rooms", limit).await), of_bob);
    }
    let mine = pages(&bob, "/api/rooms?mine=true", "rooms", 3).await;
    assert_eq!(mine.len(), 4, "{mine:?}");
    assert!(mine.iter().all(|room| room["role"] == "member"), "{mine:?}");
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("after=x", "after"),
        ("mine=maybe", "mine"),
    ] {
        let answer = ada.get(&format!("/api/rooms?{query}")).await;
        let problem = answer.problem(400, "invalid_request");
        assert_eq!(problem["errors"][0]["field"], field, "{answer:?}");
    }
}

#[tokio::test]
async fn users_are_found_by_id_and_by_name_and_keep_their_address_to_themselves() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "Ada").await;
    let bob = register(&node, "bob").await;
    for name in [ada.id.as_str(), "Ada", "ada"] {
        let user = bob.get(&format!("/api/users/{name}")).await.ok();
        assert_eq!(user["id"], ada.id.as_str());
        assert_eq!(user["username"], "Ada");
        assert!(user.get("email").is_none(), "{user}");
    }
    for nobody in [
        "carol",
        "a%00b",
        "%27%20OR%201%3D1",
        "00000000-0000-0000-0000-000000000000",
    ] {
        let answer = bob.get(&format!("/api/users/{nobody}")).await;
        answer.problem(404, "user_not_found");
    }
}
