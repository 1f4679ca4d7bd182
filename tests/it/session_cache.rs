//! Sessions that are remembered: what ends them ends them at once, and where this node cannot
//! know, Postgres is asked.

use std::time::Duration;

use serde_json::json;

use crate::harness::eventually;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::TestDatabase;
use crate::harness::rest::{User, http, login, register, send};
use crate::harness::socket::Socket;

struct Scene {
    node: Node,
    database: TestDatabase,
    ada: User,
}

async fn scene(settings: &[(&str, &str)]) -> Scene {
    let (node, database) = Node::on_fresh_database_with(settings).await;
    let ada = register(&node, "ada").await;
    let scene = Scene {
        node,
        database,
        ada,
    };
    scene.warm(&scene.ada).await;
    scene
}

impl Scene {
    /// The status of a request with a user's token.
    async fn status(&self, user: &User) -> u16 {
        let request = http().get(self.node.url("/api/rooms"));
        send(request.bearer_auth(&user.token)).await.status
    }

    /// The status of a handshake with it: 101 if it is accepted.
    async fn handshake(&self, user: &User) -> u16 {
        let authorization = format!("Bearer {}", user.token);
        match Socket::open(&self.node, "/ws", &[("authorization", &authorization)]).await {
            Ok(_) => 101,
            Err(refused) => refused.status,
        }
    }

    async fn hits(&self) -> u64 {
        self.node
            .metric("cache_hits_total{cache_type=\"session\"}")
            .await
    }

    async fn misses(&self) -> u64 {
        self.node
            .metric("cache_misses_total{cache_type=\"session\"}")
            .await
    }

    /// Has the node remember a session: the first uses may come before it has read the control
    /// log.
    async fn warm(&self, user: &User) {
        eventually("the session is remembered", async || {
            let before = self.hits().await;
            assert_eq!(self.status(user).await, 200);
            (self.hits().await > before).then_some(())
        })
        .await;
    }

    /// Takes a session away as nobody should: without telling the control log.
    async fn delete_by_hand(&self, user: &User) {
        let sql = self.database.connect().await;
        let query = "DELETE FROM sessions WHERE user_id = $1::text::uuid";
        assert_eq!(sql.execute(query, &[&user.id]).await.expect("deleted"), 1);
    }
}

#[tokio::test]
async fn a_session_that_is_in_use_costs_no_query() {
    let scene = scene(&[]).await;
    let sql = scene.database.connect().await;
    // Nobody can read it, and nobody needs to.
    let before = scene.hits().await;
    sql.batch_execute("BEGIN; LOCK TABLE sessions")
        .await
        .expect("the lock");
    for _ in 0..5 {
        assert_eq!(scene.status(&scene.ada).await, 200);
        assert_eq!(scene.handshake(&scene.ada).await, 101);
    }
    sql.batch_execute("ROLLBACK").await.expect("the end");
    assert_eq!(scene.hits().await - before, 10);
}

#[tokio::test]
async fn a_logout_is_the_end_at_once() {
    let scene = scene(&[]).await;
    for round in 0..20 {
        let user = register(&scene.node, &format!("user{round}")).await;
        scene.warm(&user).await;
        let mut socket = Socket::connect(&scene.node, &user).await;
        let request = http().post(scene.node.url("/api/auth/logout"));
        assert_eq!(send(request.bearer_auth(&user.token)).await.status, 204);
        assert_eq!(scene.status(&user).await, 401);
        assert_eq!(scene.handshake(&user).await, 401);
        assert_eq!(socket.close_code().await.0, 4101);
        let mut nobody = Socket::anonymous(&scene.node).await;
        let refused = nobody
            .err("auth.refresh", json!({ "token": user.token }))
            .await;
        assert_eq!(refused["code"], "unauthenticated");
    }
}

/// A look-up that has found the session, and goes on when its end has been told, comes too late to
/// be remembered.
#[tokio::test]
async fn what_was_read_before_the_end_is_not_remembered_after_it() {
    let scene = scene(&[("HUBBUB__HTTP__WORKERS", "4")]).await;
    let user = register(&scene.node, "bob").await;
    let sql = scene.database.connect().await;
    let query = "SELECT id, user_id FROM sessions WHERE user_id = $1::text::uuid";
    let row = sql.query_one(query, &[&user.id]).await.expect("a session");
    let (id, user_id): (uuid::Uuid, uuid::Uuid) = (row.get(0), row.get(1));
    scene
        .node
        .fault("auth.session.found", "1*sleep(2000)")
        .await;
    let missed = scene.misses().await;
    let (found, ()) = tokio::join!(scene.status(&user), async {
        // It is asking, and will have read by the time that the end is committed, or will not.
        eventually("it asks", async || {
            let asked = tokio::time::timeout(Duration::from_millis(500), scene.misses()).await;
            (asked.ok()? > missed).then_some(())
        })
        .await;
        let end = include_str!("../../sql/queries/sessions/end.sql");
        sql.query(end, &[&id, &user_id]).await.expect("it ends");
    });
    assert!([200, 401].contains(&found), "{found}");
    let head = sql.query_one("SELECT last_id FROM control_head", &[]).await;
    let head: i64 = head.expect("the head").get(0);
    eventually("its end has been told", async || {
        let position = scene.node.metric("hub_control_position").await;
        (position >= u64::try_from(head).ok()?).then_some(())
    })
    .await;
    assert_eq!(scene.status(&user).await, 401);
}

#[tokio::test]
async fn an_end_on_another_node_is_heard() {
    let scene = scene(&[]).await;
    let other = Node::start(NodeOptions::on(&scene.database.url)).await;
    let request = http().post(other.url("/api/auth/logout"));
    assert_eq!(
        send(request.bearer_auth(&scene.ada.token)).await.status,
        204
    );
    eventually("it is heard", async || {
        (scene.status(&scene.ada).await == 401).then_some(())
    })
    .await;

    // The operator's command is another process.
    let ada = login(&scene.node, "ada").await;
    scene.warm(&ada).await;
    let sql = scene.database.connect().await;
    let deactivate = include_str!("../../sql/queries/users/deactivate.sql");
    sql.query(deactivate, &[&"ada"]).await.expect("deactivated");
    eventually("it is heard", async || {
        (scene.status(&ada).await == 401).then_some(())
    })
    .await;
}

/// Without the control log nothing that is remembered counts.
#[tokio::test]
async fn a_node_that_hears_nothing_asks() {
    let scene = scene(&[
        ("HUBBUB__HUB__CONTROL_STALE_MS", "3000"),
        ("HUBBUB__HUB__ANTI_ENTROPY_MS", "100"),
    ])
    .await;
    scene.node.fault("hub.control.read", "return").await;
    scene.delete_by_hand(&scene.ada).await;
    eventually("Postgres is asked", async || {
        (scene.status(&scene.ada).await == 401).then_some(())
    })
    .await;
    // When it hears again, what it remembered then is no news.
    let bob = register(&scene.node, "bob").await;
    scene.node.fault("hub.control.read", "off").await;
    scene.warm(&bob).await;
    assert_eq!(scene.status(&scene.ada).await, 401);
}

/// Also what nobody has told ends with the time of the entry.
#[tokio::test]
async fn an_entry_has_its_time() {
    let scene = scene(&[("HUBBUB__AUTH__SESSION_CACHE_S", "1")]).await;
    scene.delete_by_hand(&scene.ada).await;
    eventually("it is looked up again", async || {
        (scene.status(&scene.ada).await == 401).then_some(())
    })
    .await;
}
