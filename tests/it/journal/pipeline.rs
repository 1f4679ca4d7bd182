//! Publishes that leave one after the other without waiting for replies.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::harness::rest::{Room, text};
use crate::harness::socket::{Socket, refusal};

/// What a sender wants to say.
#[derive(Clone, Debug)]
pub(super) struct Publish {
    pub(super) room: String,
    pub(super) body: String,
    pub(super) client_id: String,
}

impl Publish {
    pub(super) fn new(room: &Room, body: &str, client_id: &str) -> Self {
        Self {
            room: room.id.clone(),
            body: body.to_owned(),
            client_id: client_id.to_owned(),
        }
    }

    /// So many, with a key that is the prefix and a number, and a body of its own each.
    pub(super) fn numbered(room: &Room, prefix: &str, count: usize) -> Vec<Self> {
        (0..count)
            .map(|n| Self::new(room, &body(prefix, n), &format!("{prefix}{n}")))
            .collect()
    }

    fn fields(&self) -> Value {
        json!({ "room": self.room, "body": self.body, "client_id": self.client_id })
    }
}

/// What a message with this key says: characters that a careless query or encoding would trip
/// over are in all of them.
pub(super) fn body(prefix: &str, n: usize) -> String {
    format!("{prefix}{n}: \"it's\" \\ \n{{\u{1F600}}} $1 NULL,")
}

/// Sends them all, and gives the requests' ids.
pub(super) async fn send(socket: &mut Socket, publishes: &[Publish]) -> Vec<u64> {
    let mut ids = Vec::new();
    for publish in publishes {
        ids.push(socket.send_command("publish", publish.fields()).await);
    }
    ids
}

/// Waits for the replies to these requests, and gives them in the requests' order.
pub(super) async fn replies(socket: &mut Socket, ids: &[u64]) -> Vec<Value> {
    let mut replies = HashMap::new();
    for _ in ids {
        let reply = socket.reply().await.expect("the connection lasts");
        let id = reply["id"].as_u64().expect("an id");
        assert!(ids.contains(&id), "nobody asked: {reply}");
        let twice = replies.insert(id, reply);
        assert!(twice.is_none(), "answered twice: {twice:?}");
    }
    let reply_to = |id| replies.remove(id).expect("one for each");
    ids.iter().map(reply_to).collect()
}

/// Sends them all and waits for the replies.
pub(super) async fn burst(socket: &mut Socket, publishes: &[Publish]) -> Vec<Value> {
    let ids = send(socket, publishes).await;
    replies(socket, &ids).await
}

/// The ack of a reply that must be one.
#[track_caller]
pub(super) fn ack(reply: &Value) -> Value {
    let ok = reply.get("ok").cloned();
    ok.unwrap_or_else(|| panic!("not acknowledged: {reply}"))
}

/// The `seq`s of acks, which must ascend.
#[track_caller]
pub(super) fn ascending<'a>(acks: impl IntoIterator<Item = &'a Value>) -> Vec<i64> {
    let seqs: Vec<i64> = acks.into_iter().map(seq).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "not in order: {seqs:?}");
    seqs
}

/// The `seq` of an ack.
#[track_caller]
pub(super) fn seq(ack: &Value) -> i64 {
    let seq = ack["seq"].as_i64();
    seq.unwrap_or_else(|| panic!("no seq: {ack}"))
}

/// The code of a refusal, and whether it says that sending it again helps; none for an ack.
pub(super) fn code(reply: &Value) -> Option<(String, bool)> {
    let error = refusal(reply)?;
    Some((text(&error["code"]), error["retry"] == true))
}

/// What [`code`] gives for a refusal.
pub(super) fn refused(code: &str, retry: bool) -> (String, bool) {
    (code.to_owned(), retry)
}
