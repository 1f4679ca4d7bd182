//! The LISTEN connection of a node, by which it renews its lease, when Postgres refuses what it is
//! asked there or falls silent.

use rustix::process::{Pid, Signal, kill_process};
use tokio_postgres::Client;

use super::scene::{living, options};
use crate::harness::eventually;
use crate::harness::node::Node;
use crate::harness::postgres::{self, Options, TestServer};

const FAILED: &str = "hub_lease_renewals_failed_total";

/// The server's processes that nodes listen by.
async fn listening(sql: &Client) -> Vec<i32> {
    let query = "SELECT pid FROM pg_stat_activity
        WHERE application_name = 'hubbub-listen' AND datname = current_database() ORDER BY pid";
    let rows = sql.query(query, &[]).await.expect("an answer");
    rows.iter().map(|row| row.get(0)).collect()
}

/// From now on whoever writes to `nodes` is refused so.
async fn refuse_renewals(sql: &Client, code: &str) {
    let trigger = format!(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = '{code}'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON nodes FOR EACH ROW EXECUTE FUNCTION refuse()"
    );
    sql.batch_execute(&trigger).await.expect("a trigger");
}

async fn has_failed_to_renew(node: &Node, times: u64) {
    eventually("renewals fail", async || {
        (node.metric(FAILED).await >= times).then_some(())
    })
    .await;
}

const OFTEN: [(&str, &str); 2] = [
    ("HUBBUB__NODE__LEASE_MS", "3000"),
    ("HUBBUB__NODE__REPORT_MS", "100"),
];

/// As when its disk is full. The connection is good: another would be told the same.
#[tokio::test]
async fn a_server_that_refuses_a_renewal_keeps_its_connection() {
    let database = postgres::database().await;
    let node = Node::start(options(&database.url, &OFTEN)).await;
    let sql = database.connect().await;
    let before = listening(&sql).await;
    assert_eq!(before.len(), 1);
    refuse_renewals(&sql, "53100").await;
    has_failed_to_renew(&node, 10).await;
    assert_eq!(listening(&sql).await, before);
    let log = node.log().text();
    assert_eq!(log.matches("lease was not renewed").count(), 1, "{log}");
    assert!(!log.contains("listens to Postgres again"), "{log}");
    sql.batch_execute("DROP TRIGGER refuse ON nodes")
        .await
        .expect("it is dropped");
    eventually("it is renewed again", async || {
        let log = node.log().text();
        log.contains("lease is renewed again").then_some(())
    })
    .await;
}

/// After a failover the address may lead to another server: it is connected to again, and not over
/// and over.
#[tokio::test]
async fn a_standby_is_left_and_not_stormed() {
    let database = postgres::database().await;
    let node = Node::start(options(&database.url, &OFTEN)).await;
    let sql = database.connect().await;
    let before = listening(&sql).await;
    refuse_renewals(&sql, "25006").await;
    has_failed_to_renew(&node, 30).await;
    assert_ne!(listening(&sql).await, before);
    let log = node.log().text();
    let lines = log.matches("listens to Postgres again").count();
    assert_eq!(lines, 1, "{log}");
    let made = node
        .metric("hub_listen_connects_total{outcome=\"ok\"}")
        .await;
    // With pauses from 20 ms on that double, up to a second.
    assert!((2..20).contains(&made), "{made} connections");
}

/// Goes on at the end, or the server could not be stopped.
struct Frozen(Pid);

impl Frozen {
    fn process(pid: i32) -> Self {
        let pid = Pid::from_raw(pid).expect("a process");
        kill_process(pid, Signal::STOP).expect("it is ours");
        Self(pid)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        kill_process(self.0, Signal::CONT).ok();
    }
}

/// One connection falls silent, as when a firewall forgets it, and the server is well. However long a
/// statement may take elsewhere: a lease is not to be lost by waiting.
#[tokio::test]
async fn a_silent_connection_costs_no_lease() {
    let server = TestServer::start(Options { fsync: false }).await;
    let database = server.database().await;
    let settings = [
        ("HUBBUB__NODE__LEASE_MS", "6000"),
        ("HUBBUB__NODE__REPORT_MS", "500"),
        ("HUBBUB__DATABASE__STATEMENT_TIMEOUT_MS", "60000"),
    ];
    let sql = database.connect().await;
    let a = Node::start(options(&database.url, &settings)).await;
    let of_a = listening(&sql).await;
    let _b = Node::start(options(&database.url, &settings)).await;
    living(&a, 1).await;
    let both = listening(&sql).await;
    let of_b = both.iter().find(|pid| !of_a.contains(pid)).expect("b's");
    let _frozen = Frozen::process(*of_b);
    eventually("it listens by another connection", async || {
        let now = listening(&sql).await;
        now.iter().any(|pid| !both.contains(pid)).then_some(())
    })
    .await;
    // Long enough for a lease that nobody renews to end.
    let renewals = "SELECT min(lease_until) > $1 FROM nodes";
    let row = sql.query_one("SELECT now() + interval '9 s'", &[]).await;
    let later: jiff::Timestamp = row.expect("an answer").get(0);
    eventually("both renew their leases", async || {
        let row = sql.query_one(renewals, &[&later]).await.expect("an answer");
        row.get::<_, bool>(0).then_some(())
    })
    .await;
    let died = a.metric("hub_peer_events_total{event=\"died\"}").await;
    assert_eq!(died, 0);
}
