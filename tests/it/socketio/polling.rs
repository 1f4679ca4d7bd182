//! The hub by polls, and by a change from them to a WebSocket.

use serde_json::{Value, json};

use super::client::Client;
use super::polled::{ask, entered, in_room, until};
use super::{Scene, place, scene};
use crate::harness::engineio::SEPARATOR;

#[tokio::test]
async fn commands_and_pushes_go_by_polls_wherever_their_requests_land() {
    // Each request by a connection of its own, and so on any of the threads.
    let settings = [("HUBBUB__HTTP__WORKERS", "4")];
    let Scene {
        node,
        ada,
        bob,
        room,
        database: _database,
    } = scene(&settings).await;
    let client = entered(&place(&node, 4), &ada).await;
    let join = ask(0, "join", &json!({ "room": room.id }));
    let publish = json!({ "room": room.id, "body": "0", "client_id": "c0" });
    let both = [join, ask(1, "publish", &publish)].join(SEPARATOR);
    assert_eq!(client.post(both).await.ok(), "ok");
    let packets = until(&client, r#""body":"0""#).await;
    assert!(packets[0].starts_with("430[{\"ok\":"), "{packets:?}");
    assert!(
        packets.iter().any(|it| it.starts_with("431[{\"ok\":")),
        "{packets:?}"
    );
    for number in 1..20 {
        let body = number.to_string();
        bob.say(&room.id, &body, &format!("c{number}")).await.ok();
    }
    let mut bodies = Vec::new();
    while bodies.len() < 19 {
        for packet in client.get().await.ok().split(SEPARATOR) {
            let Some(event) = packet.strip_prefix("42") else {
                continue;
            };
            let event: Value = serde_json::from_str(event).expect("JSON");
            if event[0] == "message" {
                bodies.push(event[1]["body"].as_str().expect("text").to_owned());
            }
        }
    }
    let expected: Vec<_> = (1..20).map(|number| number.to_string()).collect();
    assert_eq!(bodies, expected);
}

#[tokio::test]
async fn a_session_goes_on_by_a_websocket_and_misses_nothing() {
    let settings = [("HUBBUB__HTTP__WORKERS", "4")];
    let Scene {
        node,
        ada,
        bob,
        room,
        database: _database,
    } = scene(&settings).await;
    let polling = in_room(&place(&node, 4), &ada, &room).await;
    let mut socket = polling.socket().await;
    socket.send("2probe").await;
    assert_eq!(socket.text().await, "3probe");
    // Nobody polls: it waits, and goes by the WebSocket first.
    for number in 0..5 {
        let body = number.to_string();
        bob.say(&room.id, &body, &format!("c{number}")).await.ok();
    }
    socket.send("5").await;
    let mut client = Client::on(socket, 4);
    assert_eq!(client.bodies(5).await, ["0", "1", "2", "3", "4"]);
    client.done("ping", &json!({})).await;
    bob.say(&room.id, "live", "c5").await.ok();
    assert_eq!(client.bodies(1).await, ["live"]);
    assert_eq!(polling.get().await.status, 400);
    assert_eq!(
        node.metric(r#"socketio_sessions{transport="websocket"}"#)
            .await,
        1
    );
}
