//! How long something is to last: until a moment, for so many seconds, or for ever.

use jiff::Timestamp;

use super::ApiState;
use super::problem::{ApiError, FieldError};
use crate::store::clock;

/// The longest time that can be given in seconds: ten years.
pub(super) const SECONDS_MAX: u32 = 315_360_000;

/// The end, by the database's clock; none for ever.
pub(super) async fn end(
    state: &ApiState,
    until: Option<Timestamp>,
    seconds: Option<u32>,
) -> Result<Option<Timestamp>, ApiError> {
    if let Some(seconds) = seconds
        && !(1..=SECONDS_MAX).contains(&seconds)
    {
        let message = format!("must be a whole number from 1 to {SECONDS_MAX}");
        return Err(FieldError::new("seconds", message).into());
    }
    if until.is_some() && seconds.is_some() {
        return Err(FieldError::new("seconds", "cannot be given together with until").into());
    }
    if until.is_none() && seconds.is_none() {
        return Ok(None);
    }
    let conn = state.store.get().await?;
    let (now, later) = clock::in_seconds(&conn, seconds.unwrap_or_default()).await?;
    match until {
        Some(until) if until <= now => {
            Err(FieldError::new("until", "must be a time that is to come").into())
        }
        // Postgres keeps microseconds, and what is logged must be what is stored.
        Some(until) => Ok(Timestamp::from_microsecond(until.as_microsecond()).ok()),
        None => Ok(Some(later)),
    }
}
