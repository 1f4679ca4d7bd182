//! The address by which a test breaks the node. Only with the feature `failpoints`.

use actix_web::web::Path;
use actix_web::{HttpResponse, put};

/// Gives a place of `src/fault.rs` its action, in the language of the crate `fail`.
#[put("/_fault/{name}")]
pub(crate) async fn set_fault(name: Path<String>, actions: String) -> HttpResponse {
    match fail::cfg(name.into_inner(), &actions) {
        Ok(()) => HttpResponse::NoContent().finish(),
        Err(error) => HttpResponse::BadRequest().body(error),
    }
}
