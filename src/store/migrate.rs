//! Migrations: forward only, each in a transaction of its own, one node at a time.

use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio_postgres::Client;

use super::error::StoreError;
use super::session::{SessionOptions, connect_single};
use super::statement::{Statement, statement};

/// A file of `sql/migrations`.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Dense from 1.
    pub version: u32,
    /// The file's name without number and extension.
    pub name: &'static str,
    /// The text.
    pub sql: &'static str,
}

macro_rules! migrations {
    ($($version:literal $name:literal $file:literal),+ $(,)?) => {
        &[$(Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!("../../sql/migrations/", $file, ".sql")),
        }),+]
    };
}

/// Every migration, oldest first. A test compares the list with the folder.
pub const MIGRATIONS: &[Migration] = migrations![
    1 "rooms_and_their_logs" "0001_rooms_and_their_logs",
    2 "changes_of_messages_and_members" "0002_changes_of_messages_and_members",
    3 "mutes_of_who_is_away" "0003_mutes_of_who_is_away",
    4 "bytes_as_bodies" "0004_bytes_as_bodies",
    5 "leases" "0005_leases",
    6 "secret_of_the_cluster" "0006_secret_of_the_cluster",
    7 "who_is_online" "0007_who_is_online",
    8 "profiles_and_request_keys" "0008_profiles_and_request_keys",
    9 "copies" "0009_copies",
];

const CREATE_TABLE: Statement = statement!("schema_migrations/create_table");
const SELECT_ALL: Statement = statement!("schema_migrations/select_all");
const INSERT: Statement = statement!("schema_migrations/insert");
const LOCK: Statement = statement!("schema_migrations/lock");

/// Any constant will do: "hubbub" in ASCII.
const LOCK_KEY: i64 = 0x6875_6262_7562;

/// How long to wait for a node that migrates, or for statements that use a table.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);

/// What [`migrate`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The names of the migrations that it applied, oldest first.
    pub names: Vec<&'static str>,
    /// The schema's version now.
    pub version: u32,
}

/// Why the schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// Connecting, or a statement besides the migrations' own, failed.
    #[error("cannot migrate the database")]
    Store(#[from] StoreError),
    /// A migration failed; nothing of it remains.
    #[error("migration {version:04} ({name}) failed and was rolled back")]
    Failed {
        /// Its number.
        version: u32,
        /// Its name.
        name: &'static str,
        /// What Postgres said.
        source: tokio_postgres::Error,
    },
    /// A migration's file is not what was applied.
    #[error(
        "migration {version:04} ({name}) was changed after it had been applied to this database: \
         restore the file and put the change into a new migration"
    )]
    Changed {
        /// Its number.
        version: u32,
        /// Its name.
        name: String,
    },
    /// The database has seen a newer program.
    #[error(
        "the database has schema version {found}, this program knows versions up to {known}: run \
         a newer hubbub, or restore a backup made before the upgrade"
    )]
    Newer {
        /// The database's.
        found: u32,
        /// The program's.
        known: u32,
    },
}

/// Applies the migrations that the database behind `url` lacks.
pub async fn migrate(url: &str) -> Result<Applied, MigrateError> {
    apply(url, MIGRATIONS).await
}

/// Applies those of `migrations` that the database lacks; public for tests of the mechanism.
pub async fn apply(url: &str, migrations: &[Migration]) -> Result<Applied, MigrateError> {
    let options = SessionOptions {
        application_name: "hubbub migrate",
        connect_timeout: Duration::from_secs(30),
        // A migration takes as long as the tables are large.
        statement_timeout: Duration::ZERO,
        idle_in_transaction_timeout: Duration::ZERO,
        lock_timeout: LOCK_TIMEOUT,
        synchronous_commit: Some(true),
        keepalives: false,
    };
    let (mut client, driver) = connect_single(url, &options).await?;
    let outcome = apply_on(&mut client, migrations).await;
    // The session's end releases the advisory lock; wait for it, so that the next to migrate
    // does not find it taken.
    drop(client);
    let _ = driver.await;
    outcome
}

async fn apply_on(client: &mut Client, migrations: &[Migration]) -> Result<Applied, MigrateError> {
    let query = |error| StoreError::classify(error, "migrate");
    client
        .execute(LOCK.sql, &[&LOCK_KEY])
        .await
        .map_err(query)?;
    client
        .batch_execute(CREATE_TABLE.sql)
        .await
        .map_err(query)?;
    let rows = client.query(SELECT_ALL.sql, &[]).await.map_err(query)?;
    let mut present = Vec::with_capacity(rows.len());
    for row in &rows {
        let version: i32 = row.try_get(0).map_err(query)?;
        let name: String = row.try_get(1).map_err(query)?;
        let digest: Vec<u8> = row.try_get(2).map_err(query)?;
        present.push((u32::try_from(version).unwrap_or(0), name, digest));
    }
    let missing = missing(&present, migrations)?;
    for migration in missing {
        run(client, migration).await?;
        tracing::info!(
            version = migration.version,
            name = migration.name,
            "migrated"
        );
    }
    Ok(Applied {
        names: missing.iter().map(|migration| migration.name).collect(),
        version: migrations.last().map_or(0, |last| last.version),
    })
}

/// The migrations after those that are `present` as (version, name, SHA-256).
fn missing<'a>(
    present: &[(u32, String, Vec<u8>)],
    migrations: &'a [Migration],
) -> Result<&'a [Migration], MigrateError> {
    let known = migrations.last().map_or(0, |last| last.version);
    let found = present.iter().map(|(version, ..)| *version).max();
    if let Some(found) = found.filter(|found| *found > known) {
        return Err(MigrateError::Newer { found, known });
    }
    for (migration, (version, name, digest)) in migrations.iter().zip(present) {
        if migration.version != *version || digest_of(migration) != *digest {
            return Err(MigrateError::Changed {
                version: *version,
                name: name.clone(),
            });
        }
    }
    Ok(migrations.get(present.len()..).unwrap_or_default())
}

fn digest_of(migration: &Migration) -> Vec<u8> {
    Sha256::digest(migration.sql).to_vec()
}

async fn run(client: &mut Client, migration: &Migration) -> Result<(), MigrateError> {
    let failed = |source| MigrateError::Failed {
        version: migration.version,
        name: migration.name,
        source,
    };
    let version = i32::try_from(migration.version).unwrap_or(i32::MAX);
    let transaction = client.transaction().await.map_err(failed)?;
    transaction
        .batch_execute(migration.sql)
        .await
        .map_err(failed)?;
    transaction
        .execute(
            INSERT.sql,
            &[&version, &migration.name, &digest_of(migration)],
        )
        .await
        .map_err(failed)?;
    transaction.commit().await.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_the_folder() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/sql/migrations");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let listed: Vec<String> = MIGRATIONS
            .iter()
            .map(|migration| format!("{:04}_{}.sql", migration.version, migration.name))
            .collect();
        assert_eq!(files, listed);
        for (index, migration) in (1..).zip(MIGRATIONS) {
            assert_eq!(migration.version, index, "versions are dense from 1");
            let file = format!("{folder}/{}", files[(index - 1) as usize]);
            assert_eq!(migration.sql, std::fs::read_to_string(file).unwrap());
        }
    }
}
