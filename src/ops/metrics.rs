//! The page at `/metrics`, in Prometheus's text format.

use actix_web::{HttpResponse, get};
use prometheus::TextEncoder;

/// What the node counts
///
/// In Prometheus's text format.
#[utoipa::path(
    tag = "operations",
    responses((status = 200, description = "All metrics", content_type = "text/plain", body = String))
)]
#[get("/metrics")]
pub(crate) async fn metrics() -> HttpResponse {
    match TextEncoder::new().encode_to_string(&prometheus::gather()) {
        Ok(page) => HttpResponse::Ok()
            .content_type("text/plain; version=0.0.4")
            .body(page),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            HttpResponse::InternalServerError().finish()
        }
    }
}
