//! What is too much, or of the wrong form: a clear code, and nothing changed.

use futures_util::future::join_all;
use serde_json::json;

use super::scene::{about, scene, scene_with, unique};

#[tokio::test]
async fn texts_that_are_too_long_or_no_texts() {
    let scene = scene().await;
    let room = &scene.room;
    let mut bob = scene.socket(&scene.bob).await;
    let message = scene.said(&scene.bob, "a").await;
    let shown = scene.shown(&message).await;
    let long = "x".repeat(4096);
    for (emoji, code) in [
        (long.as_str(), "invalid_request"),
        (&long[..65], "invalid_request"),
        ("", "invalid_request"),
        ("a\nb", "invalid_text"),
        ("\0", "invalid_text"),
    ] {
        let fields = about(room, &message, json!({ "emoji": emoji }));
        let err = bob.err("message.react", fields).await;
        assert_eq!(err["code"], code, "{emoji:?}");
    }
    for (emoji, code) in [
        (long.as_str(), "invalid_request"),
        (&long[..65], "invalid_request"),
        ("a%0Ab", "invalid_text"),
        ("%00", "invalid_text"),
    ] {
        let answer = scene.react(&scene.bob, &message, emoji).await;
        answer.problem(400, code);
    }
    let body = "x".repeat(65_537);
    let fields = about(room, &message, json!({ "body": body }));
    assert_eq!(bob.err("message.edit", fields).await["code"], "too_large");
    let answer = scene.edit(&scene.bob, &message, &body).await;
    answer.problem(413, "too_large");
    let fields = about(room, &message, json!({ "body": "" }));
    let err = bob.err("message.edit", fields).await;
    assert_eq!(err["code"], "invalid_request");
    let answer = scene.edit(&scene.bob, &message, "").await;
    answer.problem(400, "invalid_request");
    let answer = scene.edit(&scene.bob, &message, "a\0b").await;
    answer.problem(400, "invalid_text");
    assert_eq!(scene.shown(&message).await, shown, "none of it was done");

    // The longest that are allowed are.
    scene.react(&scene.bob, &message, &long[..64]).await.ok();
    scene.edit(&scene.bob, &message, &body[1..]).await.ok();
}

#[tokio::test]
async fn a_message_has_so_many_different_reactions() {
    let scene = scene_with(&[("REACTIONS_PER_MESSAGE", "3")]).await;
    let message = scene.said(&scene.bob, "a").await;
    let other = scene.said(&scene.bob, "b").await;
    for emoji in ["a", "b", "c"] {
        scene.react(&scene.bob, &message, emoji).await.ok();
    }
    let too_many = scene.react(&scene.eve, &message, "d").await;
    too_many.problem(409, "too_many_reactions");
    // One that is there already may be joined, and another message is another message.
    scene.react(&scene.eve, &message, "c").await.ok();
    scene.react(&scene.eve, &other, "d").await.ok();
    // When the last one has taken it back there is room again.
    scene.unreact(&scene.bob, &message, "c").await.ok();
    let too_many = scene.react(&scene.eve, &message, "d").await;
    too_many.problem(409, "too_many_reactions");
    scene.unreact(&scene.bob, &message, "b").await.ok();
    scene.react(&scene.eve, &message, "d").await.ok();

    // At once: not one too many.
    let message = scene.said(&scene.bob, "c").await;
    let people = [&scene.ada, &scene.mo, &scene.bob, &scene.eve];
    let reactions = people.iter().flat_map(|user| {
        let (scene, message) = (&scene, message.as_str());
        (0..6).map(move |n| async move { scene.react(user, message, &format!("e{n}")).await })
    });
    let answers = join_all(reactions).await;
    for answer in &answers {
        if answer.status != 200 {
            answer.problem(409, "too_many_reactions");
        }
    }
    let shown = scene.shown(&message).await;
    let reactions = shown["reactions"].as_array().expect("reactions");
    assert_eq!(reactions.len(), 3, "{shown}");
    let there: u64 = reactions.iter().filter_map(|it| it["count"].as_u64()).sum();
    let done = answers.iter().filter(|it| it.status == 200).count();
    assert_eq!(there, done as u64);
}

#[tokio::test]
async fn a_room_has_so_many_pins() {
    let scene = scene_with(&[("PINS_PER_ROOM", "3")]).await;
    let messages = join_all((0..12).map(|_| scene.said(&scene.bob, "a"))).await;
    let pins = join_all(
        messages
            .iter()
            .map(|message| scene.pin(&scene.ada, message)),
    )
    .await;
    let (pinned, refused): (Vec<_>, Vec<_>) = messages
        .iter()
        .zip(&pins)
        .partition(|(_, answer)| answer.status == 200);
    assert_eq!(pinned.len(), 3);
    for (_, answer) in &refused {
        answer.problem(409, "too_many_pins");
    }
    let page = scene.eve.get("/api/rooms/room/pins").await.ok();
    assert_eq!(page["messages"].as_array().map(Vec::len), Some(3));
    scene.unpin(&scene.mo, pinned[0].0).await.ok();
    scene.delete(&scene.bob, pinned[1].0).await.ok();
    scene.pin(&scene.mo, refused[0].0).await.ok();
    scene.pin(&scene.mo, refused[1].0).await.ok();
    let too_many = scene.pin(&scene.mo, refused[2].0).await;
    too_many.problem(409, "too_many_pins");
    scene
        .stranger
        .get("/api/rooms/room/pins")
        .await
        .problem(403, "not_a_member");
}

/// Fifty are named; all are counted.
#[tokio::test]
async fn a_reaction_names_the_first_fifty() {
    let scene = scene().await;
    let message = scene.said(&scene.bob, "a").await;
    scene.react(&scene.bob, &message, "+1").await.ok();
    // People who need no password: what is read is what stands in the table.
    let insert = "INSERT INTO reactions (message_id, user_id, emoji, room_id, seq, created_at)
                  SELECT $1::text::uuid, gen_random_uuid(), '+1', $2::text::uuid, 1000 + n, now()
                  FROM generate_series(1, 60) AS n";
    let inserted = scene.sql.execute(insert, &[&message, &scene.room.id]).await;
    assert_eq!(inserted.expect("they are inserted"), 60);
    let shown = scene.shown(&message).await;
    assert_eq!(shown["reactions"][0]["count"], 61);
    let users = shown["reactions"][0]["users"].as_array().expect("users");
    assert_eq!(users.len(), 50);
    assert_eq!(users[0], scene.bob.id.as_str());
}

#[tokio::test]
async fn what_is_wrong_with_a_change_is_named() {
    let scene = scene().await;
    let message = scene.said(&scene.bob, "a").await;
    let mut bob = scene.socket(&scene.bob).await;
    let id = unique();
    for (command, fields, name) in [
        (
            "message.edit",
            json!({ "room": "room", "body": "b" }),
            "message_id",
        ),
        (
            "message.edit",
            json!({ "room": "room", "message_id": "7", "body": "b" }),
            "message_id",
        ),
        (
            "message.edit",
            json!({ "room": "room", "message_id": id }),
            "body",
        ),
        (
            "message.react",
            json!({ "room": "room", "message_id": id, "emoji": 7 }),
            "emoji",
        ),
        (
            "message.pin",
            json!({ "room": "room", "message_id": id }),
            "pinned",
        ),
        ("message.delete", json!({ "message_id": id }), "room"),
    ] {
        let err = bob.err(command, fields).await;
        assert_eq!(err["code"], "invalid_request", "{command}");
        let message = err["message"].as_str().expect("a message");
        assert!(message.starts_with(&format!("`{name}` ")), "{message}");
    }
    let answer = scene
        .rest(
            &scene.bob,
            reqwest::Method::PATCH,
            &message,
            Some(json!({})),
        )
        .await;
    assert_eq!(answer.status, 400, "{answer:?}");
    let body = json!({ "body": "b", "client_id": "x".repeat(129) });
    let answer = scene
        .rest(&scene.bob, reqwest::Method::PATCH, &message, Some(body))
        .await;
    answer.problem(400, "invalid_request");
    let query = format!("/api/rooms/room/messages?thread={}", "x".repeat(10));
    scene.bob.get(&query).await.problem(400, "invalid_request");
}
