//! The description of the whole HTTP interface, at `/openapi.json`.
//!
//! It is put together while the routes are registered (see [`super::routes`]), so it cannot miss
//! one. `docs/openapi.json` is the same document, checked in: a test compares them, so that a
//! change of the interface shows in review.

use actix_web::http::{Method, header};
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, get};
use utoipa::OpenApi as _;
use utoipa::openapi::path::{ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, OpenApi, Required};

use super::asset::Asset;
use super::gate::public_gate;
use super::idempotency;
use super::problem::{ApiError, FieldError, Problem};
use crate::protocol::error::ErrorCode;

/// The document in the two forms in which it is needed.
pub(super) struct Document {
    json: Asset,
    openapi: OpenApi,
}

impl Document {
    pub(super) fn new(openapi: OpenApi) -> Self {
        Self {
            json: Asset::new(
                "application/json",
                openapi.to_pretty_json().unwrap_or_default().into(),
            ),
            openapi,
        }
    }

    /// The methods of an address, for `Allow`, by all routes that lead there; none if there are none.
    fn methods(&self, path: &str) -> Option<String> {
        let routes = self.openapi.paths.paths.iter();
        let items: Vec<_> = routes
            .filter(|(pattern, _)| leads_to(pattern, path))
            .map(|(_, item)| item)
            .collect();
        let has = |has: fn(&PathItem) -> bool| items.iter().any(|item| has(item));
        let methods = [
            ("GET, HEAD", has(|item| item.get.is_some())),
            ("POST", has(|item| item.post.is_some())),
            ("PUT", has(|item| item.put.is_some())),
            ("PATCH", has(|item| item.patch.is_some())),
            ("DELETE", has(|item| item.delete.is_some())),
            ("OPTIONS", !items.is_empty()),
        ];
        let allowed: Vec<_> = methods
            .into_iter()
            .filter_map(|(name, is_there)| is_there.then_some(name))
            .collect();
        (!allowed.is_empty()).then(|| allowed.join(", "))
    }
}

/// Whether a route's pattern is that of an address.
fn leads_to(pattern: &str, path: &str) -> bool {
    let (mut parts, mut segments) = (pattern.split('/'), path.split('/'));
    loop {
        match (parts.next(), segments.next()) {
            (None, None) => return true,
            (Some(part), Some(segment)) if part == segment => {}
            (Some(part), Some(segment)) if part.starts_with('{') && !segment.is_empty() => {}
            _ => return false,
        }
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

/// Adds to each `POST` that takes notice of it the header with a key.
pub(super) fn describe_keys(document: &mut OpenApi) {
    let paths = &mut document.paths.paths;
    let posts = paths.iter_mut().filter_map(|(pattern, item)| {
        let post = item.post.as_mut()?;
        idempotency::makes_a_difference(pattern).then_some(post)
    });
    for post in posts {
        let key = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(255))
            .pattern(Some("^[!#-\\[\\]-~]+$"));
        let parameter = ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(
                "The same request under the same key is carried out once",
            ))
            .schema(Some(key.build()));
        let parameters = post.parameters.get_or_insert_default();
        parameters.push(parameter.build().into());
    }
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
pub(super) async fn description(req: HttpRequest, document: Data<Document>) -> HttpResponse {
    document.json.answer(&req)
}

/// Answers what no route has taken: `OPTIONS`, 405 where the address exists, else 404.
pub(super) async fn unrouted(
    req: HttpRequest,
    document: Data<Document>,
) -> Result<HttpResponse, ApiError> {
    let allow = document.methods(req.path()).ok_or(ErrorCode::NotFound)?;
    // A preflight that comes here is of an origin that is not listed.
    let preflight = header::ACCESS_CONTROL_REQUEST_METHOD;
    if req.method() == Method::OPTIONS && !req.headers().contains_key(preflight) {
        return Ok(HttpResponse::NoContent()
            .insert_header((header::ALLOW, allow))
            .finish());
    }
    Err(ApiError::Method { allow })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_lead_to_addresses() {
        for (pattern, path) in [
            ("/api/rooms/{id}", "/api/rooms/x"),
            ("/api/rooms/{id}", "/api/rooms/batch"),
            ("/api/rooms/batch", "/api/rooms/batch"),
            ("/", "/"),
        ] {
            assert!(leads_to(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("/api/rooms/{id}", "/api/rooms/"),
            ("/api/rooms/{id}", "/api/rooms"),
            ("/api/rooms/{id}", "/api/rooms/x/y"),
            ("/api/rooms", "/API/rooms"),
            ("/", ""),
        ] {
            assert!(!leads_to(pattern, path), "{pattern} {path}");
        }
    }
}
