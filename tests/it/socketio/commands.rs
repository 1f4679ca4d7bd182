//! Commands as events, with and without acknowledgements, and pushes as events.

use serde_json::json;

use super::client::{Came, Client};
use super::{Scene, place, scene};

#[tokio::test]
async fn what_is_published_is_acknowledged_and_pushed_to_all() {
    let Scene {
        node,
        ada,
        bob,
        room,
        database: _database,
    } = scene(&[]).await;
    let place = place(&node, 4);
    let mut one = Client::connect(&place, &ada).await;
    let mut other = Client::connect(&place, &bob).await;
    // By its slug, as everywhere.
    let joined = one.done("join", &json!({ "room": "lobby" })).await;
    assert_eq!(joined["room"], json!(room.id));
    other.join(&room).await;
    let said = json!({ "room": room.id, "body": "hi 😀", "client_id": "c1" });
    let acked = one.done("publish", &said).await;
    for client in [&mut one, &mut other] {
        let args = client.event_args("message").await;
        assert_eq!(args.len(), 2, "{args:?}");
        assert_eq!(args[0]["push"], "message");
        assert_eq!(args[0]["seq"], acked["seq"]);
        assert_eq!(args[0]["body"], "hi 😀");
        // Where the client stands now, by its own library's account.
        assert_eq!(args[1].as_str(), client.offset.as_deref());
    }
    // Ephemeral ones leave the position as it is.
    let before = other.offset.clone();
    let typing = json!({ "room": room.id, "typing": true });
    one.done("typing", &typing).await;
    let args = other.event_args("typing").await;
    assert_eq!((args.len(), &other.offset), (1, &before));
    let custom = json!({ "room": room.id, "name": "cursor", "data": {"x": 1}, "volatile": true });
    one.done("emit", &custom).await;
    let event = other.event("event").await;
    assert_eq!(
        (&event["name"], &event["data"]),
        (&json!("cursor"), &json!({"x": 1}))
    );
}

#[tokio::test]
async fn each_join_and_leave_is_followed_by_a_cursor() {
    let Scene {
        node,
        ada,
        room,
        database: _database,
        ..
    } = scene(&[]).await;
    let second = ada.create_room("second").await;
    let mut client = Client::connect(&place(&node, 4), &ada).await;
    let mut offsets = Vec::new();
    for (command, room) in [("join", &room), ("join", &second), ("leave", &room)] {
        let done = client.done(command, &json!({ "room": room.id })).await;
        let args = client.event_args("cursor").await;
        assert_eq!(args.len(), 1);
        // The acknowledgement has it, too.
        assert_eq!(done["cursor"], args[0]);
        offsets.push(client.offset.clone());
    }
    offsets.dedup();
    assert_eq!(offsets.len(), 3);
}

#[tokio::test]
async fn what_cannot_be_done_is_told_by_the_acknowledgement_or_an_event() {
    let Scene {
        node,
        ada,
        room,
        database: _database,
        ..
    } = scene(&[]).await;
    let mut client = Client::connect(&place(&node, 4), &ada).await;
    for (event, arg, code) in [
        ("publish", json!({ "room": room.id }), "invalid_request"),
        ("nonsense", json!({}), "unknown_command"),
        ("leave", json!({ "room": room.id }), "not_joined"),
        ("join", json!({ "room": "nowhere" }), "room_not_found"),
    ] {
        let answer = client.ask(event, &arg).await;
        assert_eq!(answer["err"]["code"], code, "{event}");
        client
            .socket
            .send(&format!("42{}", json!([event, arg])))
            .await;
        let refused = client.event("refused").await;
        assert_eq!(refused["cmd"], event);
        assert_eq!(refused["err"]["code"], code);
    }
    // Without arguments, and with one too many.
    client.socket.send(r#"42["join"]"#).await;
    assert_eq!(
        client.event("refused").await["err"]["code"],
        "invalid_request"
    );
    client.socket.send(r#"42["join",{},{}]"#).await;
    assert_eq!(
        client.event("refused").await["err"]["code"],
        "invalid_request"
    );
    client.done("ping", &json!({})).await;
}

#[tokio::test]
async fn one_room_at_a_time_if_the_client_wants_that() {
    let Scene {
        node,
        ada,
        bob,
        room,
        database: _database,
    } = scene(&[]).await;
    let second = ada.create_room("second").await;
    let mut client = Client::open(&place(&node, 4)).await;
    client
        .enter(&json!({ "token": ada.token, "rooms": "single" }))
        .await;
    client.join(&room).await;
    client.join(&second).await;
    bob.say(&room.id, "unheard", "c1").await.ok();
    ada.say(&second.id, "heard", "c2").await.ok();
    assert_eq!(client.bodies(1).await, ["heard"]);
    let left = client.ask("leave", &json!({ "room": room.id })).await;
    assert_eq!(left["err"]["code"], "not_joined");
}

#[tokio::test]
async fn who_leaves_the_namespace_hears_nothing_and_can_come_back() {
    let Scene {
        node,
        ada,
        room,
        database: _database,
        ..
    } = scene(&[]).await;
    let mut client = Client::in_room(&place(&node, 4), &ada, &room).await;
    client.socket.send("41").await;
    client.enter(&json!({ "token": ada.token })).await;
    // What is said now is for nobody: the room is to be joined again.
    ada.say(&room.id, "unheard", "c1").await.ok();
    let since = json!({ "room": room.id });
    client.done("join", &since).await;
    ada.say(&room.id, "heard", "c2").await.ok();
    assert_eq!(client.bodies(1).await, ["heard"]);
    // An event for a namespace that it is not in ends the connection.
    client.socket.send("41").await;
    client.socket.send(r#"42["ping",{}]"#).await;
    assert!(matches!(client.came().await, Came::Closed));
}
