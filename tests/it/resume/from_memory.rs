//! What a room remembers may be more than a connection takes at once.

use serde_json::json;

use super::scene;
use crate::harness::socket::Socket;

#[tokio::test]
pub(crate) async fn a_memory_larger_than_the_outbox_is_replayed_all_the_same() {
    let settings = [
        ("HUBBUB__WEBSOCKET__OUTBOX_MAX_BYTES", "16384"),
        ("HUBBUB__WEBSOCKET__EPHEMERAL_MAX_BYTES", "2048"),
        ("HUBBUB__WEBSOCKET__MAX_MESSAGE_BYTES", "8192"),
        ("HUBBUB__LIMITS__MESSAGE_BYTES", "4096"),
        ("HUBBUB__HUB__REPLAY_PAGE_EVENTS", "7"),
    ];
    let scene = scene(1, &settings).await;
    let room = &scene.rooms[0];
    // The room remembers all of it.
    let mut ada = Socket::connect(&scene.node, &scene.ada).await;
    ada.join(&room.id).await;
    let body = "x".repeat(1500);
    for n in 0..100 {
        ada.publish(&room.id, &body, &format!("c{n}")).await;
        ada.push("message").await;
    }
    let mut bob = Socket::connect(&scene.node, &scene.bob).await;
    let fields = json!({ "room": room.id, "since": 0, "epoch": room.epoch });
    let joined = bob.ok("join", fields).await;
    let last = joined["last_seq"].as_u64().expect("a seq");
    assert_eq!(joined["replayed"], last);
    ada.publish(&room.id, "after it", "last").await;
    for seq in 1..=last + 1 {
        let push = bob
            .next_push("the next event", |push| push["seq"].is_u64())
            .await;
        assert_eq!(push["seq"], seq);
    }
}
