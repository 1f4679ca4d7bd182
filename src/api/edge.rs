//! The outermost layer of the HTTP side: measures every request, logs those that fail by our
//! fault, answers `HEAD` by `GET`, and tells browsers which other origins may read the answers.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Instant;

use actix_web::body::{BodySize, BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpResponse};

use super::ApiState;
use super::metrics::{REQUEST_SECONDS, method_label};
use super::problem::ApiError;
use super::request;
use crate::fault;
use crate::stall::{Activity, doing_with};

/// The label of requests that no route has taken.
const UNROUTED: &str = "unmatched";

/// What pages of listed origins may send.
const CORS_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
const CORS_HEADERS: &str =
    "authorization, content-type, if-none-match, idempotency-key, last-event-id, hubbub-min-cursor";
const CORS_EXPOSED: &str =
    "etag, idempotency-replayed, link, retry-after, ratelimit, ratelimit-policy, x-cache";

/// Wraps the whole `App`: `App::new().wrap(from_fn(api::edge))`.
pub async fn edge(
    mut req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, Error> {
    let started = Instant::now();
    let method = req.method().clone();
    // Socket.IO's transport says itself which pages may read its answers, and has no `HEAD`.
    let is_socketio = is_socketio(&req);
    if method == Method::HEAD && !is_socketio {
        // The encoder leaves the body of an answer to HEAD out by itself.
        req.head_mut().method = Method::GET;
    }
    let page = listed_origin(&req).filter(|_| !is_socketio);
    let mut response = match (head_too_large(&req), &page) {
        (Some(error), _) => req.error_response(error).map_into_right_body(),
        (None, Some(page)) if is_preflight(&req) => {
            let page = page.clone();
            let mut response = req.into_response(HttpResponse::NoContent().finish());
            preflight(response.headers_mut(), page);
            response.map_into_right_body()
        }
        _ => {
            let what = shape(method_label(&method), req.path());
            let mut answer = pin!(next.call(req));
            let answer = poll_fn(|cx| {
                let _doing = doing_with(Activity::Rest, &what);
                fault::point!("api.edge.poll");
                answer.as_mut().poll(cx)
            });
            answer.await?.map_into_left_body()
        }
    };
    if method == Method::HEAD && response.response().body().size() == BodySize::Stream {
        // It would leave out a body without end for as long as that lasts.
        response = response.map_body(|_, _| EitherBody::right(BoxBody::new(())));
    }
    if let Some(page) = page {
        allow(response.headers_mut(), page);
    }
    response.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    observe(&method, &response, started);
    Ok(response)
}

/// Refuses a head that is larger than it may be, counted as RFC 9113 section 6.5.2 does. Over HTTP/2
/// a few packed bytes can become a large one.
fn head_too_large(req: &ServiceRequest) -> Option<ApiError> {
    const KEEPING: usize = 32;
    let most = req.app_data::<Data<ApiState>>()?.config.http.max_head_bytes;
    let address = req.uri().path_and_query();
    let address = address.map_or(0, |address| address.as_str().len());
    let bytes = req.headers().iter().fold(address, |bytes, (name, value)| {
        bytes.saturating_add(name.as_str().len() + value.len() + KEEPING)
    });
    (bytes > most).then_some(ApiError::Head { most })
}

/// A request for the log: what may be an id, a name or a secret is left out of its path.
fn shape(method: &str, path: &str) -> String {
    let mut shape = String::with_capacity(64);
    shape.push_str(method);
    shape.push(' ');
    for segment in path.split('/').skip(1).take(8) {
        let is_word = segment.len() <= 16
            && segment
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'_' | b'-' | b'.'));
        shape.push('/');
        shape.push_str(if is_word { segment } else { "{}" });
    }
    shape
}

fn observe(method: &Method, response: &ServiceResponse<impl MessageBody>, started: Instant) {
    let status = response.status();
    let pattern = request::route(response.request());
    let route = pattern.as_deref().unwrap_or(UNROUTED);
    let took = started.elapsed();
    REQUEST_SECONDS
        .with_label_values(&[method_label(method), route, status.as_str()])
        .observe(took.as_secs_f64());
    // A shortage is expected now and then, a defect never.
    if let Some(error) = response.response().error()
        && status.is_server_error()
    {
        let error = error
            .as_error::<ApiError>()
            .map_or_else(|| error.to_string(), |error| chain(error));
        tracing::error!(%method, route, status = status.as_u16(), error, "request failed");
    }
    tracing::debug!(%method, route, status = status.as_u16(), ?took, "request");
}

/// An error with all its sources, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        // Transparent errors say the same twice.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = error.source();
    }
    text
}

fn is_socketio(req: &ServiceRequest) -> bool {
    let state = req.app_data::<Data<ApiState>>();
    state.is_some_and(|state| state.config.socketio.is_at(req.path()))
}

/// The request's origin, if it stands in the allowlist.
fn listed_origin(req: &ServiceRequest) -> Option<HeaderValue> {
    let origin = req.headers().get(header::ORIGIN)?;
    let state = req.app_data::<Data<ApiState>>()?;
    let listed = state.auth.origins().is_listed(origin.to_str().ok()?);
    listed.then(|| origin.clone())
}

fn is_preflight(req: &ServiceRequest) -> bool {
    let headers = req.headers();
    req.method() == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight(headers: &mut HeaderMap, page: HeaderValue) {
    allow(headers, page);
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, CORS_METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, CORS_HEADERS),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

fn allow(headers: &mut HeaderMap, page: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, page);
    let fixed: [(HeaderName, &str); 2] = [
        (header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, CORS_EXPOSED),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_of_a_request_tells_no_secret() {
        let told = [
            "/api/rooms",
            "/api/rooms/0199c5a6-1111-7111-8111-111111111111/messages",
            "/api/invitations/mVj0Wd3kQ9x",
            "/health",
        ]
        .map(|path| shape("GET", path));
        let expected = [
            "GET /api/rooms",
            "GET /api/rooms/{}/messages",
            "GET /api/invitations/{}",
            "GET /health",
        ];
        assert_eq!(told, expected);
    }
}
