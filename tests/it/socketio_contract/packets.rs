//! Socket.IO 5: events, acknowledgements, attachments, and what is no packet.

use super::connecting::{connected, connected_by_polling};
use super::{contract, socket};
use crate::harness::engineio::SEPARATOR;

#[tokio::test]
async fn an_event_comes_back_with_its_arguments() {
    let (node, _database) = contract().await;
    let mut client = connected(&node).await;
    for (sent, back) in [
        (
            r#"42["message",1,"2",{"3":[true]}]"#,
            r#"42["message-back",1,"2",{"3":[true]}]"#,
        ),
        (r#"42["message"]"#, r#"42["message-back"]"#),
        (
            "42[\"message\",\"h\u{e9} \u{1f600}\",null,1.5e3]",
            "42[\"message-back\",\"h\u{e9} \u{1f600}\",null,1.5e3]",
        ),
    ] {
        client.send(sent).await;
        assert_eq!(client.text().await, back);
    }
}

#[tokio::test]
async fn attachments_come_back_as_they_are() {
    let (node, _database) = contract().await;
    let mut client = connected(&node).await;
    client
        .send(r#"452-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#)
        .await;
    client.send_bytes(&[1, 2, 3]).await;
    client.send_bytes(&[4, 5, 6]).await;
    assert_eq!(
        client.text().await,
        r#"452-["message-back",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#
    );
    assert_eq!(client.bytes().await, [1, 2, 3]);
    assert_eq!(client.bytes().await, [4, 5, 6]);
}

#[tokio::test]
async fn an_event_with_an_id_is_acknowledged() {
    let (node, _database) = contract().await;
    let mut client = connected(&node).await;
    client
        .send(r#"42456["message-with-ack",1,"2",{"3":[false]}]"#)
        .await;
    assert_eq!(client.text().await, r#"43456[1,"2",{"3":[false]}]"#);
    client.send(r#"420["message-with-ack"]"#).await;
    assert_eq!(client.text().await, "430[]");

    client
        .send(
            r#"452-789["message-with-ack",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#,
        )
        .await;
    client.send_bytes(&[1, 2, 3]).await;
    client.send_bytes(&[4, 5, 6]).await;
    assert_eq!(
        client.text().await,
        r#"462-789[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#
    );
    assert_eq!(client.bytes().await, [1, 2, 3]);
    assert_eq!(client.bytes().await, [4, 5, 6]);
}

#[tokio::test]
async fn by_polling_attachments_are_base64() {
    let (node, _database) = contract().await;
    let client = connected_by_polling(&socket(&node)).await;
    let event = |name: &str| format!(r#"451-["{name}",{{"_placeholder":true,"num":0}}]"#);
    let sent = format!("{}{SEPARATOR}bAQID", event("message"));
    assert_eq!(client.post(sent).await.ok(), "ok");
    let mut packets = String::new();
    while !packets.contains("bAQID") {
        if !packets.is_empty() {
            packets.push_str(SEPARATOR);
        }
        packets.push_str(client.get().await.ok());
    }
    assert_eq!(
        packets,
        format!("{}{SEPARATOR}bAQID", event("message-back"))
    );
}

#[tokio::test]
async fn events_of_a_namespace_stay_in_it() {
    let (node, _database) = contract().await;
    let mut client = connected(&node).await;
    client.send("40/custom").await;
    assert!(client.text().await.starts_with("40/custom,"));
    assert_eq!(client.text().await, r#"42/custom,["auth",{}]"#);
    client.send(r#"42/custom,["message","hello"]"#).await;
    client.send(r#"42["message","hello"]"#).await;
    assert_eq!(client.text().await, r#"42/custom,["message-back","hello"]"#);
    assert_eq!(client.text().await, r#"42["message-back","hello"]"#);
}

/// "the server MUST close the connection" on each of these.
#[tokio::test]
async fn what_is_no_packet_ends_the_connection() {
    let (node, _database) = contract().await;
    for bad in [
        "4abc",
        "42{}",
        r#"42abc["message-with-ack",1,"2",{"3":[false]}]"#,
        "42",
        "42[]",
        r#"42["message""#,
        r#"42["connect"]"#,
        r#"42["disconnecting"]"#,
        "47[]",
        // Attachments: none told, too many, and none of what was told in place.
        r#"45-["message"]"#,
        r#"4511-["message"]"#,
        r#"451-["message",{"_placeholder":true,"num":7}]"#,
        // An acknowledgement that nobody asked for.
        "431[]",
        "44{}",
        // A namespace that it is not in.
        r#"42/custom,["message"]"#,
    ] {
        let mut client = connected(&node).await;
        client.send(bad).await;
        if bad.starts_with("451-[") {
            client.send_bytes(&[1]).await;
        }
        client.refused().await;
    }
    // The node is none the worse for it.
    connected(&node).await;
}

/// What the parser of the authors takes, too: a number as an event's name, and arguments that are nested
/// as deep as they like, which nobody on the way has to read.
#[tokio::test]
async fn what_is_odd_is_taken_as_it_is() {
    let (node, _database) = contract().await;
    let mut client = connected(&node).await;
    client.send("42[1]").await;
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    client.send(&format!(r#"42["message",{deep}]"#)).await;
    assert_eq!(client.text().await, format!(r#"42["message-back",{deep}]"#));
}

#[tokio::test]
async fn bytes_that_belong_to_nothing_end_the_connection() {
    let (node, _database) = contract().await;
    let mut client = connected(&node).await;
    client.send_bytes(&[1, 2, 3]).await;
    client.refused().await;
}

#[tokio::test]
async fn text_where_an_attachment_must_be_ends_the_connection() {
    let (node, _database) = contract().await;
    let mut client = connected(&node).await;
    client
        .send(r#"452-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#)
        .await;
    client.send_bytes(&[1]).await;
    client.send(r#"42["message"]"#).await;
    client.refused().await;
}

#[tokio::test]
async fn attachments_that_do_not_come_end_the_connection() {
    let (node, _database) = super::contract_with(&[("ATTACHMENTS_TIMEOUT_MS", "100")]).await;
    let mut client = connected(&node).await;
    client
        .send(r#"452-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#)
        .await;
    client.refused().await;
}
