//! What costs the node something is counted, and what cannot be counted costs little.

use serde_json::json;

use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres;
use crate::harness::rest::register;
use crate::harness::socket::{Socket, refusal};

/// Names of rooms that are not there are looked up in the database: that counts as a read,
/// whatever the command.
#[tokio::test]
async fn looking_up_names_is_counted() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url)
        .set("HUBBUB__LIMITS__EXEMPT", "")
        .set("HUBBUB__LIMITS__READS_PER_MIN", "20");
    let node = Node::start(options).await;
    let commands = [
        ("leave", json!({})),
        ("typing", json!({})),
        ("publish", json!({ "body": "b", "client_id": "c" })),
        ("emit", json!({ "name": "n", "data": 1, "volatile": true })),
        (
            "message.delete",
            json!({ "message_id": "01890000-0000-7000-8000-000000000000" }),
        ),
    ];
    for (number, (cmd, fields)) in commands.into_iter().enumerate() {
        let user = register(&node, &format!("user-{number}")).await;
        let mut socket = Socket::connect(&node, &user).await;
        let mut codes = Vec::new();
        for n in 0..40 {
            let mut fields = fields.clone();
            fields["room"] = json!(format!("no-such-room-{n}"));
            let reply = socket.request(cmd, fields).await;
            let error = refusal(&reply).expect("there is no such room");
            codes.push(error["code"].as_str().unwrap_or_default().to_owned());
        }
        assert!(
            codes.iter().any(|code| code == "rate_limited"),
            "{cmd}: {codes:?}"
        );
    }
}
