//! SIGKILL for Postgres, under load and within a COMMIT.

use serde_json::{Value, json};
use tokio_postgres::Client;

use super::ledger::{Crowd, verify, verify_history};
use crate::harness::eventually;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{Options, TestDatabase, TestServer, try_connect};
use crate::harness::rest::{login, register};
use crate::harness::socket::{Socket, refusal};

fn on(url: &str) -> NodeOptions {
    NodeOptions::on(url).set("HUBBUB__DATABASE__REQUIRE_FSYNC", "true")
}

/// A refusal that says: send it again, it is not lost and will not be there twice.
fn assert_retry(error: &Value) {
    let code = error["code"].as_str().expect("a code");
    assert!(
        ["unavailable", "unknown", "earlier_failed"].contains(&code),
        "{error}"
    );
    assert_eq!(error["retry"], true, "{error}");
}

#[tokio::test]
async fn under_load() {
    let mut server = TestServer::start(Options { fsync: true }).await;
    let database = server.database().await;
    let node = Node::start(on(&database.url)).await;
    let crowd = Crowd::gather(&node, 8, 3).await;
    let mut entries = Vec::new();
    for round in 0..3 {
        entries.extend(crowd.wake(&node, &format!("woken {round}")).await);
        let publishing = crowd.publish(&node, &format!("round {round}")).await;
        publishing.acknowledged(100).await;
        server.kill9().await;
        let mut outcome = publishing.ended().await;
        // Nobody's connection ends: each is told that the publish may be tried again.
        assert_eq!(outcome.errors.len(), crowd.users.len(), "round {round}");
        outcome.errors.iter().for_each(assert_retry);
        server.restart().await;
        crowd.finish(&node, &mut outcome.entries).await;
        entries.extend(outcome.entries);
        verify(&database.connect().await, &entries).await;
    }
    verify_history(&crowd, &node, &entries).await;
}

/// A node's own Postgres dies under it: the node starts it again.
#[tokio::test]
async fn under_a_node_that_runs_it() {
    let node = Node::start(NodeOptions::embedded()).await;
    let crowd = Crowd::gather(&node, 4, 2).await;
    let publishing = crowd.publish(&node, "load").await;
    publishing.acknowledged(100).await;
    node.folder().kill9_postgres().await;
    let mut outcome = publishing.ended().await;
    outcome.errors.iter().for_each(assert_retry);
    crowd.finish(&node, &mut outcome.entries).await;
    verify_history(&crowd, &node, &outcome.entries).await;
}

/// Two people, a room, and a publish that stands in the middle of its COMMIT.
struct Suspended {
    server: TestServer,
    database: TestDatabase,
    node: Node,
    socket: Socket,
    room: String,
    request_id: u64,
    /// Its session holds the lock that the publish waits for.
    _admin: Client,
}

/// What the publish waits for, as `pg_stat_activity` names it.
#[derive(Clone, Copy)]
enum Point {
    /// Everything is written but the commit record.
    BeforeCommitRecord,
    /// The commit record is on disk; only the answer is missing.
    AfterCommitRecord,
}

async fn suspended(point: Point) -> Suspended {
    let server = TestServer::start(Options { fsync: true }).await;
    let database = server.database().await;
    let node = Node::start(on(&database.url)).await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await.id;
    let mut socket = Socket::connect(&node, &ada).await;
    socket.join(&room).await;
    socket.publish(&room, "first", "1").await;

    let admin = database.connect().await;
    let (wait_event, waiters) = match point {
        Point::BeforeCommitRecord => {
            // A deferred trigger runs within COMMIT: this one waits for a lock of ours.
            admin
                .batch_execute(
                    "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
                       $$ BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NULL; END $$;
                     CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON room_events
                       DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait();
                     SELECT pg_advisory_lock(4711)",
                )
                .await
                .expect("the trigger is made");
            ("advisory", 1)
        }
        Point::AfterCommitRecord => {
            // A commit that is on disk waits for a standby that does not exist.
            for sql in [
                "ALTER SYSTEM SET synchronous_standby_names = 'nobody'",
                "SELECT pg_reload_conf()",
            ] {
                admin.batch_execute(sql).await.expect("a setting");
            }
            // The process that puts it into force has read it when somebody's commit waits.
            let probe = database.connect().await;
            tokio::spawn(async move {
                let commit = "SELECT pg_logical_emit_message(true, '', '')";
                while probe.query(commit, &[]).await.is_ok() {}
            });
            eventually("commits wait", async || {
                (waiting(&admin, "SyncRep").await > 0).then_some(())
            })
            .await;
            // The probe, and the publish.
            ("SyncRep", 2)
        }
    };
    let fields = json!({ "room": room, "body": "second", "client_id": "2" });
    let request_id = socket.send_command("publish", fields).await;
    eventually("the publish stands in its COMMIT", async || {
        (waiting(&admin, wait_event).await == waiters).then_some(())
    })
    .await;
    Suspended {
        server,
        database,
        node,
        socket,
        room,
        request_id,
        _admin: admin,
    }
}

/// How many backends wait for this.
async fn waiting(admin: &Client, wait_event: &str) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = $1";
    let row = admin.query_one(sql, &[&wait_event]).await;
    row.expect("activity can be read").get(0)
}

impl Suspended {
    /// Kills Postgres, reads the answer, starts Postgres again, sends the publish again with the
    /// same key, and asserts that it is there once. `stored` says whether the first try was.
    async fn kill_and_retry(mut self, stored: bool) {
        self.server.kill9().await;
        let reply = self.socket.reply_to(self.request_id).await;
        let reply = reply.expect("the connection goes on");
        let error = refusal(&reply).expect("it was not acknowledged");
        assert_eq!(error["code"], "unknown", "{error}");
        assert_retry(&error);

        self.server
            .restart_with(&["synchronous_standby_names="])
            .await;
        let client = eventually("Postgres is back", async || {
            try_connect(&self.database.url).await.ok()
        })
        .await;
        client
            .batch_execute("DROP TRIGGER IF EXISTS wait ON room_events")
            .await
            .expect("the trigger goes");
        let count = "SELECT count(*) FROM messages WHERE client_id = '2'";
        let before: i64 = client.query_one(count, &[]).await.expect("a count").get(0);
        assert_eq!(before, i64::from(stored));

        let fields = json!({ "room": self.room, "body": "second", "client_id": "2" });
        let ack = eventually("the retry is acknowledged", async || {
            let ada = login(&self.node, "ada").await;
            let mut socket = Socket::connect(&self.node, &ada).await;
            let reply = socket.request("publish", fields.clone()).await;
            reply.get("ok").cloned()
        })
        .await;
        assert_eq!(ack["msg_no"], 2);
        let push = self
            .socket
            .next_push("the message", |push| push["client_id"] == "2")
            .await;
        assert_eq!(push["seq"], ack["seq"], "who is here sees it, once");
        self.socket.ping().await;
        let again = self.socket.take_pushes();
        assert!(
            again.iter().all(|push| push["client_id"] != "2"),
            "{again:?}"
        );
        let after: i64 = client.query_one(count, &[]).await.expect("a count").get(0);
        assert_eq!(after, 1);
    }
}

#[tokio::test]
async fn within_commit_before_its_record_is_written() {
    suspended(Point::BeforeCommitRecord)
        .await
        .kill_and_retry(false)
        .await;
}

#[tokio::test]
async fn within_commit_after_its_record_is_written() {
    suspended(Point::AfterCommitRecord)
        .await
        .kill_and_retry(true)
        .await;
}
