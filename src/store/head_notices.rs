//! A connection that tells of rooms' heads by NOTIFY.
//!
//! It has one of its own, outside of the transactions that publish: a NOTIFY takes a lock at its
//! commit that all others of the database wait for. Nothing that it says must last, so it waits for
//! no disk.

use std::time::Duration;

use tokio_postgres::{Client, Statement as Prepared};

use super::session::connect_single;
use super::statement::{Statement, statement};
use super::{Driver, SessionOptions, StoreError};

const NOTIFY_HEADS: Statement = statement!("room_events/notify_heads");

/// The longest text that NOTIFY takes, bytes.
pub const NOTICE_MAX: usize = 7999;

/// The connection.
#[derive(Debug)]
pub struct NoticeLink {
    client: Client,
    notify: Prepared,
    patience: Duration,
    /// Dropped with it.
    _driver: Driver,
}

impl NoticeLink {
    /// Connects, within the time that `options` give for it.
    pub async fn open(url: &str, options: &SessionOptions) -> Result<Self, StoreError> {
        let options = SessionOptions {
            application_name: "hubbub-notify",
            synchronous_commit: Some(false),
            ..options.clone()
        };
        let patience = options.statement_timeout;
        let (client, driver) = connect_single(url, &options).await?;
        let sort = |error| StoreError::classify(error, NOTIFY_HEADS.name);
        let notify = tokio::time::timeout(patience, client.prepare(NOTIFY_HEADS.sql))
            .await
            .map_err(timed_out)?
            .map_err(sort)?;
        Ok(Self {
            client,
            notify,
            patience,
            _driver: driver,
        })
    }

    /// Tells every node that listens, this one too. At most [`NOTICE_MAX`] bytes.
    pub async fn tell(&self, notice: &str) -> Result<(), StoreError> {
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&notice];
        tokio::time::timeout(self.patience, self.client.query(&self.notify, &params))
            .await
            .map_err(timed_out)?
            .map_err(|error| StoreError::classify(error, NOTIFY_HEADS.name))?;
        Ok(())
    }
}

fn timed_out(_: tokio::time::error::Elapsed) -> StoreError {
    StoreError::Timeout {
        what: NOTIFY_HEADS.name,
    }
}
