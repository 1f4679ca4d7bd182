//! The column `users.online_status`.

use serde_json::json;
use tokio_postgres::Client;

use super::scene::Cluster;
use crate::harness::eventually;
use crate::harness::rest::User;
use crate::harness::socket::Socket;

async fn status(sql: &Client, user: &User) -> String {
    let id: uuid::Uuid = user.id.parse().expect("an id");
    let query = "SELECT online_status FROM users WHERE id = $1";
    sql.query_one(query, &[&id]).await.expect("the user").get(0)
}

async fn becomes(sql: &Client, user: &User, wanted: &str) {
    eventually(&format!("{} is {wanted}", user.name), async || {
        (status(sql, user).await == wanted).then_some(())
    })
    .await;
}

/// How many users a node has written of.
async fn rows(sql: &Client) -> i64 {
    let query = "SELECT count(*) FROM online_users";
    sql.query_one(query, &[]).await.expect("a count").get(0)
}

#[tokio::test]
async fn who_is_on_another_node_is_not_offline() {
    let settings = [("HUBBUB__HUB__PRESENCE_GRACE_MS", "0")];
    let mut cluster = Cluster::start(None, 2, &settings).await;
    let sql = cluster.database.connect().await;
    let [ann, bob] = cluster.people(["ann", "bob"]).await;
    assert_eq!(status(&sql, &ann).await, "offline");
    let at_a = Socket::connect(&cluster.nodes[0], &ann).await;
    becomes(&sql, &ann, "online").await;
    let at_b = Socket::connect(&cluster.nodes[1], &ann).await;
    let bobs = Socket::connect(&cluster.nodes[1], &bob).await;
    eventually("both nodes have written", async || {
        (rows(&sql).await == 3).then_some(())
    })
    .await;
    at_a.close().await;
    eventually("the first node has written", async || {
        (rows(&sql).await == 2).then_some(())
    })
    .await;
    assert_eq!(status(&sql, &ann).await, "online");
    at_b.close().await;
    becomes(&sql, &ann, "offline").await;
    assert_eq!(status(&sql, &bob).await, "online");
    // A dead node's users are offline when its lease is over.
    cluster.nodes[1].kill9();
    becomes(&sql, &bob, "offline").await;
    drop(bobs);
    assert_eq!(rows(&sql).await, 0);
}

#[tokio::test]
async fn a_restart_of_everything_corrects_what_was_written() {
    let settings = [("HUBBUB__HUB__PRESENCE_GRACE_MS", "0")];
    let mut cluster = Cluster::start(None, 1, &settings).await;
    let sql = cluster.database.connect().await;
    let [ann, bob, eve] = cluster.people(["ann", "bob", "eve"]).await;
    let anns = Socket::connect(&cluster.nodes[0], &ann).await;
    becomes(&sql, &ann, "online").await;
    cluster.nodes[0].kill9();
    drop(anns);
    // Nobody has written that they are.
    let lie = "UPDATE users SET online_status = 'online' WHERE username = 'eve'";
    sql.execute(lie, &[]).await.expect("it is written");
    cluster.nodes[0].restart().await;
    let bob = bob.at(&cluster.nodes[0]);
    let mut bobs = Socket::connect(&cluster.nodes[0], &bob).await;
    becomes(&sql, &bob, "online").await;
    becomes(&sql, &ann, "offline").await;
    becomes(&sql, &eve, "offline").await;
    bobs.ok("ping", json!({})).await;
    assert_eq!(status(&sql, &bob).await, "online");
    // The last node to stop leaves nobody online.
    cluster.nodes[0].terminate();
    cluster.nodes[0].wait_exit().await;
    becomes(&sql, &bob, "offline").await;
}
