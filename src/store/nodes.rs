//! The nodes and their lives.

use super::statement::{Statement, statement};
use super::{Store, StoreError, seq};

const BEGIN_LIFE: Statement = statement!("nodes/begin_life");

/// A node starts. The number of its life, from 1.
pub async fn begin_life(store: &Store, id: &str, address: &str) -> Result<u64, StoreError> {
    let conn = store.get().await?;
    let row = conn.query_one(&BEGIN_LIFE, &[&id, &address]).await?;
    seq::from_db(row.try_get("incarnation")?)
}
