//! What HTTP says of it.

use std::io::Read as _;

use flate2::read::GzDecoder;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Cluster, cached, get_with, messages, queries, seen};
use crate::harness::eventually;
use crate::harness::node::Node;
use crate::harness::rest::{Answer, register, send};

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again_and_not_read() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await;
    for n in 1..=5 {
        ada.say(&room.id, "hello", &n.to_string()).await.ok();
    }
    let paths = [
        messages(&room),
        format!("{}?before=4", messages(&room)),
        format!("{}?after=1&limit=2", messages(&room)),
        format!("/api/rooms/{}/members", room.id),
        format!("/api/users/{}", ada.id),
        format!("/api/rooms/{}", room.slug),
    ];
    for path in &paths {
        let first = ada.get(path).await;
        let etag = first.header("etag").expect("a tag").to_owned();
        assert!(etag.starts_with("W/\"1-"), "{etag}");
        assert_eq!(first.header("cache-control"), Some("private, no-cache"));
        assert!(first.header("vary").unwrap().contains("Accept-Encoding"));
        assert_eq!(first.header("content-type"), Some("application/json"));
        let again = eventually("it is there", async || {
            let again = ada.get(path).await;
            assert_eq!(again.json(), first.json(), "{path}");
            assert_eq!(again.header("etag"), Some(&*etag));
            (cached(&again) == "HIT").then_some(again)
        })
        .await;
        assert!(again.header("age").unwrap().parse::<u64>().is_ok());
        for named in [etag.as_str(), "*", &format!("\"x\", {etag}")] {
            let same = get_with(&ada, path, &[("if-none-match", named)]).await;
            assert_eq!((same.status, same.text.as_str()), (304, ""), "{path}");
            assert_eq!(same.header("etag"), Some(&*etag));
        }
        for other in ["\"x\"", "W/\"1-1-1\"", "garbage", ""] {
            let whole = get_with(&ada, path, &[("if-none-match", other)]).await;
            assert_eq!((whole.status, &whole.text), (200, &again.text), "{path}");
        }
        let head = send(ada.request(Method::HEAD, path)).await;
        assert_eq!((head.status, head.text.as_str()), (200, ""));
        assert_eq!(head.header("etag"), Some(&*etag));
    }
    let before = queries(&node, "messages/before").await;
    for _ in 0..5 {
        assert_eq!(cached(&ada.get(&paths[0]).await), "HIT");
    }
    assert_eq!(queries(&node, "messages/before").await, before);
}

#[tokio::test]
async fn a_change_is_seen_at_once_where_it_was_made() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let bob = register(&node, "bob").await;
    let room = ada.create_room("general").await;
    bob.join_room(&room).await;
    let first = ada.say(&room.id, "one", "1").await.ok();
    let (newest, older) = (messages(&room), format!("{}?before=1000", messages(&room)));
    let members = format!("/api/rooms/{}/members", room.id);
    let here = format!("/api/rooms/{}", room.id);
    for round in 0..20 {
        let said = ada.say(&room.id, "more", &format!("m{round}")).await.ok();
        let page = bob.get(&newest).await.ok();
        assert_eq!(page["last_seq"], said["seq"]);
        let text = format!("edited {round}");
        let address = format!("{newest}/{}", first["id"].as_str().unwrap());
        let edited = ada.patch(&address, &json!({ "body": text })).await.ok();
        for path in [&newest, &older] {
            let page = bob.get(path).await.ok();
            assert_eq!(page["messages"][0]["body"], text, "{path}");
            assert_eq!(page["last_seq"], edited["seq"], "{path}");
        }
        let topic = json!({ "topic": format!("topic {round}") });
        let changed = ada.patch(&here, &topic).await.ok();
        let view = bob.get(&here).await.ok();
        assert_eq!(view["topic"], topic["topic"]);
        assert_eq!(view["last_seq"], changed["last_seq"]);
        let role = if round % 2 == 0 {
            "moderator"
        } else {
            "member"
        };
        let address = format!("{members}/{}", bob.id);
        ada.patch(&address, &json!({ "role": role })).await.ok();
        let list = ada.get(&members).await.ok();
        let list = list["members"].as_array().unwrap();
        let of_bob = list.iter().find(|it| it["user_id"] == bob.id.as_str());
        assert_eq!(of_bob.unwrap()["role"], role);
        assert_eq!(bob.get(&here).await.ok()["role"], role);
        let (name, bio) = (format!("Bob {round}"), format!("said {round} times"));
        let profile = json!({ "display_name": name, "bio": bio, "avatar_url": null });
        let changed = bob.patch("/api/users/me", &profile).await.ok();
        let seen = ada.get(&format!("/api/users/{}", bob.id)).await.ok();
        for field in [
            "display_name",
            "bio",
            "avatar_url",
            "username",
            "created_at",
        ] {
            assert_eq!(seen[field], changed[field], "{field}");
        }
        let list = ada.get(&members).await.ok();
        let list = list["members"].as_array().unwrap();
        let of_bob = list.iter().find(|it| it["user_id"] == bob.id.as_str());
        assert_eq!(of_bob.unwrap()["display_name"], name);
    }
}

#[tokio::test]
async fn a_page_has_the_same_link_however_it_came_about() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let bob = register(&node, "bob").await;
    let room = ada.create_room("general").await;
    bob.join_room(&room).await;
    for n in 1..=5 {
        ada.say(&room.id, "hello", &n.to_string()).await.ok();
    }
    let said = messages(&room);
    let members = format!("/api/rooms/{}/members", room.slug);
    // What is asked for, and what leads on from there.
    for (path, onward) in [
        (format!("{said}?limit=2"), Some("before")),
        (format!("{said}?before=4&limit=1"), Some("before")),
        (format!("{said}?limit=2&after=1"), Some("after")),
        (format!("{said}?limit=50"), None),
        (format!("{members}?limit=1"), Some("after")),
        (members.clone(), None),
    ] {
        let first = ada.get(&path).await;
        let next = &first.ok()["next"];
        let link = onward.map(|onward| {
            let (address, query) = path.split_once('?').expect("a query");
            let mut pairs = query.split('&');
            let limit = pairs.find(|it| it.starts_with("limit=")).expect("a limit");
            let next = next.as_str().map_or(next.to_string(), str::to_owned);
            format!("<{address}?{limit}&{onward}={next}>; rel=\"next\"")
        });
        assert_eq!(next.is_null(), link.is_none(), "{path}");
        assert_eq!(first.header("link"), link.as_deref(), "{path}");
        eventually("it is there", async || {
            let again = ada.get(&path).await;
            assert_eq!(again.header("link"), link.as_deref(), "{path}");
            (cached(&again) == "HIT").then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn the_asker_of_a_room_is_told_what_is_theirs() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let bob = register(&node, "bob").await;
    let eve = register(&node, "eve").await;
    let room = ada.create_room("general").await;
    bob.join_room(&room).await;
    for n in 1..=3 {
        ada.say(&room.id, "hello", &n.to_string()).await.ok();
    }
    let here = format!("/api/rooms/{}", room.id);
    let tag = async |user| {
        let answer = crate::harness::rest::User::get(user, &here).await;
        answer.header("etag").unwrap().to_owned()
    };
    let (of_ada, of_bob, of_eve) = (tag(&ada).await, tag(&bob).await, tag(&eve).await);
    assert!(of_ada != of_bob && of_bob != of_eve);
    let request = bob.request(Method::PUT, &format!("{here}/read"));
    send(request.json(&json!({ "msg_no": 2 }))).await.ok();
    let view = get_with(&bob, &here, &[("if-none-match", &of_bob)])
        .await
        .ok();
    assert_eq!(
        (&view["read_msg_no"], &view["unread"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(eve.get(&here).await.ok()["read_msg_no"], json!(null));
    assert_eq!(tag(&eve).await, of_eve, "bob's reading is nothing of eve's");
}

#[tokio::test]
async fn the_compressed_form_says_the_same() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await;
    for n in 1..=30 {
        let text = "the same again ".repeat(10);
        ada.say(&room.id, &text, &n.to_string()).await.ok();
    }
    let plain = ada.get(&messages(&room)).await;
    assert_eq!(plain.header("content-encoding"), None);
    // Said once, whoever says it.
    let varies = plain.header("vary").unwrap();
    assert_eq!(varies.matches("Accept-Encoding").count(), 1, "{varies}");
    let request = ada.request(Method::GET, &messages(&room));
    let packed = send(request.header("accept-encoding", "br")).await;
    assert_eq!(packed.header("content-encoding"), Some("br"));
    assert_eq!(packed.header("etag"), plain.header("etag"));
    for _ in 0..3 {
        let request = ada.request(Method::GET, &messages(&room));
        let packed = request.header("accept-encoding", "gzip").send().await;
        let packed = packed.expect("the node answers");
        assert_eq!(packed.headers()["content-encoding"], "gzip");
        let bytes = packed.bytes().await.expect("a body");
        assert!(bytes.len() * 3 < plain.text.len());
        let mut text = String::new();
        GzDecoder::new(&*bytes).read_to_string(&mut text).unwrap();
        assert_eq!(text, plain.text);
    }
}

#[tokio::test]
async fn cursors_that_are_none_are_refused() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await;
    ada.say(&room.id, "hello", "1").await.ok();
    let long = "A".repeat(5000);
    for path in [messages(&room), format!("/api/rooms/{}", room.id)] {
        for bad in ["", "!", "AQ==", "nonsense", &long] {
            let answer = get_with(&ada, &path, &[("hubbub-min-cursor", bad)]).await;
            answer.problem(400, "invalid_cursor");
        }
        let twice = seen(&room, 1);
        let twice = [
            ("hubbub-min-cursor", &*twice),
            ("hubbub-min-cursor", &*twice),
        ];
        get_with(&ada, &path, &twice)
            .await
            .problem(400, "invalid_cursor");
        let ahead = seen(&room, 1_000_000);
        let answer = get_with(&ada, &path, &[("hubbub-min-cursor", &ahead)]).await;
        answer.problem(412, "cursor_ahead");
        let good = seen(&room, 1);
        let answer = get_with(&ada, &path, &[("hubbub-min-cursor", &good)]).await;
        assert_eq!(answer.ok()["last_seq"], 1);
        let mut other = room.clone();
        other.epoch = room.epoch ^ 1;
        let elsewhere = seen(&other, 1_000_000);
        let answer = get_with(&ada, &path, &[("hubbub-min-cursor", &elsewhere)]).await;
        assert_eq!(answer.ok()["last_seq"], 1);
    }
}

#[tokio::test]
async fn a_thousand_equal_requests_on_a_cold_page_are_one_query() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await;
    ada.say(&room.id, "hello", "1").await.ok();
    // Whoever asks is known, and what they are in the room.
    ada.get(&format!("/api/rooms/{}/members", room.id))
        .await
        .ok();
    let before = queries(&node, "messages/before").await;
    // Held up at its end, so that all come before it. It stops its thread, too.
    node.fault("cache.load.read", "1*sleep(300)").await;
    // No more connections than the system lets wait to be accepted.
    let asking: Vec<_> = (0..100)
        .map(|_| {
            let (ada, path) = (ada.clone(), messages(&room));
            tokio::spawn(async move {
                let mut coalesced = 0;
                for _ in 0..10 {
                    let answer = ada.get(&path).await;
                    assert_eq!(answer.ok()["last_seq"], 1);
                    coalesced += usize::from(cached(&answer) == "COALESCED");
                }
                coalesced
            })
        })
        .collect();
    let mut coalesced = 0;
    for asked in asking {
        coalesced += asked.await.expect("answers");
    }
    assert_eq!(queries(&node, "messages/before").await, before + 1);
    println!("{coalesced} of 1000 waited for the one query, the others had its copy");
}

#[tokio::test]
async fn who_is_searched_is_found_by_a_copy_until_somebody_changes_or_comes() {
    let cluster = Cluster::new(2, &[]).await;
    let ada = register(&cluster.nodes[0], "ada").await;
    let here = ada.at(&cluster.nodes[0]);
    let there = ada.at(&cluster.nodes[1]);
    let path = "/api/users?query=searched";
    let names = |answer: &Answer| -> Vec<String> {
        let users = answer.json()["users"].as_array().unwrap().clone();
        let name = |user: &Value| user["display_name"].as_str().unwrap().to_owned();
        users.iter().map(name).collect()
    };
    for user in [&here, &there] {
        assert_eq!(names(&user.get(path).await), [""; 0]);
        eventually("it is there", async || {
            (cached(&user.get(path).await) == "HIT").then_some(())
        })
        .await;
    }
    let tag = here.get(path).await.header("etag").unwrap().to_owned();
    let before = queries(&cluster.nodes[0], "users/search").await;
    let same = get_with(&here, path, &[("if-none-match", &tag)]).await;
    assert_eq!(same.status, 304);
    assert_eq!(queries(&cluster.nodes[0], "users/search").await, before);
    // At once where they registered, and elsewhere as soon as it is told.
    let bob = register(&cluster.nodes[0], "searched_bob").await;
    assert_eq!(names(&here.get(path).await), ["searched_bob"]);
    eventually("they are found on the other node", async || {
        (names(&there.get(path).await) == ["searched_bob"]).then_some(())
    })
    .await;
    let profile = json!({ "display_name": "Robert" });
    bob.patch("/api/users/me", &profile).await.ok();
    assert_eq!(names(&here.get(path).await), ["Robert"]);
    eventually("the change is seen on the other node", async || {
        (names(&there.get(path).await) == ["Robert"]).then_some(())
    })
    .await;
}
