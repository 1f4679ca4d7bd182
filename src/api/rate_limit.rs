//! What is said of limits: `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10)
//! with every answer that was counted, and `Retry-After` with those that were refused.

use std::time::Duration;

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::auth::{Bucket, RateLimited, Standing};

/// How much is left, and when all of it is there again.
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// What is allowed.
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Tells somebody who was let through how much is left.
pub(super) fn tell(headers: &mut HeaderMap, standing: &Standing) {
    let told = [
        (POLICY, policy(standing.bucket, standing.limit)),
        (
            LEFT,
            left(
                standing.bucket,
                standing.remaining,
                seconds_up(standing.full_after),
            ),
        ),
    ];
    for (name, value) in told {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
}

/// What is said to who was refused.
pub(super) fn refused(limited: &RateLimited) -> Vec<(HeaderName, String)> {
    let wait_s = limited.retry_after_s();
    vec![
        (header::RETRY_AFTER, wait_s.to_string()),
        (LEFT, left(limited.bucket, 0, wait_s)),
        (POLICY, policy(limited.bucket, limited.limit)),
    ]
}

fn policy(bucket: Bucket, limit: u32) -> String {
    format!("\"{}\";q={limit};w=60", bucket.as_str())
}

fn left(bucket: Bucket, remaining: u64, after_s: u64) -> String {
    format!("\"{}\";r={remaining};t={after_s}", bucket.as_str())
}

fn seconds_up(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
