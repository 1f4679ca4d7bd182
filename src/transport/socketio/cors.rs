//! Which pages of other origins may read the answers.
//!
//! Those of `http.allowed_origins` may come with cookies, those of `socketio.cors_origins` without.

use actix_web::HttpResponse;
use actix_web::http::header::{self, HeaderMap, HeaderValue};

use crate::config::ANY_ORIGIN;
use crate::transport::Transport;

/// How long a browser may remember the answer, seconds.
const MAX_AGE: &str = "600";

/// A page of another origin that may read the answers.
#[derive(Debug)]
pub(super) struct Cors {
    origin: HeaderValue,
    /// With cookies.
    has_credentials: bool,
}

impl Cors {
    /// The page that a request comes from, if it is one of those.
    pub(super) fn of(headers: &HeaderMap, transport: &Transport) -> Option<Self> {
        let origin = headers.get(header::ORIGIN)?;
        let text = origin.to_str().ok()?;
        let has_credentials = transport.authenticator.origins().is_listed(text);
        let may_read = || {
            let listed = &transport.socketio.cors_origins;
            listed.iter().any(|it| it == ANY_ORIGIN || it == text)
        };
        (has_credentials || may_read()).then(|| Self {
            origin: origin.clone(),
            has_credentials,
        })
    }

    /// The answer to a browser that asks before it sends something.
    pub(super) fn preflight(&self, headers: &HeaderMap) -> Option<HttpResponse> {
        headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
        let mut answer = HttpResponse::NoContent().finish();
        self.allow(answer.headers_mut());
        let answered = answer.headers_mut();
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
            (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
        ] {
            answered.insert(name, HeaderValue::from_static(value));
        }
        // Applications may add headers of their own (`extraHeaders`).
        if let Some(asked) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            answered.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
        Some(answer)
    }

    /// Says so in an answer.
    pub(super) fn allow(&self, headers: &mut HeaderMap) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, self.origin.clone());
        if self.has_credentials {
            let value = HeaderValue::from_static("true");
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, value);
        }
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
}
