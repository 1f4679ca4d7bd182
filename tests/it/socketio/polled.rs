//! A client of Socket.IO that polls.

use serde_json::{Value, json};

use crate::harness::engineio::{Place, Polling, SEPARATOR};
use crate::harness::rest::{Room, User};

/// One in the main namespace.
pub(super) async fn entered(place: &Place, user: &User) -> Polling {
    let client = place.open().await;
    let auth = json!({ "token": user.token });
    assert_eq!(client.post(format!("40{auth}")).await.ok(), "ok");
    let packets = until(&client, "sid").await;
    assert!(packets[0].starts_with("40{"), "{packets:?}");
    client
}

/// One in a room.
pub(super) async fn in_room(place: &Place, user: &User, room: &Room) -> Polling {
    let client = entered(place, user).await;
    let join = ask(0, "join", &json!({ "room": room.id }));
    assert_eq!(client.post(join).await.ok(), "ok");
    let packets = until(&client, "430").await;
    assert!(packets[0].starts_with("430["), "{packets:?}");
    client
}

/// An event that asks for an acknowledgement.
pub(super) fn ask(id: u64, event: &str, arg: &Value) -> String {
    format!("42{id}{}", json!([event, arg]))
}

/// Packets that come, until one contains this.
pub(super) async fn until(client: &Polling, what: &str) -> Vec<String> {
    let mut packets = Vec::new();
    loop {
        let polled = client.get().await;
        packets.extend(polled.ok().split(SEPARATOR).map(str::to_owned));
        if packets.iter().any(|packet| packet.contains(what)) {
            return packets;
        }
    }
}
