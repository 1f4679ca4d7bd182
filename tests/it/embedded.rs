//! The embedded Postgres, from its first start to its death.

mod disk;
mod frozen;
mod owner;
mod refusals;
mod start;
mod watched;

use std::error::Error;
use std::path::Path;

use hubbub::config::{Config, Database};
use hubbub::store::Store;
use hubbub::store::embedded::{Cluster, EmbeddedError};

use crate::harness::postgres;

/// The settings of a node with these ones changed.
fn settings(changed: &[(&str, &str)]) -> Database {
    let changed = changed
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::from_sources(None, changed)
        .expect("the settings are valid")
        .database
}

async fn start(folder: &Path) -> Cluster {
    // Shown with a test that fails.
    let _ = tracing_subscriber::fmt().with_test_writer().try_init();
    try_start(folder).await.expect("Postgres starts")
}

async fn try_start(folder: &Path) -> Result<Cluster, EmbeddedError> {
    Cluster::start(&settings(&[]), folder).await
}

/// The error with all its causes.
fn chain(error: &EmbeddedError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Writes a row that must survive.
async fn remember(cluster: &Cluster, word: &str) {
    let client = postgres::connect(cluster.url()).await;
    client
        .batch_execute("CREATE TABLE IF NOT EXISTS words (word text)")
        .await
        .expect("a table can be made");
    client
        .execute("INSERT INTO words VALUES ($1)", &[&word])
        .await
        .expect("a row can be stored");
}

async fn remembered(url: &str) -> Vec<String> {
    let client = postgres::connect(url).await;
    let rows = client.query("SELECT word FROM words", &[]).await;
    let rows = rows.expect("the table is there");
    rows.iter().map(|row| row.get(0)).collect()
}

/// A store on the cluster, as a node opens it.
async fn store(cluster: &Cluster) -> Store {
    Store::connect(&settings(&[]), cluster.url())
        .await
        .expect("the server is suitable")
}
