//! Who may come in, and as whom.

use serde_json::json;

use super::client::{Came, Client};
use super::{Scene, place, scene};
use crate::harness::engineio::Place;

#[tokio::test]
async fn nobody_comes_in_without_credentials() {
    let Scene {
        node,
        ada,
        database: _database,
        ..
    } = scene(&[]).await;
    let mut client = Client::open(&place(&node, 4)).await;
    for auth in [
        json!({}),
        json!({ "token": "guess" }),
        json!({ "token": 7 }),
    ] {
        let Came::Refused(refused) = client.ask_to_enter(&auth).await else {
            panic!("not refused");
        };
        assert_eq!(refused["data"]["code"], "unauthenticated", "{refused}");
        assert!(refused["message"].is_string());
    }
    // Nor anywhere else.
    client.socket.send("40/custom,").await;
    let refused = client.socket.text().await;
    assert_eq!(refused, r#"44/custom,{"message":"Invalid namespace"}"#);
    // The connection is still there for who shows some.
    client.enter(&json!({ "token": ada.token })).await;
    client.done("ping", &json!({})).await;
}

#[tokio::test]
async fn who_is_in_no_namespace_in_time_goes() {
    let settings = [("HUBBUB__SOCKETIO__CONNECT_TIMEOUT_MS", "200")];
    let Scene {
        node,
        database: _database,
        ..
    } = scene(&settings).await;
    let mut client = Client::open(&place(&node, 4)).await;
    assert!(matches!(client.came().await, Came::Closed));
    let polling = place(&node, 4).open().await;
    assert_eq!(polling.get().await.ok(), "1");
    polling.get().await.unknown_session();
}

#[tokio::test]
async fn clients_of_revision_3_are_in_without_asking() {
    let Scene {
        node,
        ada,
        room,
        database: _database,
        ..
    } = scene(&[]).await;
    let place = place(&node, 3);
    let more = format!("&token={}", ada.token);
    let mut socket = place
        .socket(&more, &[])
        .await
        .expect("the upgrade is given");
    assert!(socket.text().await.starts_with('0'));
    assert_eq!(socket.text().await, "40");
    let mut client = Client::on(socket, 3);
    client.join(&room).await;
    ada.say(&room.id, "hi", "c1").await.ok();
    // There is nothing that it could recover by.
    let args = client.event_args("message").await;
    assert_eq!((args.len(), &args[0]["body"]), (1, &json!("hi")));
    client.socket.send("2").await;
    assert_eq!(client.socket.text().await, "3");

    // Who shows nothing is told so.
    let mut socket = place.socket("", &[]).await.expect("the upgrade is given");
    assert!(socket.text().await.starts_with('0'));
    let refused = socket.text().await;
    assert!(refused.starts_with("44{"), "{refused}");
    assert!(refused.contains(r#""code":"unauthenticated""#), "{refused}");
}

#[tokio::test]
async fn libraries_that_know_no_offsets_get_none() {
    let Scene {
        node,
        ada,
        room,
        database: _database,
        ..
    } = scene(&[]).await;
    let place: Place = place(&node, 4);
    // As python-socketio asks, whose handlers take one argument.
    let socket = place.socket_by("transport=websocket&EIO=4", &[]).await;
    let mut client = Client::on(socket.expect("the upgrade is given"), 4);
    assert!(client.socket.text().await.starts_with('0'));
    let accepted = client.enter(&json!({ "token": ada.token })).await;
    assert!(accepted["pid"].is_null(), "{accepted}");
    client.join(&room).await;
    ada.say(&room.id, "hi", "c1").await.ok();
    assert_eq!(client.event_args("message").await.len(), 1);
}
