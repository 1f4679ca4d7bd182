//! Bytes stay bytes: as attachments, as base64 where there is only text, and in MessagePack.

use serde_json::json;

use super::client::Client;
use super::{Scene, place, polled, scene};

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
    let mut client = Client::in_room(&place, &ada, &room).await;
    client.event("cursor").await;
    let polling = polled::in_room(&place, &ada, &room).await;

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
    let packets = polled::until(&polling, "bAAH+/w==").await;
    let at = packets
        .iter()
        .position(|it| it.starts_with("451-["))
        .expect("the event");
    assert_eq!(packets[at + 1], "bAAH+/w==");
}
