//! By which nodes users are connected, and with that who is online.
//!
//! Several nodes may write of one user at once. Each locks the users' rows first, in the order of
//! their ids, so that what a later statement of its transaction sees is what is so.

use uuid::Uuid;

use super::statement::{Statement, statement};
use super::{Store, StoreError, Tx, seq};
use crate::protocol::id::UserId;
use crate::protocol::origin::Origin;

const LOCK: Statement = statement!("online_users/lock");
const NOTE: Statement = statement!("online_users/note");
const SETTLE: Statement = statement!("online_users/settle");
const STALE: Statement = statement!("online_users/stale");
const FORGET: Statement = statement!("online_users/forget");
const COUNT: Statement = statement!("online_users/count");

/// Writes that users are connected to a node, and others no longer.
pub async fn note(
    store: &Store,
    node: &Origin,
    come: &[UserId],
    gone: &[UserId],
) -> Result<(), StoreError> {
    let (come, gone) = (ids(come), ids(gone));
    let all: Vec<Uuid> = come.iter().chain(&gone).copied().collect();
    let mut conn = store.get().await?;
    let tx = conn.transaction().await?;
    tx.query(&LOCK, &[&all]).await?;
    let incarnation = seq::to_db(node.incarnation);
    let params: super::Params<'_> = &[&&*node.node, &incarnation, &come, &gone];
    tx.execute(&NOTE, params).await?;
    settle(tx, &all).await
}

/// Corrects what is written of at most about `limit` users, if only these nodes are left. How many
/// there were.
pub async fn sweep(store: &Store, left: &[Origin], limit: u32) -> Result<usize, StoreError> {
    let nodes: Vec<&str> = left.iter().map(|it| &*it.node).collect();
    let incarnations: Vec<i64> = left.iter().map(|it| seq::to_db(it.incarnation)).collect();
    let mut conn = store.get().await?;
    let tx = conn.transaction().await?;
    let params: super::Params<'_> = &[&nodes, &incarnations, &i64::from(limit)];
    let rows = tx.query(&STALE, params).await?;
    let users: Vec<Uuid> = rows
        .iter()
        .map(|row| row.try_get("user_id"))
        .collect::<Result<_, _>>()?;
    if !users.is_empty() {
        tx.query(&LOCK, &[&users]).await?;
        tx.execute(&FORGET, &[&nodes, &incarnations, &users])
            .await?;
        settle(tx, &users).await?;
    }
    Ok(users.len())
}

async fn settle(tx: Tx<'_>, users: &[Uuid]) -> Result<(), StoreError> {
    tx.execute(&SETTLE, &[&users]).await?;
    tx.commit().await
}

/// How many users are written to be connected to a node.
pub async fn count(store: &Store, node: &Origin) -> Result<u64, StoreError> {
    let conn = store.get().await?;
    let incarnation = seq::to_db(node.incarnation);
    let row = conn
        .query_one(&COUNT, &[&&*node.node, &incarnation])
        .await?;
    seq::from_db(row.try_get("users")?)
}

fn ids(users: &[UserId]) -> Vec<Uuid> {
    users.iter().map(|user| user.0).collect()
}
