//! Rooms that somebody may not know of, and the past that they may not see.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::node::Node;
use crate::harness::postgres::TestDatabase;
use crate::harness::rest::{Room, User, register, send, text};
use crate::harness::socket::Socket;
use crate::harness::stream::EventStream;

const ABSENT: &str = "01890000-0000-7000-8000-000000000000";

async fn people() -> (Node, TestDatabase, User, User) {
    let (node, database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let mallory = register(&node, "mallory").await;
    (node, database, ada, mallory)
}

/// Every route that names a room, with a body that is right.
fn routes(message: &str, user: &str, invitation: &str) -> Vec<(Method, String, Option<Value>)> {
    let mut routes = Vec::new();
    for path in [
        "",
        "/messages",
        "/pins",
        "/members",
        "/bans",
        "/invitations",
        "/events",
    ] {
        routes.push((Method::GET, path.to_owned(), None));
    }
    let path = format!("/messages/{message}");
    routes.push((Method::GET, path.clone(), None));
    routes.push((Method::GET, format!("/messages?thread={message}"), None));
    routes.push((Method::DELETE, path.clone(), None));
    for body in [
        json!({ "body": "b" }),
        json!({ "body": "b", "client_id": "c" }),
    ] {
        routes.push((Method::PATCH, path.clone(), Some(body.clone())));
        routes.push((Method::POST, "/messages".to_owned(), Some(body.clone())));
        let mut reply = body;
        reply["thread"] = json!(message);
        reply["mentions"] = json!([user]);
        routes.push((Method::POST, "/messages".to_owned(), Some(reply)));
    }
    for path in [format!("{path}/pin"), format!("{path}/reactions/x")] {
        routes.push((Method::PUT, path.clone(), None));
        routes.push((Method::DELETE, path, None));
    }
    let member = format!("/members/{user}");
    for (method, path, body) in [
        (Method::PATCH, String::new(), json!({})),
        (Method::PATCH, String::new(), json!({ "name": "mine" })),
        (Method::POST, "/join".to_owned(), json!({})),
        (Method::POST, "/leave".to_owned(), json!({})),
        (
            Method::POST,
            "/members".to_owned(),
            json!({ "user_id": user }),
        ),
        (Method::PATCH, member.clone(), json!({ "role": "member" })),
        (Method::POST, format!("{member}/mute"), json!({})),
        (Method::POST, "/bans".to_owned(), json!({ "user_id": user })),
        (Method::POST, "/invitations".to_owned(), json!({})),
        (Method::PUT, "/read".to_owned(), json!({ "msg_no": 1 })),
        (Method::PUT, "/read".to_owned(), json!({ "msg_no": 1000 })),
    ] {
        routes.push((method, path, Some(body)));
    }
    for path in [
        member.clone(),
        format!("{member}/mute"),
        format!("/bans/{user}"),
        format!("/invitations/{invitation}"),
    ] {
        routes.push((Method::DELETE, path, None));
    }
    routes
}

/// To a stranger a private room is, word for word, one that does not exist.
#[tokio::test]
async fn a_private_room_is_not_there_by_any_address() {
    let (_node, _database, ada, mallory) = people().await;
    let body = json!({ "name": "p", "slug": "private", "is_private": true });
    let room = ada.create_room_with(&body).await;
    let said = ada.say(&room.id, "hush", "c").await.ok();
    let invitations = format!("/api/rooms/{}/invitations", room.id);
    let invited = ada.post(&invitations, &json!({})).await.ok();
    let (message, invitation) = (text(&said["id"]), text(&invited["id"]));
    for user in [&ada.id, &mallory.id] {
        for (method, path, body) in routes(&message, user, &invitation) {
            for (private, absent) in [(&*room.id, ABSENT), ("private", "no-such-room")] {
                let ask = async |room: &str| {
                    let request =
                        mallory.request(method.clone(), &format!("/api/rooms/{room}{path}"));
                    let request = match &body {
                        Some(body) => request.json(body),
                        None => request,
                    };
                    let answer = send(request).await;
                    (
                        answer.problem(404, "room_not_found")["detail"].clone(),
                        answer,
                    )
                };
                let (told, answer) = ask(private).await;
                assert_eq!(
                    told,
                    ask(absent).await.0,
                    "{method} {path} {body:?}: {answer:?}"
                );
            }
        }
    }
    let marks =
        json!({ "rooms": [{ "room": room.id, "msg_no": 1 }, { "room": ABSENT, "msg_no": 1 }] });
    let marked = mallory.post("/api/rooms/read", &marks).await.ok();
    assert_eq!(marked["rooms"][0]["error"]["code"], "room_not_found");
    assert_eq!(marked["rooms"][0]["error"], marked["rooms"][1]["error"]);
    for (private, absent) in [(&*room.id, ABSENT), ("private", "no-such-room")] {
        let ask = async |room: &str| {
            let answer = mallory.get(&format!("/api/events?rooms={room}")).await;
            answer.problem(404, "room_not_found")["detail"].clone()
        };
        assert_eq!(ask(private).await, ask(absent).await);
    }
    // Nothing of all that was done.
    let view = ada.get(&format!("/api/rooms/{}", room.id)).await.ok();
    assert_eq!(view["last_seq"], said["seq"]);
    let open = ada.get(&invitations).await.ok();
    assert_eq!(open["invitations"][0]["id"], invitation);
}

/// Nor by any command.
#[tokio::test]
async fn a_private_room_is_not_there_by_any_command() {
    let (node, _database, ada, mallory) = people().await;
    let body = json!({ "name": "p", "slug": "private", "is_private": true });
    let room = ada.create_room_with(&body).await;
    let message = ada.say(&room.id, "hush", "c").await.ok()["id"].clone();
    let mut socket = Socket::connect(&node, &mallory).await;
    for (cmd, fields) in [
        (
            "publish",
            json!({ "body": "b", "client_id": "k", "thread": message }),
        ),
        (
            "message.edit",
            json!({ "message_id": message, "body": "b" }),
        ),
        (
            "message.edit",
            json!({ "message_id": message, "body": "b", "client_id": "e" }),
        ),
        ("message.delete", json!({ "message_id": message })),
        (
            "message.react",
            json!({ "message_id": message, "emoji": "x" }),
        ),
        (
            "message.react",
            json!({ "message_id": message, "emoji": "x", "remove": true }),
        ),
        (
            "message.pin",
            json!({ "message_id": message, "pinned": true }),
        ),
        ("history", json!({ "thread": message })),
        ("read", json!({ "msg_no": 1 })),
        ("read", json!({ "msg_no": 1000 })),
    ] {
        for (private, absent) in [(&*room.id, ABSENT), ("private", "no-such-room")] {
            let mut ask = async |room: &str| {
                let mut fields = fields.clone();
                fields["room"] = json!(room);
                socket.err(cmd, fields).await
            };
            let told = ask(private).await;
            assert_eq!(told["code"], "room_not_found", "{cmd} {fields}");
            assert_eq!(told, ask(absent).await, "{cmd} {fields}");
        }
    }
}

/// A room that shows newcomers nothing of the past, what was said in it, and somebody who has come
/// since.
async fn newcomer(ada: &User, mallory: &User) -> (Room, Vec<String>) {
    let body = json!({ "name": "r", "slug": "r", "history": "joined" });
    let room = ada.create_room_with(&body).await;
    let mut old = Vec::new();
    for n in 0..3 {
        let said = ada.say(&room.id, "secret", &n.to_string()).await.ok();
        old.push(text(&said["id"]));
    }
    let path = format!("/api/rooms/{}/messages", room.id);
    let reply =
        json!({ "body": "secret", "client_id": "r", "thread": old[0], "mentions": [mallory.id] });
    ada.post(&path, &reply).await.ok();
    let pin = ada.request(Method::PUT, &format!("{path}/{}/pin", old[1]));
    send(pin).await.ok();
    let react = ada.request(Method::PUT, &format!("{path}/{}/reactions/secret", old[1]));
    send(react).await.ok();
    mallory.join_room(&room).await;
    (room, old)
}

#[tokio::test]
async fn the_past_stays_hidden_whatever_is_asked_for() {
    let (node, _database, ada, mallory) = people().await;
    let (room, old) = newcomer(&ada, &mallory).await;
    let base = format!("/api/rooms/{}", room.id);
    for query in [
        String::new(),
        "?after=0".to_owned(),
        "?before=3".to_owned(),
        "?before=9000000000000000000".to_owned(),
        format!("?thread={}", old[0]),
        format!("?thread={}&after=0", old[0]),
        format!("?thread={}&before=9", old[0]),
    ] {
        let page = mallory.get(&format!("{base}/messages{query}")).await.ok();
        assert_eq!(page["messages"], json!([]), "{query}");
        assert_eq!(page["next"], Value::Null, "{query}");
    }
    let pins = mallory.get(&format!("{base}/pins")).await.ok();
    assert_eq!(pins["messages"], json!([]));
    let view = mallory.get(&base).await.ok();
    assert_eq!((&view["unread"], &view["mentions"]), (&json!(0), &json!(0)));
    for id in &old {
        let path = format!("{base}/messages/{id}");
        mallory.get(&path).await.problem(404, "message_not_found");
        let edit = mallory.patch(&path, &json!({ "body": "b" })).await;
        edit.problem(404, "message_not_found");
        mallory
            .delete(&path)
            .await
            .problem(404, "message_not_found");
        let react = mallory.request(Method::PUT, &format!("{path}/reactions/x"));
        send(react).await.problem(404, "message_not_found");
        let reply = json!({ "body": "b", "client_id": id, "thread": id });
        let reply = mallory.post(&format!("{base}/messages"), &reply).await;
        reply.problem(404, "message_not_found");
    }
    // Nor by a stream or socket that says it was there before, in this epoch or another.
    let said = ada.say(&room.id, "public", "after").await.ok();
    for epoch in [room.epoch, room.epoch + 1] {
        let last = format!("{epoch}-0");
        let mut stream = EventStream::open(&mallory, &format!("{base}/events"), Some(&last)).await;
        let resumed = stream.event("resumed").await.json();
        assert_eq!(resumed["gap"]["from"], 1, "{resumed}");
        ada.say(&room.id, "live", &format!("live {epoch}"))
            .await
            .ok();
        stream
            .find(|event| event.data.contains("\"live\""))
            .await
            .expect("it goes on");
        assert!(stream.take().iter().all(|it| !it.data.contains("secret")));
        let mut socket = Socket::connect(&node, &mallory).await;
        let fields = json!({ "room": room.id, "since": 0, "epoch": epoch });
        let joined = socket.ok("join", fields).await;
        assert_eq!(joined["gap"]["from"], 1, "{joined}");
        socket
            .publish(&room.id, "mine", &format!("mine {epoch}"))
            .await;
        socket
            .next_push("mine", |push| push["body"] == "mine")
            .await;
        assert!(
            socket
                .take_pushes()
                .iter()
                .all(|it| !it.to_string().contains("secret"))
        );
    }
    let seen = mallory.history(&room.id).await;
    assert_eq!(seen[0]["id"], said["id"]);
}

/// What was deleted comes out of no stream, however it is resumed.
#[tokio::test]
async fn what_was_deleted_comes_from_no_stream() {
    let (_node, _database, ada, mallory) = people().await;
    let room = ada.create_room("r").await;
    mallory.join_room(&room).await;
    let base = format!("/api/rooms/{}", room.id);
    let mut all = EventStream::open(&mallory, "/api/events", None).await;
    all.event("resumed").await;
    let cursor = all.last_event_id().to_owned();
    let said = ada.say(&room.id, "secret", "secret key").await.ok();
    let message = format!("{base}/messages/{}", text(&said["id"]));
    ada.patch(&message, &json!({ "body": "secret still" }))
        .await
        .ok();
    ada.delete(&message).await.ok();
    // Saying it again, too, gives only where it was.
    let again = ada.say(&room.id, "secret", "secret key").await.ok();
    assert_eq!(again["id"], said["id"]);
    for (path, last) in [
        (format!("{base}/events"), format!("{}-0", room.epoch)),
        (format!("{base}/events"), cursor.clone()),
        ("/api/events".to_owned(), cursor),
    ] {
        let mut stream = EventStream::open(&mallory, &path, Some(&last)).await;
        stream.event("message.delete").await;
        let events = stream.take();
        assert!(events.iter().any(|it| it.data.contains("\"deleted\":true")));
        assert!(
            events.iter().all(|it| !it.data.contains("secret")),
            "{events:?}"
        );
    }
}
