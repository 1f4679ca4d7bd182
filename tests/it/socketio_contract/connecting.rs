//! Socket.IO 5: connecting to namespaces, and leaving them.

use serde_json::{Value, json};

use super::{contract, contract_with, socket};
use crate::harness::engineio::{Place, Polling, RawSocket, SEPARATOR};
use crate::harness::node::Node;

/// A client that is in the main namespace.
pub(super) async fn connected(node: &Node) -> RawSocket {
    let (mut client, _) = socket(node).open_socket().await;
    client.send("40").await;
    is_accepted(&client.text().await, "40");
    assert_eq!(client.text().await, r#"42["auth",{}]"#);
    client
}

/// The same by polling.
pub(super) async fn connected_by_polling(place: &Place) -> Polling {
    let client = place.open().await;
    assert_eq!(client.post("40").await.ok(), "ok");
    let mut packets = String::new();
    while !packets.contains("auth") {
        packets.push_str(client.get().await.ok());
    }
    client
}

/// `{"sid":"…"}` and nothing else.
#[track_caller]
fn is_accepted(packet: &str, before: &str) {
    let json = packet.strip_prefix(before).expect(packet);
    let data: Value = serde_json::from_str(json).expect(packet);
    let fields = data.as_object().expect("an object");
    assert_eq!(fields.len(), 1, "{packet}");
    assert!(data["sid"].as_str().is_some_and(|sid| !sid.is_empty()));
}

#[tokio::test]
async fn a_client_connects_to_the_main_namespace() {
    let (node, _database) = contract().await;
    let (mut client, open) = socket(&node).open_socket().await;
    client.send("40").await;
    let answer = client.text().await;
    is_accepted(&answer, "40");
    // "the Socket.IO session id … must be different" from the Engine.IO one.
    assert!(!answer.contains(open["sid"].as_str().unwrap()));
    assert_eq!(client.text().await, r#"42["auth",{}]"#);
}

#[tokio::test]
async fn what_it_shows_comes_with_it() {
    let (node, _database) = contract().await;
    for (sent, accepted, auth) in [
        (
            r#"40{"token":"123"}"#,
            "40",
            r#"42["auth",{"token":"123"}]"#,
        ),
        ("40/custom,", "40/custom,", r#"42/custom,["auth",{}]"#),
        (
            r#"40/custom,{"token":"abc"}"#,
            "40/custom,",
            r#"42/custom,["auth",{"token":"abc"}]"#,
        ),
    ] {
        let (mut client, _) = socket(&node).open_socket().await;
        client.send(sent).await;
        is_accepted(&client.text().await, accepted);
        assert_eq!(client.text().await, auth);
    }
}

#[tokio::test]
async fn connecting_by_polling_takes_one_request() {
    let (node, _database) = contract().await;
    let client = socket(&node).open().await;
    assert_eq!(client.post("40").await.ok(), "ok");
    let polled = client.get().await;
    let packets: Vec<_> = polled.ok().split(SEPARATOR).collect();
    is_accepted(packets[0], "40");
    if let Some(auth) = packets.get(1) {
        assert_eq!(*auth, r#"42["auth",{}]"#);
    }
}

#[tokio::test]
async fn a_namespace_that_is_not_there_is_refused() {
    let (node, _database) = contract().await;
    let (mut client, _) = socket(&node).open_socket().await;
    client.send("40/random").await;
    assert_eq!(
        client.text().await,
        r#"44/random,{"message":"Invalid namespace"}"#
    );
    // It may go to another one.
    client.send("40").await;
    is_accepted(&client.text().await, "40");
}

#[tokio::test]
async fn a_client_is_in_several_namespaces_over_one_connection() {
    let (node, _database) = contract().await;
    let mut client = connected(&node).await;
    client.send("40/custom").await;
    is_accepted(&client.text().await, "40/custom,");
    assert_eq!(client.text().await, r#"42/custom,["auth",{}]"#);
    // "Leaving" one leaves the other as it is.
    client.send("41/custom").await;
    client
        .send(r#"42["message","message to main namespace"]"#)
        .await;
    assert_eq!(
        client.text().await,
        r#"42["message-back","message to main namespace"]"#
    );
}

#[tokio::test]
async fn leaving_the_main_namespace_leaves_the_others() {
    let (node, _database) = contract().await;
    let mut client = connected(&node).await;
    client.send("40/custom").await;
    is_accepted(&client.text().await, "40/custom,");
    assert_eq!(client.text().await, r#"42/custom,["auth",{}]"#);
    client.send("41").await;
    client.send("40").await;
    is_accepted(&client.text().await, "40");
}

/// "If the client does not connect to a namespace within …, the server must close the connection."
#[tokio::test]
async fn a_client_that_connects_to_nothing_is_closed() {
    let (node, _database) = contract_with(&[("CONNECT_TIMEOUT_MS", "200")]).await;
    let (mut client, _) = socket(&node).open_socket().await;
    client.closed().await;
    let (mut stays, _) = socket(&node).open_socket().await;
    stays.send("40").await;
    is_accepted(&stays.text().await, "40");
    stays.text().await;
    let silence = std::time::Duration::from_millis(400);
    assert!(stays.is_silent_for(silence).await, "it may stay");
}

#[tokio::test]
async fn a_first_packet_that_is_no_connect_ends_the_connection() {
    let (node, _database) = contract().await;
    for first in ["4abc", r#"42["message"]"#, "41", "431[]", "44{}", "4"] {
        let (mut client, _) = socket(&node).open_socket().await;
        client.send(first).await;
        client.refused().await;
    }
}

#[tokio::test]
async fn a_flood_of_namespaces_ends_the_connection() {
    let (node, _database) = contract().await;
    let (mut client, _) = socket(&node).open_socket().await;
    for number in 0..100 {
        client.send_or_lose(&format!("40/n{number}")).await;
    }
    client.closed().await;
}

#[tokio::test]
async fn a_namespace_is_asked_for_once() {
    let (node, _database) = contract().await;
    let mut client = connected(&node).await;
    client.send("40").await;
    client.refused().await;
}

#[tokio::test]
async fn clients_of_revision_3_are_in_the_main_namespace_without_asking() {
    let (node, _database) = contract().await;
    let place = Place::new(&node.address, super::SOCKET, 3);
    let (mut client, _) = place.open_socket().await;
    assert_eq!(client.text().await, "40");
    client.send(r#"42["message",1,"2",{"3":[true]}]"#).await;
    loop {
        let packet = client.text().await;
        if packet.contains("message-back") {
            assert_eq!(packet, r#"42["message-back",1,"2",{"3":[true]}]"#);
            break;
        }
        assert!(packet.contains("auth"), "{packet}");
    }
    client.send("40/random").await;
    let refused = client.text().await;
    let reason = refused.strip_prefix("44/random,").expect(&refused);
    assert_eq!(
        serde_json::from_str::<Value>(reason).unwrap(),
        json!("Invalid namespace")
    );
}
