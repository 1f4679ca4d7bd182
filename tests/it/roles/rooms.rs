//! What is said of rooms, what newcomers see of the past, and rooms that nobody owns.

use futures_util::future::join_all;
use serde_json::json;

use super::{Scene, add};
use crate::harness::socket::Socket;

#[tokio::test]
async fn newcomers_see_what_the_room_shows_them() {
    let scene = Scene::start().await;
    let (maker, actor, target) = (&scene.maker, &scene.actor, &scene.target);
    let body = json!({ "name": "r", "history": "joined" });
    let room = maker.create_room_with(&body).await;
    for n in 0..3 {
        maker.say(&room.id, "before", &n.to_string()).await.ok();
    }
    // Who is added and who joins: alike.
    target.join_room(&room).await;
    add(maker, &room, actor, "moderator").await.ok();
    for (user, seq) in [(target, 4), (actor, 5)] {
        let column = async |name: &str| scene.member::<i64>(&room, user, name).await;
        assert_eq!(column("joined_seq").await, Some(seq));
        assert_eq!(column("history_floor").await, Some(seq - 1));
        assert_eq!(column("read_msg_no").await, Some(3));
    }
    assert_eq!(
        scene.member(&room, maker, "history_floor").await,
        Some(0_i64)
    );
    maker.say(&room.id, "after", "a").await.ok();
    let seen = target.history(&room.id).await;
    let bodies: Vec<_> = seen.iter().map(|it| &it["body"]).collect();
    assert_eq!(bodies, [&json!("after")]);

    // It is decided when they come: a change is for those who come after it.
    let path = format!("/api/rooms/{}", room.id);
    let changed = maker.patch(&path, &json!({ "history": "all" })).await.ok();
    assert_eq!(changed["history"], "all");
    assert_eq!(
        scene.member(&room, target, "history_floor").await,
        Some(3_i64)
    );
    let leave = format!("/api/rooms/{}/leave", room.id);
    assert_eq!(target.post(&leave, &json!({})).await.status, 204);
    target.join_room(&room).await;
    assert_eq!(
        scene.member(&room, target, "history_floor").await,
        Some(0_i64)
    );
    assert_eq!(target.history(&room.id).await.len(), 4);
}

#[tokio::test]
async fn a_change_of_the_room_is_an_event_for_owners_to_make() {
    let scene = Scene::start().await;
    let (maker, actor, target) = (&scene.maker, &scene.actor, &scene.target);
    let room = scene.room("r", Some("moderator"), Some("member")).await;
    let path = format!("/api/rooms/{}", room.id);
    let wanted = json!({ "name": "Better", "topic": "All of it\nand more" });
    for user in [actor, target] {
        user.patch(&path, &wanted).await.problem(403, "forbidden");
    }
    let mut socket = Socket::connect(&scene.node, target).await;
    let joined = socket.join(&room.id).await;
    let view = maker.patch(&path, &wanted).await.ok();
    assert_eq!(
        (&view["name"], &view["topic"]),
        (&wanted["name"], &wanted["topic"])
    );
    let push = socket.push("room").await;
    for (field, value) in [
        ("name", json!("Better")),
        ("topic", wanted["topic"].clone()),
        ("history", json!("all")),
        ("is_private", json!(false)),
        ("by", json!(maker.id)),
    ] {
        assert_eq!(push[field], value, "{push}");
    }
    assert_eq!(view["last_seq"], push["seq"]);
    // From the log it is the same.
    let fields = json!({ "room": room.id, "since": joined["last_seq"], "epoch": room.epoch });
    let mut again = Socket::connect(&scene.node, target).await;
    assert_eq!(again.ok("join", fields).await["replayed"], 1);
    assert_eq!(again.push("room").await, push);

    // Nothing new is no event.
    let view = maker.patch(&path, &json!({ "name": "Better" })).await.ok();
    assert_eq!(view["last_seq"], push["seq"]);
    let view = maker.patch(&path, &json!({})).await.ok();
    assert_eq!(view["last_seq"], push["seq"]);
    for wrong in [
        json!({ "name": "" }),
        json!({ "name": " padded" }),
        json!({ "topic": "x".repeat(501) }),
        json!({ "history": "some" }),
        json!({ "is_private": "yes" }),
    ] {
        let answer = maker.patch(&path, &wrong).await;
        assert_eq!(answer.status, 400, "{wrong}: {answer:?}");
    }
    // Private from now on: strangers know of it no more, members stay.
    maker
        .patch(&path, &json!({ "is_private": true }))
        .await
        .ok();
    let stranger = crate::harness::rest::register(&scene.node, "stranger").await;
    stranger.get(&path).await.problem(404, "room_not_found");
    stranger
        .patch(&path, &json!({ "topic": "x" }))
        .await
        .problem(404, "room_not_found");
    assert_eq!(target.get(&path).await.ok()["is_private"], true);
}

/// Each changes something else at the same time: none undoes what another has done.
#[tokio::test]
async fn changes_at_once_do_not_undo_each_other() {
    let scene = Scene::start().await;
    let room = scene.room("r", None, None).await;
    let path = format!("/api/rooms/{}", room.id);
    for round in 0..10 {
        let (name, topic) = (format!("name {round}"), format!("topic {round}"));
        let history = if round % 2 == 0 { "joined" } else { "all" };
        let changes = [
            json!({ "name": name }),
            json!({ "topic": topic }),
            json!({ "history": history }),
        ];
        let answers = join_all(changes.iter().map(|it| scene.maker.patch(&path, it))).await;
        for answer in answers {
            answer.ok();
        }
        let view = scene.maker.get(&path).await.ok();
        assert_eq!(
            (&view["name"], &view["topic"]),
            (&json!(name), &json!(topic))
        );
        assert_eq!(view["history"], history, "round {round}");
    }
}

#[tokio::test]
async fn a_room_that_nobody_owns_belongs_to_the_next_who_joins() {
    let scene = Scene::start().await;
    let (maker, actor, target) = (&scene.maker, &scene.actor, &scene.target);
    let room = scene.room("r", None, None).await;
    let leave = format!("/api/rooms/{}/leave", room.id);
    assert_eq!(maker.post(&leave, &json!({})).await.status, 204);
    let join = format!("/api/rooms/{}/join", room.id);
    // Of two who join at once, one owns it.
    let nothing = json!({});
    let (one, other) = tokio::join!(actor.post(&join, &nothing), target.post(&join, &nothing));
    let mut roles = [one.ok()["role"].clone(), other.ok()["role"].clone()];
    roles.sort_by_key(ToString::to_string);
    assert_eq!(roles, [json!("member"), json!("owner")]);
    // What was pushed and what is in the log say the same of it.
    let mut socket = Socket::connect(&scene.node, actor).await;
    socket
        .ok("join", json!({ "room": room.id, "since": 0 }))
        .await;
    assert_eq!(socket.push("member").await["change"], "left");
    let first = socket.push("member").await;
    let second = socket.push("member").await;
    assert_eq!(
        (&first["role"], &second["role"]),
        (&json!("owner"), &json!("member"))
    );
}
