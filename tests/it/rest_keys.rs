//! `Idempotency-Key`: what is sent again is carried out once.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres;
use crate::harness::rest::{Answer, User, register, send};

async fn post(user: &User, path: &str, key: &str, body: &Value) -> Answer {
    let request = user.request(Method::POST, path);
    send(request.header("idempotency-key", key).json(body)).await
}

async fn rooms_of(user: &User) -> usize {
    let rooms = user.get("/api/rooms?mine=true&limit=100").await.ok();
    rooms["rooms"].as_array().expect("rooms").len()
}

#[tokio::test]
async fn what_is_sent_again_is_answered_again_and_done_once() {
    let (node, _database) = Node::on_fresh_database().await;
    let (ada, bob) = (register(&node, "ada").await, register(&node, "bob").await);
    let body = json!({ "name": "Team" });
    let first = post(&ada, "/api/rooms", "\"k-1\"", &body).await;
    assert_eq!(
        (first.status, first.header("idempotency-replayed")),
        (201, None)
    );
    // In quotes or not it is the same key.
    let again = post(&ada, "/api/rooms", "k-1", &body).await;
    assert_eq!((again.status, &again.text), (201, &first.text));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.header("content-type"), first.header("content-type"));
    assert_eq!(rooms_of(&ada).await, 1);
    // Another body, another address: another request.
    let other = post(&ada, "/api/rooms", "k-1", &json!({ "name": "Other" })).await;
    other.problem(422, "idempotency_key_reused");
    let other = post(&ada, "/api/rooms/read", "k-1", &body).await;
    other.problem(422, "idempotency_key_reused");
    // Another user's key is another key, and another key another request.
    assert_eq!(post(&bob, "/api/rooms", "k-1", &body).await.status, 201);
    let second = post(&ada, "/api/rooms", "k-2", &body).await;
    assert_eq!(
        (second.status, second.header("idempotency-replayed")),
        (201, None)
    );
    assert_eq!((rooms_of(&ada).await, rooms_of(&bob).await), (2, 1));
    // A refusal is an answer, too: what would succeed now is asked for under another key.
    let slug = json!({ "name": "x", "slug": "taken" });
    bob.post("/api/rooms", &slug).await.ok();
    for _ in 0..2 {
        post(&ada, "/api/rooms", "k-3", &slug)
            .await
            .problem(409, "slug_taken");
    }
    // Requests without a body have one answer, too.
    let path = "/api/rooms/taken/join";
    let request = || {
        ada.request(Method::POST, path)
            .header("idempotency-key", "k-4")
    };
    let joined = send(request()).await;
    ada.say("taken", "hello", "c").await.ok();
    assert_eq!(send(request()).await.ok(), joined.ok());
}

#[tokio::test]
async fn another_node_knows_the_key_and_a_restart_forgets_nothing() {
    let database = postgres::database().await;
    let one = Node::start(NodeOptions::on(&database.url)).await;
    let two = Node::start(NodeOptions::on(&database.url)).await;
    let ada = register(&one, "ada").await;
    let body = json!({ "name": "Team" });
    let first = post(&ada, "/api/rooms", "k", &body).await.ok();
    drop(one);
    let again = post(&ada.at(&two), "/api/rooms", "k", &body).await;
    assert_eq!(again.ok(), first);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
}

#[tokio::test]
async fn requests_at_the_same_time_are_carried_out_once() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let body = json!({ "name": "Team" });
    for round in 0..5 {
        let key = format!("k-{round}");
        let asked = (0..20).map(|_| post(&ada, "/api/rooms", &key, &body));
        let answers = futures_util::future::join_all(asked).await;
        let mut made = None;
        for answer in &answers {
            if answer.status == 409 {
                let problem = answer.problem(409, "request_in_progress");
                assert_eq!(problem["retry"], true);
                continue;
            }
            assert_eq!(answer.status, 201, "{answer:?}");
            assert_eq!(made.get_or_insert(&answer.text), &&answer.text);
        }
        assert!(made.is_some(), "one is carried out: {answers:?}");
        assert_eq!(rooms_of(&ada).await, round + 1);
    }
}

/// The log of a room has keys of its own: they cost nothing, and hold for as long as the log's.
#[tokio::test]
async fn a_publish_with_a_key_is_published_once() {
    let (node, database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await;
    let path = format!("/api/rooms/{}/messages", room.id);
    let key = "secret-key";
    let first = post(&ada, &path, key, &json!({ "body": "hello" })).await;
    let again = post(&ada, &path, key, &json!({ "body": "hello" })).await;
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.ok(), again.ok());
    let other = post(&ada, &path, key, &json!({ "body": "other" })).await;
    other.problem(422, "idempotency_key_reused");
    let page = ada.page(&room.id, "").await;
    assert_eq!(page["messages"].as_array().map(Vec::len), Some(1));
    assert!(
        !page.to_string().contains(key),
        "members do not see it: {page}"
    );
    let client = database.connect().await;
    let rows = client
        .query("SELECT FROM request_keys", &[])
        .await
        .expect("rows");
    assert!(rows.is_empty());
}

#[tokio::test]
async fn what_may_succeed_later_or_is_secret_is_not_kept() {
    let mut server = postgres::TestServer::start(postgres::Options { fsync: false }).await;
    let database = server.database().await;
    let options = NodeOptions::on(&database.url)
        .set("HUBBUB__DATABASE__ACQUIRE_TIMEOUT_MS", "500")
        .set("HUBBUB__DATABASE__CONNECT_TIMEOUT_MS", "500");
    let node = Node::start(options).await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await;
    let body = json!({ "name": "Team" });
    server.kill9().await;
    post(&ada, "/api/rooms", "k", &body)
        .await
        .problem(503, "unavailable");
    server.restart().await;
    let made = crate::harness::eventually("the node finds its database", async || {
        let answer = post(&ada, "/api/rooms", "k", &body).await;
        (answer.status == 201).then_some(answer)
    })
    .await;
    assert_eq!(made.header("idempotency-replayed"), None);
    // An invitation's token is shown once: the same key makes another.
    let path = format!("/api/rooms/{}/invitations", room.id);
    let first = post(&ada, &path, "i", &json!({})).await.ok();
    let second = post(&ada, &path, "i", &json!({})).await.ok();
    assert_ne!(first["token"], second["token"]);
    let client = database.connect().await;
    let token = first["token"].as_str().expect("a token");
    let found = "SELECT FROM request_keys WHERE position($1 in encode(body, 'escape')) > 0";
    assert!(
        client
            .query(found, &[&token])
            .await
            .expect("rows")
            .is_empty()
    );
    // Tickets and sessions take no notice.
    let tickets = [(); 2].map(|()| post(&ada, "/api/auth/ticket", "t", &body));
    let [one, two] = futures_util::future::join_all(tickets)
        .await
        .try_into()
        .expect("two");
    assert_ne!(one.ok()["ticket"], two.ok()["ticket"]);
}

/// An attempt whose node has died can be taken over by the same request when its time is over, and
/// after a day a key is as good as new.
#[tokio::test]
async fn keys_are_taken_over_and_forgotten_in_time() {
    let (node, database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let client = database.connect().await;
    let body = json!({ "name": "Team" });
    let first = post(&ada, "/api/rooms", "k", &body).await.ok();
    let unanswered = "UPDATE request_keys SET status = NULL, body = NULL, content_type = NULL";
    client.execute(unanswered, &[]).await.expect("it is there");
    let answer = post(&ada, "/api/rooms", "k", &body).await;
    answer.problem(409, "request_in_progress");
    let late = "UPDATE request_keys SET claimed_until = now() - interval '1 second'";
    client.execute(late, &[]).await.expect("it is there");
    let other = post(&ada, "/api/rooms", "k", &json!({ "name": "Other" })).await;
    other.problem(422, "idempotency_key_reused");
    let second = post(&ada, "/api/rooms", "k", &body).await.ok();
    assert_ne!(first["id"], second["id"]);
    let old = "UPDATE request_keys SET created_at = now() - interval '25 hours'";
    client.execute(old, &[]).await.expect("it is there");
    let third = post(&ada, "/api/rooms", "k", &json!({ "name": "Other" })).await;
    assert_eq!(
        (third.status, third.header("idempotency-replayed")),
        (201, None)
    );
}

#[tokio::test]
async fn a_user_has_only_so_many_keys() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url).set("HUBBUB__LIMITS__REQUEST_KEYS_PER_USER", "3");
    let node = Node::start(options).await;
    let (ada, bob) = (register(&node, "ada").await, register(&node, "bob").await);
    let body = json!({ "name": "Team" });
    for n in 0..3 {
        post(&ada, "/api/rooms", &format!("k{n}"), &body).await.ok();
    }
    post(&ada, "/api/rooms", "k3", &body)
        .await
        .problem(429, "too_many_keys");
    let again = post(&ada, "/api/rooms", "k0", &body).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    post(&bob, "/api/rooms", "k3", &body).await.ok();
    ada.post("/api/rooms", &body).await.ok();
}

#[tokio::test]
async fn keys_that_are_none_are_refused() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let long = "x".repeat(256);
    for key in ["", "\"\"", "\"open", "a b", &long] {
        let answer = post(&ada, "/api/rooms", key, &json!({ "name": "x" })).await;
        let problem = answer.problem(400, "invalid_request");
        assert_eq!(problem["errors"][0]["field"], "idempotency-key", "{key:?}");
    }
    let twice = ada
        .request(Method::POST, "/api/rooms")
        .json(&json!({ "name": "x" }));
    let twice = twice
        .header("idempotency-key", "a")
        .header("idempotency-key", "b");
    send(twice).await.problem(400, "invalid_request");
    assert_eq!(rooms_of(&ada).await, 0);
    // A body that is too large is not read for a key's sake either.
    let large = json!({ "name": "x".repeat(1_100_000) });
    post(&ada, "/api/rooms", "k", &large)
        .await
        .problem(413, "too_large");
}
