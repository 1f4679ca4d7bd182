//! Pages of elsewhere that use somebody's cookie, and credentials that are used for what they are
//! not good for.

use reqwest::Method;
use serde_json::json;

use crate::harness::node::Node;
use crate::harness::rest::{http, register, send, text};
use crate::harness::stream::EventStream;

/// A write with a cookie needs an `Origin` of ours, whatever the route.
#[tokio::test]
async fn no_route_takes_a_write_of_a_foreign_page() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("r").await;
    let said = ada.say(&room.id, "mine", "c").await.ok();
    let message = format!("/api/rooms/r/messages/{}", text(&said["id"]));
    let user = ada.id.clone();
    for (method, path) in [
        (Method::PATCH, "/api/rooms/r".to_owned()),
        (Method::POST, "/api/rooms/r/messages".to_owned()),
        (Method::PATCH, message.clone()),
        (Method::DELETE, message.clone()),
        (Method::PUT, format!("{message}/pin")),
        (Method::DELETE, format!("{message}/pin")),
        (Method::PUT, format!("{message}/reactions/x")),
        (Method::DELETE, format!("{message}/reactions/x")),
        (Method::POST, "/api/rooms/r/join".to_owned()),
        (Method::POST, "/api/rooms/r/leave".to_owned()),
        (Method::POST, "/api/rooms/r/members".to_owned()),
        (Method::PATCH, format!("/api/rooms/r/members/{user}")),
        (Method::DELETE, format!("/api/rooms/r/members/{user}")),
        (Method::POST, format!("/api/rooms/r/members/{user}/mute")),
        (Method::DELETE, format!("/api/rooms/r/members/{user}/mute")),
        (Method::POST, "/api/rooms/r/bans".to_owned()),
        (Method::DELETE, format!("/api/rooms/r/bans/{user}")),
        (Method::POST, "/api/rooms/r/invitations".to_owned()),
        (Method::DELETE, format!("/api/rooms/r/invitations/{user}")),
        (Method::POST, "/api/invitations/accept".to_owned()),
        (Method::PUT, "/api/rooms/r/read".to_owned()),
        (Method::POST, "/api/rooms/read".to_owned()),
        (Method::DELETE, format!("/api/auth/sessions/{user}")),
        (Method::DELETE, "/api/auth/sessions".to_owned()),
        (Method::POST, "/api/auth/ticket".to_owned()),
        (Method::POST, "/api/auth/logout".to_owned()),
    ] {
        for header in [
            ("origin", "http://evil.example"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            let request = http().request(method.clone(), ada.url(&path));
            let request = request.header("cookie", &ada.cookie).json(&json!({}));
            let request = request.header(header.0, header.1);
            send(request).await.problem(403, "origin_not_allowed");
        }
        // No header makes one method of another.
        let request = http().get(ada.url(&path)).header("cookie", &ada.cookie);
        let request = request.header("x-http-method-override", method.as_str());
        let answer = send(request).await;
        assert!(
            [200, 404, 405].contains(&answer.status),
            "{path}: {answer:?}"
        );
    }
    let view = ada.get("/api/rooms/r").await.ok();
    assert_eq!(
        (&view["last_seq"], &view["role"]),
        (&said["seq"], &json!("owner"))
    );
    // A foreign page gets no stream by the cookie either.
    for path in ["/api/events", "/api/rooms/r/events"] {
        let request = http().get(ada.url(path)).header("cookie", &ada.cookie);
        let request = request.header("origin", "http://evil.example");
        send(request).await.problem(403, "origin_not_allowed");
    }
}

/// A ticket opens one stream, and nothing else.
#[tokio::test]
async fn a_ticket_is_good_for_one_stream() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("r").await;
    for path in ["/api/events", "/api/rooms/r/events"] {
        let ticket = ada.ticket().await;
        let address = ada.url(&format!("{path}?ticket={ticket}"));
        let mut stream = EventStream::of(http().get(&address)).await;
        assert_eq!(stream.event("resumed").await.json()["room"], room.id);
        send(http().get(&address))
            .await
            .problem(401, "unauthenticated");
    }
    let ticket = ada.ticket().await;
    for request in [
        http().get(ada.url(&format!("/api/rooms?ticket={ticket}"))),
        http().get(ada.url("/api/rooms")).bearer_auth(&ticket),
        http().get(ada.url("/api/events")).bearer_auth(&ticket),
        http().get(ada.url(&format!("/api/events?ticket={}", ada.token))),
    ] {
        send(request).await.problem(401, "unauthenticated");
    }
}

/// Somebody else's session is none of mine.
#[tokio::test]
async fn sessions_of_others_cannot_be_ended() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let mallory = register(&node, "mallory").await;
    let sessions = ada.get("/api/auth/sessions").await.ok();
    let id = text(&sessions["sessions"][0]["id"]);
    for id in [id.as_str(), &ada.id, "x", "%00", "{}", "..%2fsessions"] {
        let end = mallory.delete(&format!("/api/auth/sessions/{id}")).await;
        end.problem(404, "session_not_found");
    }
    assert_eq!(mallory.delete("/api/auth/sessions").await.ok()["ended"], 0);
    ada.get("/api/users/me").await.ok();
    let page = mallory
        .get(&format!("/api/auth/sessions?after={ABOVE_ALL}"))
        .await
        .ok();
    assert!(!page.to_string().contains(&id), "{page}");
}

const ABOVE_ALL: &str = "ffffffff-ffff-ffff-ffff-ffffffffffff";
