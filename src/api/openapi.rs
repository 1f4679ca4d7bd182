//! The description of the whole HTTP interface, at `/openapi.json`.
//!
//! It is put together while the routes are registered (see [`super::routes`]), so it cannot miss
//! one. `docs/openapi.json` is the same document, checked in: a test compares them, so that a
//! change of the interface shows in review.

use actix_web::http::header;
use actix_web::middleware::from_fn;
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse, get};
use utoipa::OpenApi as _;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, OpenApi};

use super::gate::public_gate;
use super::problem::{ApiError, FieldError, Problem};
use crate::protocol::error::ErrorCode;

/// The document in the two forms in which it is needed.
pub(super) struct Document {
    json: Bytes,
    openapi: OpenApi,
}

impl Document {
    pub(super) fn new(openapi: OpenApi) -> Self {
        Self {
            json: openapi.to_pretty_json().unwrap_or_default().into(),
            openapi,
        }
    }

    /// The methods of a route, for `Allow`; none if there is no such route.
    fn methods(&self, pattern: &str) -> Option<String> {
        let item = self.openapi.paths.paths.get(pattern)?;
        let methods = [
            ("GET, HEAD", &item.get),
            ("POST", &item.post),
            ("PUT", &item.put),
            ("PATCH", &item.patch),
            ("DELETE", &item.delete),
        ];
        let allowed: Vec<_> = methods
            .iter()
            .filter(|(_, operation)| operation.is_some())
            .map(|(name, _)| *name)
            .collect();
        Some(allowed.join(", "))
    }
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Hubbub",
        description = "A realtime hub for chat and collaboration. Every error is \
                       `application/problem+json` with a stable `code`; see docs/PROTOCOL.md."
    ),
    // Answers that stand for themselves are not followed into what they are made of.
    components(schemas(Problem, FieldError)),
    tags(
        (name = "auth", description = "Registering, logging in and out, tickets"),
        (name = "users", description = "Users"),
        (name = "rooms", description = "Rooms"),
        (name = "members", description = "Who is in a room"),
        (name = "messages", description = "What was said in a room"),
        (name = "events", description = "What happens, as it happens, in event streams"),
        (name = "websocket", description = "The native protocol"),
        (name = "operations", description = "How the node is"),
        (name = "page", description = "For people")
    )
)]
struct Base;

/// The document without any route. `cookie` is the name of the session's cookie.
pub(super) fn base(cookie: &str) -> OpenApi {
    let mut document = Base::openapi();
    let components = document.components.get_or_insert_with(Components::new);
    components.add_security_scheme(
        "bearer",
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some("The token that registering or logging in gave"))
                .build(),
        ),
    );
    components.add_security_scheme(
        "cookie",
        SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
            cookie,
            "The session's cookie; writes must then come from a page of this origin",
        ))),
    );
    document
}

/// This description.
#[utoipa::path(
    tag = "operations",
    operation_id = "openapi",
    responses(
        (status = 200, description = "OpenAPI 3.1", content_type = "application/json"),
        (status = 429, description = "Asked too often", body = Problem, content_type = "application/problem+json"),
    )
)]
#[get("/openapi.json", wrap = "from_fn(public_gate)")]
pub(super) async fn description(document: Data<Document>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(document.json.clone())
}

/// Answers what no route has taken: 405 where the address exists, else 404.
pub(super) async fn unrouted(
    req: HttpRequest,
    document: Data<Document>,
) -> Result<HttpResponse, ApiError> {
    let pattern = req.match_pattern();
    match pattern.and_then(|pattern| document.methods(&pattern)) {
        Some(allow) => Err(ApiError::Method { allow }),
        None => Err(ErrorCode::NotFound.into()),
    }
}
