//! The time by Postgres's clock, the only one that counts.

use jiff::Timestamp;

use super::statement::{Statement, statement};
use super::{Conn, StoreError};

const IN_SECONDS: Statement = statement!("server/in_seconds");

/// Now, and the moment `seconds` from now.
pub async fn in_seconds(conn: &Conn, seconds: u32) -> Result<(Timestamp, Timestamp), StoreError> {
    let row = conn.query_one(&IN_SECONDS, &[&f64::from(seconds)]).await?;
    Ok((row.try_get("now")?, row.try_get("later")?))
}
