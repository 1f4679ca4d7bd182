//! What can be measured of REST requests.

use std::sync::LazyLock;

use actix_web::http::Method;
use prometheus::{HistogramVec, IntCounterVec};

use crate::metric;

/// Time to answer, seconds. The labels take few values whatever clients send: the route is the
/// pattern that matched, and methods that HTTP does not know are all `OTHER`.
pub(super) static REQUEST_SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    metric::histograms(
        "http_request_duration_seconds",
        "Time to answer a request",
        &["method", "route", "status"],
        &[
            0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0,
        ],
    )
});

/// What became of requests with an `Idempotency-Key`.
pub(super) static REQUEST_KEYS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metric::counters(
        "http_request_keys_total",
        "What became of requests with an Idempotency-Key: kept, released, replayed, reused, \
         in_progress, too_many",
        &["outcome"],
    )
});

/// The label for a method.
pub(super) fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "OTHER",
    }
}
