//! A room with one of each role in it, and somebody outside.

use reqwest::Method;
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{self, TestDatabase};
use crate::harness::rest::{Answer, Room, User, register, send, text};
use crate::harness::socket::Socket;

pub(super) struct Scene {
    pub(super) node: Node,
    pub(super) database: TestDatabase,
    pub(super) sql: Client,
    /// Owns the room.
    pub(super) ada: User,
    /// A moderator of it.
    pub(super) mo: User,
    /// A member of it.
    pub(super) bob: User,
    /// Another one.
    pub(super) eve: User,
    /// No member.
    pub(super) stranger: User,
    pub(super) room: Room,
}

pub(super) async fn scene() -> Scene {
    scene_with(&[]).await
}

/// With these keys of the section `limits`, in capitals.
pub(super) async fn scene_with(limits: &[(&str, &str)]) -> Scene {
    let database = postgres::database().await;
    let options = limits
        .iter()
        .fold(NodeOptions::on(&database.url), |options, (key, value)| {
            options.set(&format!("HUBBUB__LIMITS__{key}"), value)
        });
    let node = Node::start(options).await;
    let ada = register(&node, "ada").await;
    let mo = register(&node, "mo").await;
    let bob = register(&node, "bob").await;
    let eve = register(&node, "eve").await;
    let stranger = register(&node, "stranger").await;
    let room = ada.create_room("room").await;
    bob.join_room(&room).await;
    eve.join_room(&room).await;
    let body = json!({ "user_id": mo.id, "role": "moderator" });
    ada.post(&format!("/api/rooms/{}/members", room.id), &body)
        .await
        .ok();
    Scene {
        sql: database.connect().await,
        node,
        database,
        ada,
        mo,
        bob,
        eve,
        stranger,
        room,
    }
}

impl Scene {
    /// Another node on the same database.
    pub(super) async fn another_node(&self, id: &str) -> Node {
        let options = NodeOptions::on(&self.database.url);
        Node::start(options.set("HUBBUB__NODE__ID", id)).await
    }

    /// A connection in the room.
    pub(super) async fn socket(&self, user: &User) -> Socket {
        let mut socket = Socket::connect(&self.node, user).await;
        socket.join(&self.room.id).await;
        socket
    }

    /// Says something; gives the message's id.
    pub(super) async fn said(&self, user: &User, body: &str) -> String {
        let answer = user.say(&self.room.id, body, &unique()).await;
        text(&answer.ok()["id"])
    }

    /// A message as REST shows it.
    pub(super) async fn shown(&self, message: &str) -> Value {
        let path = format!("/api/rooms/{}/messages/{message}", self.room.id);
        self.ada.get(&path).await.ok()
    }

    pub(super) async fn rest(
        &self,
        user: &User,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let path = format!("/api/rooms/{}/messages/{path}", self.room.id);
        let request = user.request(method, &path);
        send(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    pub(super) async fn edit(&self, user: &User, message: &str, body: &str) -> Answer {
        let body = json!({ "body": body });
        self.rest(user, Method::PATCH, message, Some(body)).await
    }

    pub(super) async fn delete(&self, user: &User, message: &str) -> Answer {
        self.rest(user, Method::DELETE, message, None).await
    }

    /// Reacts; the emoji as it stands in an address.
    pub(super) async fn react(&self, user: &User, message: &str, emoji: &str) -> Answer {
        let path = format!("{message}/reactions/{emoji}");
        self.rest(user, Method::PUT, &path, None).await
    }

    pub(super) async fn unreact(&self, user: &User, message: &str, emoji: &str) -> Answer {
        let path = format!("{message}/reactions/{emoji}");
        self.rest(user, Method::DELETE, &path, None).await
    }

    pub(super) async fn pin(&self, user: &User, message: &str) -> Answer {
        let path = format!("{message}/pin");
        self.rest(user, Method::PUT, &path, None).await
    }

    pub(super) async fn unpin(&self, user: &User, message: &str) -> Answer {
        let path = format!("{message}/pin");
        self.rest(user, Method::DELETE, &path, None).await
    }

    /// Runs a statement of the test's own.
    pub(super) async fn execute(&self, statement: &str) {
        let done = self.sql.batch_execute(statement).await;
        done.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
}

/// The fields of a command about a message.
pub(super) fn about(room: &Room, message: &str, more: Value) -> Value {
    let mut fields = json!({ "room": room.id, "message_id": message });
    if let Value::Object(more) = more {
        fields.as_object_mut().expect("fields").extend(more);
    }
    fields
}

/// A key that nobody has used.
pub(super) fn unique() -> String {
    uuid::Uuid::now_v7().to_string()
}
