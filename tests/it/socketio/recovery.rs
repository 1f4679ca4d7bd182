//! Coming back: what an official client's `pid` and offset are worth.

use serde_json::{Value, json};

use super::client::{Came, Client};
use super::{Scene, place, scene};
use crate::harness::engineio::Place;
use crate::harness::rest::User;

/// What an official client shows when it comes back.
fn auth(user: &User, client: &Client) -> Value {
    json!({ "token": user.token, "pid": client.pid, "offset": client.offset })
}

/// The same client, by another connection.
async fn back(place: &Place, shown: &Value) -> Client {
    let mut client = Client::open(place).await;
    client.enter(shown).await;
    client
}

#[tokio::test]
async fn who_comes_back_gets_what_was_missed_and_comes_back_again() {
    let Scene {
        node,
        ada,
        bob,
        room,
        database: _database,
    } = scene(&[]).await;
    let place = place(&node, 4);
    let second = ada.create_room("second").await;
    let mut client = Client::connect(&place, &ada).await;
    let pid = client.pid.clone();
    assert!(pid.is_some());
    client.join(&room).await;
    client.join(&second).await;
    bob.say(&room.id, "1", "c1").await.ok();
    assert_eq!(client.bodies(1).await, ["1"]);
    for round in 0..2 {
        let shown = auth(&ada, &client);
        drop(client);
        let key = |what: &str| format!("{what}-{round}");
        bob.say(&room.id, &key("a"), &key("a")).await.ok();
        ada.say(&second.id, &key("b"), &key("b")).await.ok();
        bob.say(&room.id, &key("c"), &key("c")).await.ok();
        client = back(&place, &shown).await;
        // The same one: its library says `recovered`.
        assert_eq!(client.pid, pid);
        let mut bodies = client.bodies(3).await;
        bodies.sort();
        assert_eq!(bodies, [key("a"), key("b"), key("c")]);
        let live = key("live");
        bob.say(&room.id, &live, &live).await.ok();
        assert_eq!(client.bodies(1).await, [live]);
    }
}

#[tokio::test]
async fn another_node_after_a_crash_is_as_good() {
    let Scene {
        mut node,
        ada,
        bob,
        room,
        database,
    } = scene(&[]).await;
    let mut client = Client::in_room(&place(&node, 4), &ada, &room).await;
    bob.say(&room.id, "1", "c1").await.ok();
    assert_eq!(client.bodies(1).await, ["1"]);
    let options = crate::harness::node::NodeOptions::on(&database.url);
    let other = crate::harness::node::Node::start(options).await;
    node.kill9();
    node.wait_exit().await;
    bob.at(&other).say(&room.id, "2", "c2").await.ok();
    let pid = client.pid.clone();
    let mut client = back(&place(&other, 4), &auth(&ada, &client)).await;
    assert_eq!(client.pid, pid);
    assert_eq!(client.bodies(1).await, ["2"]);
}

#[tokio::test]
async fn who_cannot_say_where_it_stands_gets_another_pid_and_a_gap() {
    let Scene {
        node,
        ada,
        room,
        database: _database,
        ..
    } = scene(&[]).await;
    let place = place(&node, 4);
    for offset in [json!("!"), Value::Null, json!("message"), json!("AQE")] {
        let mut client = Client::open(&place).await;
        let shown = json!({ "token": ada.token, "pid": "mine", "offset": offset });
        let accepted = client.enter(&shown).await;
        assert!(
            accepted["pid"].is_string() && accepted["pid"] != "mine",
            "{accepted}"
        );
        let gap = client.event("gap").await;
        assert_eq!(gap["rooms"], json!([]), "{gap}");
        client.join(&room).await;
    }
}

#[tokio::test]
async fn a_room_that_is_no_longer_open_is_a_gap() {
    let Scene {
        node,
        ada,
        bob,
        room,
        database: _database,
    } = scene(&[]).await;
    let place = place(&node, 4);
    let mut client = Client::in_room(&place, &bob, &room).await;
    ada.say(&room.id, "1", "c1").await.ok();
    assert_eq!(client.bodies(1).await, ["1"]);
    drop(client.socket);
    let path = format!("/api/rooms/{}/members/{}", room.id, bob.id);
    ada.delete(&path).await.ok();
    let mut again = Client::open(&place).await;
    let shown = json!({ "token": bob.token, "pid": client.pid, "offset": client.offset });
    let accepted = again.enter(&shown).await;
    assert_ne!(accepted["pid"].as_str(), client.pid.as_deref());
    let gap = again.event("gap").await;
    assert_eq!(gap["rooms"][0]["room"], json!(room.id), "{gap}");
    assert_eq!(gap["rooms"][0]["err"]["code"], "not_a_member", "{gap}");
    assert_eq!(gap["cursor"].as_str(), client.offset.as_deref());
}

#[tokio::test]
async fn a_token_that_is_worth_nothing_recovers_nothing() {
    let Scene {
        node,
        ada,
        room,
        database: _database,
        ..
    } = scene(&[]).await;
    let place = place(&node, 4);
    let client = Client::in_room(&place, &ada, &room).await;
    let shown = json!({ "token": "guess", "pid": client.pid, "offset": client.offset });
    let mut again = Client::open(&place).await;
    assert!(matches!(again.ask_to_enter(&shown).await, Came::Refused(_)));
}

#[tokio::test]
async fn a_cursor_of_the_application_is_resumed() {
    let Scene {
        node,
        ada,
        bob,
        room,
        database: _database,
    } = scene(&[]).await;
    let place = place(&node, 4);
    let mut client = Client::connect(&place, &ada).await;
    let joined = client.join(&room).await;
    bob.say(&room.id, "1", "c1").await.ok();
    let mut by_auth = Client::open(&place).await;
    by_auth
        .enter(&json!({ "token": ada.token, "cursor": joined["cursor"] }))
        .await;
    assert_eq!(by_auth.bodies(1).await, ["1"]);
    let mut by_command = Client::connect(&place, &ada).await;
    let resumed = by_command
        .done("resume", &json!({ "cursor": joined["cursor"] }))
        .await;
    assert_eq!(resumed["resumed"], 1);
    assert_eq!(by_command.bodies(1).await, ["1"]);
}
