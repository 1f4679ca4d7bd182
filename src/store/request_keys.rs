//! What requests with a key of their client's own were answered, so that one that is sent again is
//! carried out once.

use uuid::Uuid;

use super::statement::{Statement, statement};
use super::{Conn, StoreError};
use crate::protocol::id::UserId;

const CLAIM: Statement = statement!("request_keys/claim");
const ANSWER: Statement = statement!("request_keys/answer");
const RELEASE: Statement = statement!("request_keys/release");
const DELETE_OLD: Statement = statement!("request_keys/delete_old");

/// A request, as it is known again.
#[derive(Debug, Clone, Copy)]
pub struct Keyed<'a> {
    /// Whose it is.
    pub user_id: UserId,
    /// The client's key.
    pub key: &'a str,
    /// SHA-256 of what is asked.
    pub fingerprint: &'a [u8; 32],
}

/// How keys are kept.
#[derive(Debug, Clone, Copy)]
pub struct Keeping {
    /// How long an attempt has the key for itself, seconds.
    pub claim_s: u32,
    /// How long answers are kept, hours.
    pub hours: u32,
    /// Keys of one user at most.
    pub per_user: u32,
}

/// What is kept of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The HTTP status.
    pub status: u16,
    /// The body's type, if it has one.
    pub content_type: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// What comes of claiming a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// It belongs to this attempt now: to be answered or released.
    Ours(Attempt),
    /// The request was answered before.
    Answered(Kept),
    /// Another attempt has not ended yet.
    InProgress,
    /// The key was used for another request.
    Reused,
    /// The user has as many keys as one may.
    TooMany,
}

/// An attempt to carry out a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt(Uuid);

/// Claims a key for a new attempt.
pub async fn claim(
    conn: &Conn,
    request: Keyed<'_>,
    keeping: Keeping,
) -> Result<Claimed, StoreError> {
    let attempt = Uuid::now_v7();
    let Keeping {
        claim_s,
        hours,
        per_user,
    } = keeping;
    let (claim_s, hours) = (f64::from(claim_s), i32::try_from(hours).unwrap_or(i32::MAX));
    let row = conn
        .query_one(
            &CLAIM,
            &[
                &request.user_id.0,
                &request.key,
                &request.fingerprint.as_slice(),
                &attempt,
                &claim_s,
                &hours,
                &i64::from(per_user),
            ],
        )
        .await?;
    if row.try_get("is_taken")? {
        return Ok(Claimed::Ours(Attempt(attempt)));
    }
    let Some(fingerprint) = row.try_get::<_, Option<&[u8]>>("fingerprint")? else {
        let is_full: bool = row.try_get("is_full")?;
        return Ok(if is_full {
            Claimed::TooMany
        } else {
            Claimed::InProgress
        });
    };
    if fingerprint != request.fingerprint {
        return Ok(Claimed::Reused);
    }
    let Some(status) = row.try_get::<_, Option<i16>>("status")? else {
        return Ok(Claimed::InProgress);
    };
    Ok(Claimed::Answered(Kept {
        status: u16::try_from(status).map_err(|error| StoreError::Corrupt {
            what: "status of an answer",
            source: error.into(),
        })?,
        content_type: row.try_get("content_type")?,
        body: row
            .try_get::<_, Option<Vec<u8>>>("body")?
            .unwrap_or_default(),
    }))
}

/// Keeps the answer that an attempt has led to.
pub async fn answer(
    conn: &Conn,
    request: Keyed<'_>,
    attempt: Attempt,
    kept: &Kept,
) -> Result<(), StoreError> {
    let status = i16::try_from(kept.status).unwrap_or(i16::MAX);
    let params: super::Params<'_> = &[
        &request.user_id.0,
        &request.key,
        &attempt.0,
        &status,
        &kept.content_type,
        &kept.body,
    ];
    conn.execute(&ANSWER, params).await?;
    Ok(())
}

/// Gives a key back: nothing is kept of the attempt.
pub async fn release(conn: &Conn, request: Keyed<'_>, attempt: Attempt) -> Result<(), StoreError> {
    conn.execute(&RELEASE, &[&request.user_id.0, &request.key, &attempt.0])
        .await?;
    Ok(())
}

/// Removes at most `limit` keys that are older than so many hours. Returns how many.
pub async fn delete_old(conn: &Conn, hours: u32, limit: u32) -> Result<u64, StoreError> {
    let hours = i32::try_from(hours).unwrap_or(i32::MAX);
    conn.execute(&DELETE_OLD, &[&hours, &i64::from(limit)])
        .await
}
