//! Texts that should do nothing but stand there.

use serde_json::json;

use super::scene::{HOSTILE, scene};

#[tokio::test]
async fn hostile_text_comes_back_as_it_was_from_every_field() {
    let mut scene = scene().await;
    let mut socket = scene.socket().await;
    let room = scene.public.id.clone();
    for (n, text) in HOSTILE.iter().enumerate() {
        let key = format!("key {n}");
        socket.publish(&room, text, &key).await;
        let push = scene.heard("message").await;
        assert_eq!(push["body"], *text);
        let answer = scene.mallory.say(&room, text, &format!("rest {n}")).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(scene.heard("message").await["body"], *text);
        let data = json!({ *text: text });
        let fields = json!({ "room": room, "name": "n", "data": data });
        socket.ok("emit", fields).await;
        assert_eq!(scene.heard("event").await["data"], data);

        // Fields of one line take what has no line break or other control character.
        let one_line = !text.contains(char::is_control);
        let fields = json!({ "room": room, "body": "b", "client_id": text });
        let reply = socket.request("publish", fields).await;
        assert_eq!(reply.get("ok").is_some(), one_line, "{text:?}: {reply}");
        if one_line {
            assert_eq!(scene.heard("message").await["client_id"], *text);
        } else {
            assert_eq!(reply["err"]["code"], "invalid_text");
        }
        let answer = scene
            .ada
            .post("/api/rooms", &json!({ "name": text, "topic": text }))
            .await;
        if one_line {
            assert_eq!(answer.status, 201, "{answer:?}");
            let made = answer.json();
            assert_eq!(made["name"], *text);
            let path = format!("/api/rooms/{}", made["id"].as_str().unwrap_or_default());
            assert_eq!(scene.ada.get(&path).await.ok()["topic"], *text);
        } else {
            answer.problem(400, "invalid_text");
        }
    }
    let history = scene.ada.history(&room).await;
    for text in HOSTILE {
        let found = history.iter().filter(|message| message["body"] == text);
        assert_eq!(found.count(), 2, "{text:?}");
    }
    scene.assert_undisturbed().await;
}

#[tokio::test]
async fn nul_is_refused_where_it_cannot_be_kept() {
    let mut scene = scene().await;
    let mut socket = scene.socket().await;
    let room = scene.public.id.clone();
    let nul = "a\u{0}b";
    for (cmd, fields) in [
        (
            "publish",
            json!({ "room": room, "body": nul, "client_id": "c" }),
        ),
        (
            "publish",
            json!({ "room": room, "body": "b", "client_id": nul }),
        ),
        ("emit", json!({ "room": room, "name": nul, "data": 1 })),
        (
            "emit",
            json!({ "room": room, "name": "n", "data": 1, "client_id": nul }),
        ),
        ("auth.refresh", json!({ "token": nul })),
    ] {
        let error = socket.err(cmd, fields).await;
        assert_eq!(error["code"], "invalid_text", "{cmd}: {error}");
    }
    for (path, body) in [
        (
            "/api/rooms/public/messages",
            json!({ "body": nul, "client_id": "c" }),
        ),
        (
            "/api/rooms/public/messages",
            json!({ "body": "b", "client_id": nul }),
        ),
        ("/api/rooms", json!({ "name": nul })),
        ("/api/rooms", json!({ "name": "n", "topic": nul })),
    ] {
        let answer = scene.mallory.post(path, &body).await;
        answer.problem(400, "invalid_text");
    }
    // In the data of an event it is a value like others.
    let fields = json!({ "room": room, "name": "n", "data": { nul: nul } });
    socket.ok("emit", fields).await;
    assert_eq!(scene.heard("event").await["data"], json!({ nul: nul }));
    scene.assert_undisturbed().await;
}
