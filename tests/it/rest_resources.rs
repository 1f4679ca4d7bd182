//! What REST has beside the sockets' commands: profiles, finding users, several rooms at once,
//! permalinks, what is unread, who is there; and the links from page to page.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::node::Node;
use crate::harness::rest::{Answer, User, http, register, send, text};
use crate::harness::{eventually, socket::Socket};

/// The address of the next page, if there is one.
fn next(answer: &Answer) -> Option<String> {
    let link = answer.header("link")?;
    let (address, relation) = link.strip_prefix('<')?.split_once('>')?;
    assert_eq!(relation, "; rel=\"next\"", "{link}");
    Some(address.to_owned())
}

/// What stands in `list` on all pages, by their links.
async fn all_pages(user: &User, path: &str, list: &str) -> Vec<Value> {
    let (mut found, mut page) = (Vec::new(), Some(path.to_owned()));
    while let Some(path) = page {
        let answer = user.get(&path).await;
        let body = answer.ok();
        found.extend(body[list].as_array().expect("a list").clone());
        page = next(&answer);
        assert_eq!(page.is_some(), !body["next"].is_null(), "{answer:?}");
        assert!(found.len() < 1000, "pages without end");
    }
    found
}

#[tokio::test]
async fn a_profile_is_changed_and_seen_by_others() {
    let (node, _database) = Node::on_fresh_database().await;
    let (ada, bob) = (register(&node, "ada").await, register(&node, "bob").await);
    let fresh = ada.get("/api/users/me").await.ok();
    assert_eq!(
        (&fresh["bio"], &fresh["avatar_url"]),
        (&json!(""), &Value::Null)
    );
    let avatar = "https://cdn.example.org/ada.png?s=64";
    let wanted =
        json!({ "display_name": "Ada L.", "bio": "Numbers,\nmostly.", "avatar_url": avatar });
    let changed = ada.patch("/api/users/me", &wanted).await.ok();
    for field in ["display_name", "bio", "avatar_url"] {
        assert_eq!(changed[field], wanted[field], "{field}");
    }
    assert_eq!(changed["email"], "ada@example.org");
    for path in ["/api/users/ada", &format!("/api/users/{}", ada.id)] {
        let seen = bob.get(path).await.ok();
        assert_eq!(seen["avatar_url"], avatar);
        assert!(seen.get("email").is_none(), "{seen}");
    }
    // What is absent stays, null takes away.
    let changed = ada
        .patch("/api/users/me", &json!({ "avatar_url": null }))
        .await
        .ok();
    assert_eq!(changed["avatar_url"], Value::Null);
    assert_eq!(changed["bio"], wanted["bio"]);
    let same = ada.patch("/api/users/me", &json!({})).await.ok();
    assert_eq!(same, changed);
    for (field, wrong) in [
        ("display_name", json!("")),
        ("display_name", json!(" x")),
        ("display_name", json!("x".repeat(81))),
        ("display_name", json!(7)),
        ("bio", json!("x".repeat(501))),
        ("bio", json!("a\u{0}b")),
        ("avatar_url", json!("http://example.org/")),
        ("avatar_url", json!("javascript:alert(1)")),
        (
            "avatar_url",
            json!(format!("https://e.org/{}", "x".repeat(3000))),
        ),
    ] {
        let answer = ada.patch("/api/users/me", &json!({ field: wrong })).await;
        assert_eq!(answer.status, 400, "{field}: {answer:?}");
        assert_eq!(answer.json()["errors"][0]["field"], field);
    }
    assert_eq!(ada.get("/api/users/me").await.ok(), same);
    let request = http().patch(node.url("/api/users/me"));
    send(request.json(&json!({})))
        .await
        .problem(401, "unauthenticated");
}

#[tokio::test]
async fn users_are_found_by_how_their_names_begin() {
    let (node, database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    for (name, shown) in [
        ("anna", "Zoe"),
        ("Annika", "Annika"),
        ("bert", "ANNO 1900"),
        ("an_t", "%"),
        ("zed", "_"),
    ] {
        let user = register(&node, name).await;
        user.patch("/api/users/me", &json!({ "display_name": shown }))
            .await
            .ok();
    }
    let gone = register(&node, "annette").await;
    let client = database.connect().await;
    let deactivate = "UPDATE users SET is_active = false WHERE username = 'annette'";
    client.execute(deactivate, &[]).await.expect("it is there");
    let found = async |query: &str| -> Vec<String> {
        let users = all_pages(&ada, &format!("/api/users?limit=1&query={query}"), "users").await;
        users.iter().map(|user| text(&user["username"])).collect()
    };
    assert_eq!(found("ANN").await, ["anna", "Annika", "bert"]);
    assert_eq!(found("annika").await, ["Annika"]);
    assert_eq!(found("zoe").await, ["anna"]);
    // These stand for themselves.
    assert_eq!(found("%25").await, ["an_t"]);
    assert_eq!(found("_").await, ["zed"]);
    assert_eq!(found("an_").await, ["an_t"]);
    assert_eq!(found("nobody").await, Vec::<String>::new());
    assert_eq!(found(&gone.id).await, Vec::<String>::new());
    let users = ada.get("/api/users?query=anna").await.ok();
    assert!(users["users"][0].get("email").is_none(), "{users}");
    for (query, code) in [
        ("", "invalid_request"),
        ("?query=", "invalid_request"),
        ("?query=a&query=b", "invalid_request"),
        ("?query=a&limit=0", "invalid_request"),
        ("?query=a&limit=101", "invalid_request"),
        ("?query=a&after=", "invalid_cursor"),
        ("?query=a&after=AAAA", "invalid_cursor"),
        ("?query=%00", "invalid_text"),
    ] {
        let answer = ada.get(&format!("/api/users{query}")).await;
        answer.problem(400, code);
    }
}

/// However many users there are, a page walks an index.
#[tokio::test]
async fn finding_users_reads_no_whole_table() {
    let (_node, database) = Node::on_fresh_database().await;
    let client = database.connect().await;
    client
        .batch_execute(
            "INSERT INTO users (id, username, email, display_name, password_hash)
             SELECT gen_random_uuid(), 'user' || n, n || '@example.org', 'Person ' || n, ''
             FROM generate_series(1, 20000) AS n;
             ANALYZE users;
             SET plan_cache_mode = force_generic_plan;",
        )
        .await
        .expect("they are made");
    let statement = include_str!("../../sql/queries/users/search.sql");
    client
        .batch_execute(&format!("PREPARE search AS {statement}"))
        .await
        .expect("it is valid");
    let explain = "EXPLAIN (ANALYZE, COSTS OFF) EXECUTE search('user1', 'user1\u{10FFFF}', '', \
                   '00000000-0000-0000-0000-000000000000', 21)";
    let rows = client.query(explain, &[]).await.expect("it runs");
    let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let plan = plan.join("\n");
    assert!(!plan.contains("Seq Scan"), "{plan}");
    for index in ["users_username_prefix", "users_display_name_prefix"] {
        assert!(plan.contains(index), "{plan}");
    }
}

#[tokio::test]
async fn several_rooms_are_read_at_once() {
    let (node, _database) = Node::on_fresh_database().await;
    let (ada, bob) = (register(&node, "ada").await, register(&node, "bob").await);
    let public = ada.create_room("public").await;
    let other = ada.create_room("other").await;
    let private = ada
        .create_room_with(&json!({ "name": "p", "slug": "secret", "is_private": true }))
        .await;
    let wanted = json!({ "rooms": [other.slug, "none", public.id, private.id, "secret", public.slug, "No Slug"] });
    let answer = bob.post("/api/rooms/batch", &wanted).await.ok();
    let ids: Vec<String> = answer["rooms"]
        .as_array()
        .expect("rooms")
        .iter()
        .map(|room| text(&room["id"]))
        .collect();
    assert_eq!(ids, [other.id.clone(), public.id.clone()]);
    assert_eq!(
        answer["missing"],
        json!(["none", private.id, "secret", "No Slug"])
    );
    let answer = ada.post("/api/rooms/batch", &wanted).await.ok();
    assert_eq!(answer["missing"], json!(["none", "No Slug"]));
    let alone = ada.get(&format!("/api/rooms/{}", private.id)).await.ok();
    assert_eq!(answer["rooms"][2], alone);
    let nothing = ada
        .post("/api/rooms/batch", &json!({ "rooms": [] }))
        .await
        .ok();
    assert_eq!(nothing, json!({ "rooms": [], "missing": [] }));
    let many: Vec<&str> = vec![&public.id; 10_000];
    let answer = ada
        .post("/api/rooms/batch", &json!({ "rooms": many }))
        .await;
    let problem = answer.problem(400, "invalid_request");
    assert_eq!(problem["errors"][0]["field"], "rooms");
}

#[tokio::test]
async fn a_permalink_leads_to_the_message_and_what_is_around_it() {
    let (node, _database) = Node::on_fresh_database().await;
    let (ada, bob) = (register(&node, "ada").await, register(&node, "bob").await);
    let room = ada.create_room("public").await;
    let mut ids = Vec::new();
    for n in 0..60 {
        ids.push(text(
            &ada.say(&room.id, &format!("m{n}"), &format!("c{n}"))
                .await
                .ok()["id"],
        ));
    }
    for (n, id) in ids.iter().enumerate().filter(|(n, _)| n % 13 == 0) {
        let answer = ada.get(&format!("/api/messages/{id}")).await;
        let linked = answer.ok();
        assert_eq!(linked["room"], room.id.as_str());
        assert_eq!(linked["message"]["body"], format!("m{n}"));
        let page = text(&linked["page"]);
        let link = format!("<{page}>; rel=\"collection\"");
        assert_eq!(answer.header("link"), Some(link.as_str()));
        let page = ada.get(&page).await.ok();
        let messages = page["messages"].as_array().expect("messages");
        assert!(
            messages.iter().any(|message| message == &linked["message"]),
            "{page}"
        );
    }
    let last = format!("/api/messages/{}", ids[59]);
    bob.get(&last).await.problem(403, "not_a_member");
    send(http().get(node.url(&last)))
        .await
        .problem(401, "unauthenticated");
    bob.get("/api/messages/x")
        .await
        .problem(404, "message_not_found");
    let unknown = "/api/messages/00000000-0000-7000-8000-000000000000";
    bob.get(unknown).await.problem(404, "message_not_found");
    // Of a private room nobody learns anything.
    let private = ada
        .create_room_with(&json!({ "name": "p", "is_private": true, "history": "joined" }))
        .await;
    let before = text(&ada.say(&private.id, "before", "x").await.ok()["id"]);
    bob.get(&format!("/api/messages/{before}"))
        .await
        .problem(404, "message_not_found");
    // Nor of what was before one came.
    let members = format!("/api/rooms/{}/members", private.id);
    ada.post(&members, &json!({ "user_id": bob.id })).await.ok();
    bob.get(&format!("/api/messages/{before}"))
        .await
        .problem(404, "message_not_found");
    let after = text(&ada.say(&private.id, "after", "y").await.ok()["id"]);
    bob.get(&format!("/api/messages/{after}")).await.ok();
}

#[tokio::test]
async fn what_is_unread_in_all_rooms_is_one_answer() {
    let (node, _database) = Node::on_fresh_database().await;
    let (ada, bob) = (register(&node, "ada").await, register(&node, "bob").await);
    let mut rooms = Vec::new();
    for n in 0..5 {
        let room = ada.create_room(&format!("room-{n}")).await;
        bob.join_room(&room).await;
        for m in 0..n {
            let body = json!({ "body": "x", "mentions": if m == 0 { json!([bob.id]) } else { json!([]) } });
            ada.post(&format!("/api/rooms/{}/messages", room.id), &body)
                .await
                .ok();
        }
        rooms.push(room);
    }
    let unread = bob.get("/api/me/unread").await.ok();
    assert_eq!(
        (&unread["room_count"], &unread["unread"]),
        (&json!(4), &json!(10))
    );
    let paged = all_pages(&bob, "/api/me/unread?limit=1", "rooms").await;
    assert_eq!(unread["rooms"], json!(paged));
    for (n, room) in rooms.iter().enumerate() {
        let listed = paged.iter().find(|it| it["room"] == room.id.as_str());
        let shown = bob.get(&format!("/api/rooms/{}", room.id)).await.ok();
        let Some(listed) = listed else {
            assert_eq!((n, &shown["unread"]), (0, &json!(0)));
            continue;
        };
        for field in [
            "unread",
            "mentions",
            "last_seq",
            "last_msg_no",
            "read_msg_no",
        ] {
            assert_eq!(listed[field], shown[field], "{field} of {n}");
        }
        assert_eq!(
            (&listed["unread"], &listed["mentions"]),
            (&json!(n), &json!(1))
        );
    }
    for (room, msg_no) in [(&rooms[4], 4), (&rooms[3], 1)] {
        let path = format!("/api/rooms/{}/read", room.id);
        send(
            bob.request(Method::PUT, &path)
                .json(&json!({ "msg_no": msg_no })),
        )
        .await
        .ok();
    }
    let unread = bob.get("/api/me/unread").await.ok();
    assert_eq!(
        (&unread["room_count"], &unread["unread"]),
        (&json!(3), &json!(5))
    );
    // Other people's rooms are no matter of hers.
    let cat = register(&node, "cat").await;
    let nothing = json!({ "room_count": 0, "unread": 0, "rooms": [], "next": null });
    assert_eq!(cat.get("/api/me/unread").await.ok(), nothing);
}

#[tokio::test]
async fn who_is_there_is_told_to_members() {
    let (node, _database) = Node::on_fresh_database().await;
    let (ada, bob) = (register(&node, "ada").await, register(&node, "bob").await);
    let room = ada.create_room("public").await;
    let path = format!("/api/rooms/{}/presence", room.slug);
    let empty = json!({ "room": room.id, "count": 0, "users": [] });
    assert_eq!(ada.get(&path).await.ok(), empty);
    bob.get(&path).await.problem(403, "not_a_member");
    bob.join_room(&room).await;
    let mut socket = Socket::connect(&node, &bob).await;
    socket.join(&room.id).await;
    let here = json!({ "room": room.id, "count": 1, "users": [bob.id] });
    eventually("bob is seen", async || {
        (ada.get(&path).await.ok() == here).then_some(())
    })
    .await;
}

/// The links of every list lead through all of it, each entry once.
#[tokio::test]
async fn lists_are_walked_by_their_links() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let mut rooms = BTreeSet::new();
    for n in 0..5 {
        rooms.insert(ada.create_room(&format!("room-{n}")).await.id);
    }
    let general = ada.create_room("general").await;
    rooms.insert(general.id.clone());
    let (mut members, mut banned) = (BTreeSet::from([ada.id.clone()]), BTreeSet::new());
    for n in 0..3 {
        let user = register(&node, &format!("user-{n}")).await;
        user.join_room(&general).await;
        members.insert(user.id.clone());
        let stranger = register(&node, &format!("stranger-{n}")).await;
        let body = json!({ "user_id": stranger.id });
        ada.post("/api/rooms/general/bans", &body).await.ok();
        banned.insert(stranger.id);
    }
    for n in 0..7 {
        ada.say(&general.id, &format!("m{n}"), &format!("c{n}"))
            .await
            .ok();
    }
    let walked = async |path: &str, list: &str, id: &str| -> BTreeSet<String> {
        let found = all_pages(&ada, path, list).await;
        let ids: BTreeSet<String> = found.iter().map(|entry| text(&entry[id])).collect();
        assert_eq!(ids.len(), found.len(), "{path}: each once");
        ids
    };
    assert_eq!(walked("/api/rooms?limit=2", "rooms", "id").await, rooms);
    assert_eq!(
        walked("/api/rooms?mine=true&limit=4", "rooms", "id").await,
        rooms
    );
    assert_eq!(
        walked("/api/rooms/general/members?limit=1", "members", "user_id").await,
        members
    );
    assert_eq!(
        walked("/api/rooms/general/bans?limit=2", "bans", "user_id").await,
        banned
    );
    assert_eq!(
        walked("/api/auth/sessions?limit=1", "sessions", "id")
            .await
            .len(),
        1
    );
    for query in ["?limit=3", "?after=0&limit=3", "?limit=3&before=1000"] {
        let path = format!("/api/rooms/general/messages{query}");
        assert_eq!(walked(&path, "messages", "id").await.len(), 7, "{query}");
    }
}
