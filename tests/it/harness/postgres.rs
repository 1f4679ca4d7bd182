//! A private Postgres for the tests.
//!
//! Its first start on a machine runs `initdb` into a template folder in memory; every later start
//! copies that folder, which takes some tens of milliseconds. [`database`] gives a fresh, migrated
//! database on an instance that the whole test process shares; [`TestServer`] is an instance for
//! tests that stop, kill or freeze it.

mod binaries;
mod replica;
mod server;
mod template;

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::OnceCell;
use tokio_postgres::{Client, NoTls};

pub(crate) use replica::{catch_up, pause, replica_of, resume};
pub(crate) use server::{Options, TestServer, freeze_in, has_ended, kill9_in, stop_in};
pub(crate) use template::root;

/// The database that all others are copies of.
const TEMPLATE: &str = "hubbub_template";

static SHARED: OnceCell<TestServer> = OnceCell::const_new();

/// A fresh, migrated database. It is dropped some time after this value is.
pub(crate) struct TestDatabase {
    /// The address, as `DATABASE_URL` wants it.
    pub(crate) url: String,
    name: String,
}

/// A fresh, migrated database on the shared instance (`fsync=off`).
pub(crate) async fn database() -> TestDatabase {
    shared().await.database().await
}

/// The shared instance.
pub(crate) async fn shared() -> &'static TestServer {
    SHARED
        .get_or_init(|| TestServer::start(Options { fsync: false }))
        .await
}

/// Connects, with the connection driven on this runtime.
pub(crate) async fn connect(url: &str) -> Client {
    try_connect(url)
        .await
        .unwrap_or_else(|error| panic!("connecting to {url}: {error:?}"))
}

/// Connects if the server is there.
pub(crate) async fn try_connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

impl TestDatabase {
    /// Its address by way of a proxy.
    pub(crate) fn url_at(&self, proxy: SocketAddr) -> String {
        format!("postgres://postgres@{proxy}/{}", self.name)
    }

    /// The database of the same name on another server.
    pub(crate) fn url_on(&self, server: &TestServer) -> String {
        server.url(&self.name)
    }

    /// Makes a fresh one of the same name on another server.
    pub(crate) async fn make_namesake_on(&self, server: &TestServer) {
        let admin = connect(&server.url("postgres")).await;
        let sql = format!("CREATE DATABASE {} TEMPLATE {TEMPLATE}", self.name);
        admin.batch_execute(&sql).await.expect("it is made");
    }

    /// A connection of the test's own.
    pub(crate) async fn connect(&self) -> Client {
        connect(&self.url).await
    }
}

/// Databases whose tests are over. A drop cannot wait, so the next one who makes a database
/// removes them.
static LEFT: Mutex<Vec<String>> = Mutex::new(Vec::new());

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Ok(mut left) = LEFT.lock() {
            left.push(std::mem::take(&mut self.name));
        }
    }
}

/// Makes a database out of the template of this server.
async fn create(server: &TestServer, reuse_left: bool) -> TestDatabase {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let admin = connect(&server.url("postgres")).await;
    if reuse_left {
        let left = LEFT.lock().map(|mut left| std::mem::take(&mut *left));
        for name in left.unwrap_or_default() {
            // The database may be another instance's, which is gone.
            let _ = admin
                .batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
                .await;
        }
    }
    let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    admin
        .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}"))
        .await
        .unwrap_or_else(|error| panic!("creating {name}: {error:?}"));
    TestDatabase {
        url: server.url(&name),
        name,
    }
}

/// Makes the template, unless it is there.
async fn create_template(server: &TestServer) {
    let admin = connect(&server.url("postgres")).await;
    let there = admin
        .query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&TEMPLATE])
        .await
        .expect("the catalogue answers");
    if there.is_none() {
        admin
            .batch_execute(&format!("CREATE DATABASE {TEMPLATE}"))
            .await
            .expect("the template is made");
        let applied = hubbub::store::migrate::migrate(&server.url(TEMPLATE)).await;
        applied.expect("the migrations run");
    }
}
