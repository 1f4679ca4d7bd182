//! Wrong requests on `/ws`.

use serde_json::{Value, json};

use super::scene::{Scene, scene};
use crate::harness::socket::refusal;

/// Every command with fields that are right.
fn right(room: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("join", json!({ "room": room, "since": 0, "epoch": 1 })),
        (
            "publish",
            json!({ "room": room, "body": "b", "client_id": "c" }),
        ),
        ("history", json!({ "room": room, "before": 5, "limit": 10 })),
        ("history", json!({ "room": room, "after": 5 })),
        ("typing", json!({ "room": room, "typing": true })),
        (
            "emit",
            json!({ "room": room, "name": "n", "data": 1, "volatile": false, "client_id": "e" }),
        ),
        ("presence", json!({ "room": room })),
        ("auth.refresh", json!({ "token": "t" })),
        ("leave", json!({ "room": room })),
    ]
}

/// Values that fit no field but `data`.
fn wrong(field: &str) -> Vec<Value> {
    let mut values = vec![json!([]), json!({}), json!([1]), json!({ "a": 1 })];
    match field {
        "volatile" | "typing" => values.extend([json!("true"), json!(1), json!(0), json!("")]),
        "since" | "before" | "after" | "limit" | "epoch" => values.extend([
            json!("1"),
            json!(true),
            json!(1.5),
            json!(1e300),
            json!(u64::MAX),
            json!(""),
        ]),
        _ => values.extend([json!(1), json!(true), json!(1.5), json!("")]),
    }
    match field {
        "since" | "before" | "after" => values.push(json!(-1)),
        "limit" => values.extend([json!(-1), json!(0), json!(101)]),
        "epoch" => values.push(json!(1_u64 << 40)),
        "room" => values.extend([json!("No Slug"), json!("-x"), json!("x".repeat(65))]),
        "client_id" => values.extend([json!("x".repeat(129)), json!("a\nb")]),
        "name" => values.extend([json!("x".repeat(65)), json!("a\tb")]),
        _ => {}
    }
    values
}

#[tokio::test]
async fn wrong_values_in_every_field_of_every_command() {
    let mut scene = scene().await;
    let room = scene.public.id.clone();
    for (cmd, fields) in right(&room) {
        // One that says nothing right for too long is closed.
        let mut socket = scene.socket().await;
        let names: Vec<String> = fields
            .as_object()
            .map(|object| object.keys().cloned().collect())
            .unwrap_or_default();
        for name in names.iter().filter(|name| *name != "data") {
            socket.ping().await;
            for value in wrong(name) {
                let mut fields = fields.clone();
                fields[name] = value.clone();
                let reply = socket.request(cmd, fields).await;
                let error = refusal(&reply)
                    .unwrap_or_else(|| panic!("`{cmd}` took {value} for `{name}`: {reply}"));
                let code = error["code"].as_str().unwrap_or_default();
                let expected = ["invalid_request", "invalid_text"].contains(&code);
                assert!(expected, "`{cmd}` with {value} for `{name}`: {error}");
                assert_eq!(error["retry"], false, "{error}");
                let message = error["message"].as_str().unwrap_or_default();
                assert!(message.contains(&format!("`{name}`")), "named: {error}");
            }
        }
        scene.assert_undisturbed().await;
    }
    let history = scene.ada.history(&room).await;
    assert!(
        history
            .iter()
            .all(|message| message["user_id"] == scene.ada.id.as_str())
    );
}

#[tokio::test]
async fn a_missing_field_is_named() {
    let mut scene = scene().await;
    let mut socket = scene.socket().await;
    let room = scene.public.id.clone();
    let needed = [
        ("join", "room"),
        ("leave", "room"),
        ("publish", "room"),
        ("publish", "body"),
        ("publish", "client_id"),
        ("history", "room"),
        ("typing", "room"),
        ("emit", "room"),
        ("emit", "name"),
        ("emit", "data"),
        ("presence", "room"),
        ("auth.refresh", "token"),
    ];
    for (cmd, name) in needed {
        let commands = right(&room);
        let fields = commands.into_iter().find(|(other, _)| *other == cmd);
        let mut fields = fields.expect("every command is listed").1;
        fields.as_object_mut().expect("an object").remove(name);
        let error = socket.err(cmd, fields).await;
        assert_eq!(error["code"], "invalid_request", "{cmd}: {error}");
        let message = error["message"].as_str().unwrap_or_default();
        assert!(message.contains(name), "{cmd} without {name}: {error}");
    }
    scene.assert_undisturbed().await;
}

#[tokio::test]
async fn what_is_no_request() {
    let mut scene = scene().await;
    let mut socket = scene.socket().await;
    let deep = format!(
        r#"{{"id":1,"cmd":"emit","room":"public","name":"n","data":{}1{}}}"#,
        "[".repeat(5000),
        "]".repeat(5000)
    );
    for text in [
        "",
        " ",
        "hello",
        "null",
        "1",
        "\"ping\"",
        "[]",
        "[1,\"ping\"]",
        "{",
        "{\"id\":1",
        "{\"id\":1,\"cmd\":\"ping\"} x",
        "{\"id\":1,\"cmd\":\"ping\",}",
        "{'id':1}",
        "\u{feff}{\"id\":1,\"cmd\":\"ping\"}",
        "{}",
        "{\"id\":1}",
        "{\"id\":1,\"cmd\":null}",
        "{\"id\":1,\"cmd\":1}",
        "{\"id\":1,\"cmd\":[\"ping\"]}",
        "{\"id\":{},\"cmd\":\"ping\"}",
        "{\"id\":[1],\"cmd\":\"ping\"}",
        "{\"id\":true,\"cmd\":\"ping\"}",
        "{\"id\":-1,\"cmd\":\"ping\"}",
        "{\"id\":1.5,\"cmd\":\"ping\"}",
        "{\"id\":\"\",\"cmd\":\"ping\"}",
        "{\"id\":1,\"cmd\":\"typing\",\"room\":\"\\ud800\"}",
        &deep,
    ] {
        socket.send_text(text).await;
        let reply = socket.reply().await;
        let reply = reply.unwrap_or_else(|ended| panic!("{text:.60}: {ended:?}"));
        let error = refusal(&reply).unwrap_or_else(|| panic!("{text:.60} was taken: {reply}"));
        let code = error["code"].as_str().unwrap_or_default();
        assert!(
            ["invalid_request", "invalid_text"].contains(&code),
            "{text:.60}: {error}"
        );
    }
    for cmd in [
        "",
        "PING",
        "ping ",
        "drop",
        "__proto__",
        "message.edit.now",
        "\u{0}",
    ] {
        let error = socket.err(cmd, json!({})).await;
        assert_eq!(error["code"], "unknown_command", "{cmd:?}: {error}");
    }
    socket.ping().await;
    scene.assert_undisturbed().await;
}

/// Whether a private room exists is its members' matter: it is refused as one that does not.
#[tokio::test]
async fn other_peoples_rooms() {
    let mut scene = scene().await;
    let mut socket = scene.socket().await;
    for (private, absent) in [
        (&scene.private.id, "01890000-0000-7000-8000-000000000000"),
        (&scene.private.slug, "no-such-room"),
    ] {
        let commands = right(private).into_iter().zip(right(absent));
        for ((cmd, private), (_, absent)) in commands.filter(|it| it.0.0 != "auth.refresh") {
            let told = socket.err(cmd, private).await;
            assert_eq!(told, socket.err(cmd, absent).await, "{cmd}");
            let code = told["code"].as_str().unwrap_or_default();
            assert!(
                ["room_not_found", "not_joined"].contains(&code),
                "{cmd}: {told}"
            );
        }
    }
    scene.assert_undisturbed().await;
}

#[tokio::test]
async fn a_public_room_has_to_be_joined_as_a_member_first() {
    let mut scene = scene().await;
    let eve = crate::harness::rest::register(&scene.node, "eve").await;
    let mut socket = crate::harness::socket::Socket::connect(&scene.node, &eve).await;
    let room = scene.public.id.clone();
    for (cmd, fields) in right(&room) {
        if cmd == "auth.refresh" {
            continue;
        }
        let error = socket.err(cmd, fields).await;
        let told = error["code"].as_str().unwrap_or_default();
        let expected = ["not_a_member", "not_joined"].contains(&told);
        assert!(expected, "{cmd}: {error}");
    }
    scene.assert_undisturbed().await;
}

#[tokio::test]
async fn a_key_used_twice_for_different_things() {
    let mut scene = scene().await;
    let mut socket = scene.socket().await;
    let room = scene.public.id.clone();
    let first = socket.publish(&room, "one", "key").await;
    assert_eq!(scene.heard("message").await["seq"], first["seq"]);
    let fields = json!({ "room": room, "body": "two", "client_id": "key" });
    let error = socket.err("publish", fields).await;
    assert_eq!(error["code"], "client_id_reused");
    let answer = scene.mallory.say(&room, "three", "key").await;
    answer.problem(409, "client_id_reused");
    let fields = json!({ "room": room, "name": "one", "data": 1, "client_id": "key" });
    assert_eq!(socket.err("emit", fields).await["code"], "client_id_reused");
    // The same thing again is the same message; and keys are each sender's own.
    assert_eq!(socket.publish(&room, "one", "key").await, first);
    let other = scene.ada.say(&room, "mine", "key").await.ok();
    assert_ne!(other["id"], first["id"]);
    scene.heard("message").await;
    scene.assert_undisturbed().await;
}

#[tokio::test]
async fn garbage_without_end_ends_the_connection_only() {
    let mut scene: Scene = scene().await;
    let mut socket = scene.socket().await;
    let mut refused = 0_u32;
    let end = loop {
        socket.send_text("garbage").await;
        match socket.reply().await {
            Ok(_) => refused += 1,
            Err(ended) => break Some(ended),
        }
        if refused == 10_000 {
            break None;
        }
    };
    if let Some(ended) = end {
        let expected = crate::harness::socket::End::Closed {
            code: 4102,
            reason: "abuse".to_owned(),
        };
        assert_eq!(ended.0, expected);
        assert!(refused >= 10, "a few mistakes are forgiven");
    }
    scene.assert_undisturbed().await;
}
