//! Bytes stay bytes: as attachments, as base64 where there is only text, and in MessagePack.

use serde_json::json;

use super::client::Client;
use super::{Scene, place, scene};
use crate::harness::engineio::SEPARATOR;

/// An event with one attachment, which is a message's body.
fn publish(room: &str, client_id: &str) -> String {
    let said = json!({
        "room": room, "client_id": client_id, "body": { "_placeholder": true, "num": 0 },
    });
    format!("451-7{}", json!(["publish", said]))
}

#[tokio::test]
async fn bytes_are_attached() {
    let Scene {
        node,
        ada,
        room,
        database: _database,
        ..
    } = scene(&[]).await;
    let place = place(&node, 4);
    let mut client = Client::connect(&place, &ada).await;
    client.done("join", &json!({ "room": room.id })).await;
    client.event("cursor").await;
    let polling = place.open().await;
    let entering = format!("40{}", json!({ "token": ada.token }));
    assert_eq!(polling.post(entering).await.ok(), "ok");
    assert!(polling.get().await.ok().starts_with("40{"));
    let join = format!("420{}", json!(["join", { "room": room.id }]));
    assert_eq!(polling.post(join).await.ok(), "ok");
    assert!(polling.get().await.ok().starts_with("430["));

    client.socket.send(&publish(&room.id, "c1")).await;
    client.socket.send_bytes(&[0, 1, 254, 255]).await;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let packet = client.socket.text().await;
        if packet.starts_with("451-[") {
            assert!(
                packet.contains(r#""body":{"_placeholder":true,"num":0}"#),
                "{packet}"
            );
            assert_eq!(client.socket.bytes().await, [0, 1, 254, 255]);
            seen.push(packet);
        } else if packet.starts_with("437[") {
            assert!(packet.contains("\"ok\""), "{packet}");
            seen.push(packet);
        }
    }
    let mut packets = Vec::new();
    while !packets.iter().any(|it: &String| it.starts_with('b')) {
        let polled = polling.get().await;
        packets.extend(polled.ok().split(SEPARATOR).map(str::to_owned));
    }
    let at = packets
        .iter()
        .position(|it| it.starts_with("451-["))
        .expect("the event");
    assert_eq!(packets[at + 1], "bAAH+/w==");
}
