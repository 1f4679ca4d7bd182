//! What the same Postgres does without us: plain INSERTs into a table like `messages`.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::error::LoadError;
use crate::postgres;
use crate::samples::{Rate, Samples};

const CREATE: &str = "
    DROP TABLE IF EXISTS plain_messages;
    CREATE TABLE plain_messages (
        id uuid PRIMARY KEY, room_id uuid NOT NULL, seq bigint NOT NULL, msg_no bigint NOT NULL,
        user_id uuid NOT NULL, client_id text NOT NULL, body text NOT NULL,
        created_at timestamptz NOT NULL
    );
    CREATE UNIQUE INDEX ON plain_messages (room_id, seq);
    CREATE INDEX ON plain_messages (user_id, created_at DESC)";

/// One statement for one row and for many: the rows are `$1` and `$2`.
const INSERT: &str = "
    INSERT INTO plain_messages
    SELECT id, $3, seq, seq, $4, seq::text, $5, clock_timestamp()
    FROM unnest($1::uuid[], $2::bigint[]) AS rows(id, seq)";

/// The plain form, for one row.
const INSERT_ONE: &str = "
    INSERT INTO plain_messages VALUES ($1, $2, $3, $3, $4, $5, $6, clock_timestamp())";

/// Makes a database for it, and gives its address.
pub(crate) async fn prepare(server: &postgres::Running, user: &str) -> Result<String, LoadError> {
    let admin = postgres::connect(&server.url(user, "postgres")).await?;
    admin.batch_execute("CREATE DATABASE plain_inserts").await?;
    let url = server.url(user, "plain_inserts");
    postgres::connect(&url).await?.batch_execute(CREATE).await?;
    Ok(url)
}

/// So many connections insert batches of so many rows, each after its commit, for this time.
pub(crate) async fn measure(
    url: &str,
    connections: u32,
    batch: u32,
    time: Duration,
    body: &str,
) -> Result<Rate, LoadError> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(postgres::connect(url).await?);
    }
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for client in clients {
        tasks.spawn(insert(client, batch, begun + time, body.to_owned()));
    }
    let mut samples = Samples::new()?;
    while let Some(done) = tasks.join_next().await {
        let done = done.map_err(|error| LoadError::Unexpected(error.to_string()))??;
        samples.merge(&done);
    }
    Ok(samples.rate(begun.elapsed(), batch))
}

async fn insert(
    client: Client,
    batch: u32,
    end: Instant,
    body: String,
) -> Result<Samples, LoadError> {
    let mut samples = Samples::new()?;
    let (room, user) = (Uuid::now_v7(), Uuid::now_v7());
    let one = client.prepare(INSERT_ONE).await?;
    let many = client.prepare(INSERT).await?;
    let mut seq = 0;
    while Instant::now() < end {
        let begun = Instant::now();
        if batch == 1 {
            seq += 1;
            let key = seq.to_string();
            client
                .execute(&one, &[&Uuid::now_v7(), &room, &seq, &user, &key, &body])
                .await?;
        } else {
            let ids: Vec<Uuid> = (0..batch).map(|_| Uuid::now_v7()).collect();
            let seqs: Vec<i64> = (0..i64::from(batch)).map(|n| seq + 1 + n).collect();
            seq += i64::from(batch);
            client
                .execute(&many, &[&ids, &seqs, &room, &user, &body])
                .await?;
        }
        samples.add(begun.elapsed());
    }
    Ok(samples)
}
