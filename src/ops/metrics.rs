//! The page at `/metrics`, in Prometheus's text format.

use actix_web::HttpResponse;
use prometheus::TextEncoder;

/// What the node counts, as an answer.
pub(crate) fn page() -> HttpResponse {
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
