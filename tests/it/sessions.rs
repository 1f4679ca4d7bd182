//! One's own sessions: listed, ended, and with them all that hangs on them, on every node.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::eventually;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres;
use crate::harness::rest::{User, http, login, register, send, text};
use crate::harness::socket::{End, Socket};

async fn ids(user: &User) -> Vec<(String, bool)> {
    let page = user.get("/api/auth/sessions").await.ok();
    let sessions = page["sessions"].as_array().expect("sessions");
    let one = |it: &serde_json::Value| (text(&it["id"]), it["current"] == true);
    sessions.iter().map(one).collect()
}

/// The id of the session that a user's token is of.
async fn own(user: &User) -> String {
    let sessions = ids(user).await;
    let mut current = sessions.into_iter().filter(|(_, is_current)| *is_current);
    current.next().expect("the one that asks").0
}

const ENDED: (u16, &str) = (4101, "session_ended");

async fn assert_ended(socket: &mut Socket) {
    let (code, reason) = socket.close_code().await;
    assert_eq!((code, reason.as_str()), ENDED);
}

#[tokio::test]
async fn they_are_listed_and_ended_one_by_one() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let bob = register(&node, "bob").await;
    let body = json!({ "login": "ada", "password": crate::harness::rest::PASSWORD });
    let request = http()
        .post(node.url("/api/auth/login"))
        .header("user-agent", "A browser\t of its own");
    let phone = text(&send(request.json(&body)).await.ok()["token"]);
    let page = ada.get("/api/auth/sessions").await.ok();
    let sessions = page["sessions"].as_array().expect("sessions");
    assert_eq!(sessions.len(), 2, "{page}");
    // The newest first.
    assert_eq!(sessions[0]["user_agent"], "A browser of its own");
    assert_eq!(sessions[0]["current"], false);
    assert_eq!(sessions[1]["current"], true);
    for session in sessions {
        for field in ["created_at", "last_seen_at", "expires_at"] {
            assert!(session[field].is_string(), "{session}");
        }
        assert!(!session.to_string().contains(&phone), "no token is shown");
    }
    let first = ada.get("/api/auth/sessions?limit=1").await.ok();
    let next = format!("/api/auth/sessions?limit=1&after={}", text(&first["next"]));
    assert_eq!(ada.get(&next).await.ok()["sessions"][0], sessions[1]);

    let phone_id = text(&sessions[0]["id"]);
    let authorization = format!("Bearer {phone}");
    let mut socket = Socket::open(&node, "/ws", &[("authorization", &authorization)])
        .await
        .expect("it is open");
    let path = format!("/api/auth/sessions/{phone_id}");
    // Others cannot end it, nor learn whether it is there.
    bob.delete(&path).await.problem(404, "session_not_found");
    socket.ping().await;
    assert_eq!(ada.delete(&path).await.status, 204);
    assert_ended(&mut socket).await;
    ada.delete(&path).await.problem(404, "session_not_found");
    ada.delete("/api/auth/sessions/x")
        .await
        .problem(404, "session_not_found");
    let request = http().get(node.url("/api/users/me")).bearer_auth(&phone);
    send(request).await.problem(401, "unauthenticated");

    // One's own is a logout.
    let own = own(&ada).await;
    let mut socket = Socket::connect(&node, &ada).await;
    let answer = ada.delete(&format!("/api/auth/sessions/{own}")).await;
    assert_eq!(answer.status, 204);
    let cookie = answer.header("set-cookie").expect("the cookie is cleared");
    assert!(cookie.contains("Max-Age=0"), "{cookie}");
    assert_ended(&mut socket).await;
}

#[tokio::test]
async fn all_others_end_on_every_node_and_their_tickets_with_them() {
    let database = postgres::database().await;
    let node = Node::start(NodeOptions::on(&database.url)).await;
    let other = Node::start(NodeOptions::on(&database.url)).await;
    let ada = register(&node, "ada").await;
    let mut sockets = Vec::new();
    let mut tickets = Vec::new();
    for n in 0..4 {
        let at = if n % 2 == 0 { &node } else { &other };
        let session = login(&node, "ada").await.at(at);
        sockets.push(Socket::connect(at, &session).await);
        tickets.push((at, session.ticket().await));
    }
    let mut mine = Socket::connect(&other, &ada).await;
    let answer = ada.delete("/api/auth/sessions").await.ok();
    assert_eq!(answer["ended"], 4);
    for socket in &mut sockets {
        assert_ended(socket).await;
    }
    mine.ping().await;
    assert_eq!(ids(&ada).await.len(), 1);
    for (at, ticket) in tickets {
        let refused = Socket::open(at, &format!("/ws?ticket={ticket}"), &[]).await;
        assert_eq!(refused.err().map(|it| it.status), Some(401));
    }
    assert_eq!(ada.delete("/api/auth/sessions").await.ok()["ended"], 0);
}

#[tokio::test]
async fn a_user_who_is_shut_out_is_out_everywhere() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url);
    let node = Node::start(options.clone()).await;
    let other = Node::start(NodeOptions::on(&database.url)).await;
    let ada = register(&node, "ada").await;
    let bob = register(&node, "bob").await;
    let mut sockets = [
        Socket::connect(&node, &ada).await,
        Socket::connect(&other, &login(&node, "ada").await).await,
    ];
    let mut bystander = Socket::connect(&other, &bob).await;
    let run = |arguments: &[&str]| {
        let output = options.command(arguments).output().expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let (code, said, _) = run(&["users", "deactivate", "ADA"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("2 session(s) ended"), "{said}");
    for socket in &mut sockets {
        assert_ended(socket).await;
    }
    bystander.ping().await;
    ada.get("/api/users/me")
        .await
        .problem(401, "unauthenticated");
    let body = json!({ "login": "ada", "password": crate::harness::rest::PASSWORD });
    let attempt = async || send(http().post(node.url("/api/auth/login")).json(&body)).await;
    attempt().await.problem(401, "invalid_credentials");
    let (code, said, _) = run(&["users", "activate", "ada"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(attempt().await.status, 200);
    let (code, _, error) = run(&["users", "deactivate", "nobody"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("no user called \"nobody\""), "{error}");
}

/// The `of`th hundredth of these times, milliseconds.
fn hundredth(times: &mut [Duration], of: usize) -> f64 {
    times.sort_unstable();
    times[(times.len() - 1) * of / 100].as_secs_f64() * 1000.0
}

fn report(what: &str, mut times: Vec<Duration>) {
    let (p50, p99) = (hundredth(&mut times, 50), hundredth(&mut times, 99));
    println!(
        "{what}: p50 {p50:.2} ms, p99 {p99:.2} ms, of {}",
        times.len()
    );
}

/// Prints how long it takes from the request to the end of the socket, on the node that is asked
/// and on another; `--nocapture` shows it.
#[tokio::test]
async fn how_long_a_revocation_takes() {
    const SOCKETS: usize = 200;
    let database = postgres::database().await;
    let node = Node::start(NodeOptions::on(&database.url)).await;
    let other = Node::start(NodeOptions::on(&database.url)).await;
    let ada = register(&node, "ada").await;
    for (name, at) in [("the same node", &node), ("another node", &other)] {
        let mut open = Vec::new();
        for _ in 0..SOCKETS {
            let session = login(&node, "ada").await;
            let id = own(&session).await;
            open.push((id, Socket::connect(at, &session).await));
        }
        let (mut from_request, mut from_answer) = (Vec::new(), Vec::new());
        for (id, mut socket) in open {
            let path = format!("/api/auth/sessions/{id}");
            let sent = Instant::now();
            let (answered, closed) = tokio::join!(
                async {
                    assert_eq!(ada.delete(&path).await.status, 204);
                    Instant::now()
                },
                async {
                    let end = socket.closed().await;
                    assert!(matches!(end, End::Closed { code: 4101, .. }), "{end:?}");
                    Instant::now()
                }
            );
            from_request.push(closed - sent);
            from_answer.push(closed.saturating_duration_since(answered));
        }
        report(
            &format!("revocation, {name}, from the request"),
            from_request,
        );
        report(&format!("revocation, {name}, from the answer"), from_answer);
    }
    // A kick: the same for memberships.
    let room = ada.create_room("room").await;
    for (name, at) in [("the same node", &node), ("another node", &other)] {
        let mut times = Vec::new();
        let mut members = Vec::new();
        for n in 0..SOCKETS {
            let user = format!("u{n}{}", if name.starts_with("the") { "a" } else { "b" });
            let user = register(&node, &user).await;
            user.join_room(&room).await;
            let mut socket = Socket::connect(at, &user).await;
            socket.join(&room.id).await;
            members.push((user, socket));
        }
        for (user, mut socket) in members {
            let path = format!("/api/rooms/{}/members/{}", room.id, user.id);
            let sent = Instant::now();
            let (answer, removed) = tokio::join!(ada.delete(&path), async {
                socket.push("removed").await;
                Instant::now()
            });
            assert_eq!(answer.status, 204);
            times.push(removed - sent);
        }
        report(
            &format!("kick to `removed`, {name}, from the request"),
            times,
        );
    }
    eventually("everybody has gone", async || {
        let page = ada
            .get(&format!("/api/rooms/{}/members", room.id))
            .await
            .ok();
        (page["members"].as_array().map(Vec::len) == Some(1)).then_some(())
    })
    .await;
}
