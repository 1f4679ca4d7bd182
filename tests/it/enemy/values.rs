//! Values that no client of good will sends.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::node::Node;
use crate::harness::rest::{register, send, text};
use crate::harness::socket::Socket;

/// Times and periods at and beyond every end.
#[tokio::test]
async fn times_without_measure() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let bob = register(&node, "bob").await;
    let room = ada.create_room("r").await;
    bob.join_room(&room).await;
    let mute = format!("/api/rooms/r/members/{}/mute", bob.id);
    let ban = |time: &Value| {
        let mut body = time.clone();
        body["user_id"] = json!(bob.id);
        body
    };
    for time in [
        json!({ "until": "1970-01-01T00:00:00Z" }),
        json!({ "until": "-009999-01-02T01:59:59Z" }),
        json!({ "until": "2000-01-01T00:00:00Z" }),
        json!({ "until": "9999-12-31T23:59:59Z" }),
        json!({ "until": "10000-01-01T00:00:00Z" }),
        json!({ "until": "+292277-01-01T00:00:00Z" }),
        json!({ "until": "infinity" }),
        json!({ "until": "" }),
        json!({ "until": 99_999_999_999_u64 }),
        json!({ "seconds": 0 }),
        json!({ "seconds": -1 }),
        json!({ "seconds": 1.5 }),
        json!({ "seconds": 315_360_001 }),
        json!({ "seconds": u64::MAX }),
        json!({ "seconds": 1e300 }),
        json!({ "seconds": "1" }),
        json!({ "seconds": 1, "until": "2999-01-01T00:00:00Z" }),
    ] {
        let answer = ada.post(&mute, &time).await;
        assert_eq!(answer.status, 400, "{time}: {answer:?}");
        let answer = ada.post("/api/rooms/r/bans", &ban(&time)).await;
        assert_eq!(answer.status, 400, "{time}: {answer:?}");
    }
    let mut socket = Socket::connect(&node, &ada).await;
    socket.join("r").await;
    for time in [
        json!({ "until": "9999-12-30T21:59:59.999999999Z" }),
        json!({ "until": "9999-12-30T00:00:00Z" }),
        json!({ "until": "9999-12-29T23:59:59.9999999Z" }),
        json!({ "seconds": 315_360_000 }),
        json!({}),
    ] {
        let muted = ada.post(&mute, &time).await.ok();
        assert_eq!(muted["muted"], true, "{time}: {muted}");
        socket
            .next_push("muted", |it| it["change"] == "muted")
            .await;
        bob.say("r", "not heard", "m").await.problem(403, "muted");
        ada.get("/api/rooms/r/members").await.ok();
        let banned = ada.post("/api/rooms/r/bans", &ban(&time)).await;
        assert_eq!(banned.status, 201, "{time}: {banned:?}");
        socket
            .next_push("banned", |it| it["change"] == "banned")
            .await;
        let bans = ada.get("/api/rooms/r/bans").await.ok();
        assert_eq!(bans["bans"][0], banned.ok());
        let join = bob.post("/api/rooms/r/join", &json!({})).await;
        join.problem(403, "banned");
        ada.delete(&format!("/api/rooms/r/bans/{}", bob.id))
            .await
            .ok();
        bob.join_room(&room).await;
        ada.delete(&mute).await.ok();
    }
    for wrong in [
        json!({ "expires_in_s": 0 }),
        json!({ "expires_in_s": -1 }),
        json!({ "expires_in_s": 2_592_001 }),
        json!({ "expires_in_s": u64::MAX }),
        json!({ "expires_in_s": 1e19 }),
        json!({ "expires_in_s": "1" }),
        json!({ "role": "admin" }),
        json!({ "role": 3 }),
    ] {
        let answer = ada.post("/api/rooms/r/invitations", &wrong).await;
        answer.problem(400, "invalid_request");
    }
    for reason in ["x".repeat(100_000), "a\u{0}b".to_owned()] {
        let body = json!({ "user_id": bob.id, "reason": reason });
        let answer = ada.post("/api/rooms/r/bans", &body).await;
        assert_eq!(answer.status, 400, "{answer:?}");
    }
    ada.get("/api/users/me").await.ok();
}

/// Parts of addresses that are no ids, and emojis in every disguise.
#[tokio::test]
async fn addresses_in_disguise() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    ada.create_room("r").await;
    let said = ada.say("r", "mine", "c").await.ok();
    let id = text(&said["id"]);
    for wrong in [
        "x",
        "%00",
        "%ff",
        "%7B%7D",
        "1",
        "-1",
        "null",
        "%20",
        &"9".repeat(5000),
    ] {
        for (method, path, code) in [
            (
                Method::GET,
                format!("messages/{wrong}"),
                "message_not_found",
            ),
            (
                Method::DELETE,
                format!("messages/{wrong}"),
                "message_not_found",
            ),
            (
                Method::PUT,
                format!("messages/{wrong}/pin"),
                "message_not_found",
            ),
            (
                Method::PUT,
                format!("messages/{wrong}/reactions/x"),
                "message_not_found",
            ),
            (Method::DELETE, format!("members/{wrong}"), "user_not_found"),
            (
                Method::DELETE,
                format!("members/{wrong}/mute"),
                "user_not_found",
            ),
            (Method::DELETE, format!("bans/{wrong}"), "user_not_found"),
            (
                Method::DELETE,
                format!("invitations/{wrong}"),
                "invitation_not_found",
            ),
        ] {
            let request = ada.request(method, &format!("/api/rooms/r/{path}"));
            send(request).await.problem(404, code);
        }
        let query = ada
            .get(&format!("/api/rooms/r/messages?thread={wrong}"))
            .await;
        query.problem(400, "invalid_request");
    }
    let path = format!("/api/rooms/r/messages/{id}/reactions");
    for (wrong, status) in [
        (String::new(), 404),
        ("%00".to_owned(), 400),
        ("%0a".to_owned(), 400),
        ("%ff".to_owned(), 400),
        ("%c3%28".to_owned(), 400),
        ("%ed%a0%80".to_owned(), 400),
        ("%zz".to_owned(), 400),
        ("a%".to_owned(), 400),
        ("x".repeat(65), 400),
        ("%F0%9F%91%8D".repeat(17), 400),
        ("x".repeat(4096), 400),
        ("a/b".to_owned(), 404),
    ] {
        let answer = send(ada.request(Method::PUT, &format!("{path}/{wrong}"))).await;
        assert_eq!(answer.status, status, "{wrong:.40}: {answer:?}");
    }
    // What is fit to be one comes out as it was meant, once.
    for (given, meant) in [
        ("%F0%9F%91%8D", "👍"),
        ("a%2Fb", "a/b"),
        ("%252F", "%2F"),
        ("a+b", "a+b"),
        ("a%20b", "a b"),
        ("%3Cscript%3E", "<script>"),
        ("'%3B--", "';--"),
        ("%3F%23", "?#"),
    ] {
        send(ada.request(Method::PUT, &format!("{path}/{given}")))
            .await
            .ok();
        let message = ada.get(&format!("/api/rooms/r/messages/{id}")).await.ok();
        assert_eq!(message["reactions"][0]["emoji"], meant, "{message}");
        send(ada.request(Method::DELETE, &format!("{path}/{given}")))
            .await
            .ok();
        let message = ada.get(&format!("/api/rooms/r/messages/{id}")).await.ok();
        assert!(message.get("reactions").is_none(), "{message}");
    }
}

/// Reactions of 4 KiB, mentions without end, edits of others' messages: refused, and nothing of
/// it is in the room.
#[tokio::test]
async fn too_much_of_everything() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let mallory = register(&node, "mallory").await;
    let room = ada.create_room("r").await;
    let said = ada.say("r", "mine", "c").await.ok();
    mallory.join_room(&room).await;
    let mut socket = Socket::connect(&node, &mallory).await;
    let users: Vec<String> = (0..51).map(|_| uuid::Uuid::new_v4().to_string()).collect();
    let message = said["id"].clone();
    let mut listener = Socket::connect(&node, &ada).await;
    let joined = listener.join("r").await;
    for (cmd, fields, code) in [
        (
            "message.react",
            json!({ "emoji": "x".repeat(4096) }),
            "invalid_request",
        ),
        (
            "message.react",
            json!({ "emoji": "a\u{0}" }),
            "invalid_text",
        ),
        ("message.edit", json!({ "body": "theirs" }), "forbidden"),
        (
            "message.edit",
            json!({ "body": "x".repeat(65_537) }),
            "too_large",
        ),
        ("message.delete", json!({}), "forbidden"),
        ("message.pin", json!({ "pinned": true }), "forbidden"),
        ("message.pin", json!({}), "invalid_request"),
        (
            "publish",
            json!({ "body": "b", "client_id": "m", "mentions": users }),
            "invalid_request",
        ),
        (
            "publish",
            json!({ "body": "b", "client_id": "m", "mentions": ["x"] }),
            "invalid_request",
        ),
        (
            "publish",
            json!({ "body": "b", "client_id": "m", "mentions": "x" }),
            "invalid_request",
        ),
        ("read", json!({ "msg_no": 2 }), "invalid_request"),
        ("read", json!({ "msg_no": u64::MAX }), "invalid_request"),
    ] {
        let mut fields = fields;
        fields["room"] = json!(room.id);
        fields["message_id"] = message.clone();
        let error = socket.err(cmd, fields).await;
        assert_eq!(error["code"], code, "{cmd}: {error}");
    }
    let many: Vec<&String> = std::iter::repeat_n(&users[0], 20_000).collect();
    let body = json!({ "body": "b", "client_id": "n", "mentions": users });
    let answer = mallory.post("/api/rooms/r/messages", &body).await;
    answer.problem(400, "invalid_request");
    let ack = mallory.say("r", "the next", "n").await.ok();
    assert_eq!(ack["seq"], joined["last_seq"].as_u64().unwrap() + 1);
    let push = listener.next_push("any", |it| it["seq"].is_u64()).await;
    assert_eq!(push["seq"], ack["seq"]);
    // The same one twenty thousand times is one.
    let body = json!({ "body": "b", "client_id": "o", "mentions": many });
    mallory.post("/api/rooms/r/messages", &body).await.ok();
    assert_eq!(
        listener.push("message").await["mentions"],
        json!([users[0]])
    );
}
