//! The route of the page at `/metrics`: `ops` makes it, and `api` knows who may ask how often.

use actix_web::middleware::from_fn;
use actix_web::{HttpResponse, get};

use crate::{api, ops};

/// What the node counts
///
/// In Prometheus's text format.
#[utoipa::path(
    tag = "operations",
    responses(
        (status = 200, description = "All metrics", content_type = "text/plain", body = String),
        (status = 429, description = "Asked too often", body = api::problem::Problem, content_type = "application/problem+json"),
    )
)]
#[get("/metrics", wrap = "from_fn(api::public_gate)")]
pub(super) async fn metrics() -> HttpResponse {
    ops::metrics::page()
}
