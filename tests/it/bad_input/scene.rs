//! A victim, a stranger, and the room that the stranger has no business in.

use serde_json::{Value, json};

use crate::harness::node::Node;
use crate::harness::postgres::TestDatabase;
use crate::harness::rest::{Room, User, register};
use crate::harness::socket::Socket;

/// Texts that break those who paste them into something.
pub(super) const HOSTILE: [&str; 8] = [
    "'; DROP TABLE messages; --",
    "$1 \\' OR '1'='1",
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "{{7*7}} ${7*7} %s %n \\x00 \\u0000",
    "../../../../etc/passwd",
    "\u{202e}\u{feff}\u{e000}\u{10ffff}Z\u{0335}\u{0321}",
    "\r\nSet-Cookie: a=b\r\n\r\n",
];

pub(super) struct Scene {
    pub(super) node: Node,
    _database: TestDatabase,
    /// Owns both rooms.
    pub(super) ada: User,
    /// A member of the public room only.
    pub(super) mallory: User,
    pub(super) public: Room,
    pub(super) private: Room,
    bystander: Socket,
    checks: u32,
}

pub(super) async fn scene() -> Scene {
    let (node, database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let mallory = register(&node, "mallory").await;
    let public = ada.create_room("public").await;
    mallory.join_room(&public).await;
    let body = json!({ "name": "private", "slug": "private", "is_private": true });
    let private = ada.create_room_with(&body).await;
    let mut bystander = Socket::connect(&node, &ada).await;
    bystander.join(&public.id).await;
    bystander.join(&private.id).await;
    Scene {
        node,
        _database: database,
        ada,
        mallory,
        public,
        private,
        bystander,
        checks: 0,
    }
}

impl Scene {
    pub(super) async fn socket(&self) -> Socket {
        let mut socket = Socket::connect(&self.node, &self.mallory).await;
        socket.join(&self.public.id).await;
        socket
    }

    /// Asserts that the bystander noticed nothing and can go on, and that the node has neither
    /// panicked nor logged a defect.
    pub(super) async fn assert_undisturbed(&mut self) {
        self.checks += 1;
        let key = format!("check {}", self.checks);
        for room in [&self.public.id, &self.private.id] {
            let ack = self.bystander.publish(room, &key, &key).await;
            let push = self
                .bystander
                .next_push(&key, |push| push["push"] != "presence")
                .await;
            assert_eq!(push["seq"], ack["seq"], "nothing came between: {push}");
        }
        let log = self.node.log().text();
        let defect = |line: &&str| line.contains("panicked") || line.contains(" ERROR hubbub");
        assert_eq!(log.lines().find(defect), None, "{log}");
    }

    /// Takes what the bystander heard from others in the public room.
    pub(super) async fn heard(&mut self, name: &str) -> Value {
        self.bystander.push(name).await
    }
}
