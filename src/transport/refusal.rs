//! Refusing a connection: for an upgrade a whole HTTP/1.1 answer, after which the socket is
//! closed; for a stream an answer of the HTTP side.

use std::fmt::Write as _;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};

use super::places::NoPlace;
use super::socketio::BodyError;
use crate::hub::engineio;
use crate::protocol::engineio::request::HandshakeError as EngineError;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::problem::{PROBLEM_JSON, Problem, status};
use crate::protocol::websocket::handshake::HandshakeError;

/// Why a request for an upgrade or a stream is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    /// The handshake breaks RFC 6455.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// Whatever has a code.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Too many.
    #[error(transparent)]
    NoPlace(#[from] NoPlace),
    /// Too often.
    #[error(transparent)]
    Limited(#[from] crate::auth::RateLimited),
    /// What Engine.IO has a code of its own for.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The body of a polling request is too long.
    #[error("the body is too long")]
    TooLarge,
    /// The body of a polling request took too long.
    #[error("the body took too long")]
    TooSlow,
    /// The client has gone; nobody reads the answer.
    #[error("the client has gone")]
    Gone,
}

impl From<engineio::Refused> for TransportError {
    fn from(refused: engineio::Refused) -> Self {
        use engineio::Refused;
        match refused {
            Refused::UnknownSid => EngineError::UnknownSid.into(),
            Refused::BadRequest => EngineError::BadRequest.into(),
            Refused::TooLarge => Self::TooLarge,
            Refused::Overloaded => Refusal::new(ErrorCode::Overloaded, refused.to_string()).into(),
            Refused::Unavailable => {
                Refusal::new(ErrorCode::Unavailable, refused.to_string()).into()
            }
        }
    }
}

impl From<BodyError> for TransportError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::TooLarge,
            BodyError::TooSlow => Self::TooSlow,
            BodyError::Broken(_) => Self::Gone,
        }
    }
}

impl TransportError {
    fn code(&self) -> u16 {
        match self {
            Self::Handshake(error) => error.status(),
            Self::Refused(refusal) => status(refusal.code),
            Self::NoPlace(_) => status(ErrorCode::Overloaded),
            Self::Limited(_) => status(ErrorCode::RateLimited),
            Self::Engine(error) => error.status(),
            Self::TooLarge => 413,
            Self::TooSlow => 408,
            Self::Gone => 400,
        }
    }

    /// Why, for metrics.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Handshake(_) => "handshake",
            Self::Refused(refusal) => refusal.code.as_str(),
            Self::NoPlace(_) => "no_place",
            Self::Limited(_) => "limited",
            Self::Engine(EngineError::UnknownTransport) => "unknown_transport",
            Self::Engine(EngineError::UnknownSid) => "unknown_sid",
            Self::Engine(EngineError::BadHandshakeMethod) => "bad_method",
            Self::Engine(EngineError::BadRequest) => "bad_request",
            Self::Engine(EngineError::Forbidden) => "forbidden",
            Self::Engine(EngineError::UnsupportedVersion) => "unsupported_version",
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::Gone => "gone",
        }
    }

    fn refusal(&self) -> Refusal {
        match self {
            Self::Handshake(error) => Refusal::new(ErrorCode::InvalidRequest, error.to_string()),
            Self::Refused(refusal) => refusal.clone(),
            Self::NoPlace(no_place) => Refusal::new(ErrorCode::Overloaded, no_place.to_string()),
            Self::Limited(limited) => Refusal::new(ErrorCode::RateLimited, limited.to_string()),
            Self::TooLarge => Refusal::new(ErrorCode::TooLarge, self.to_string()),
            Self::Engine(_) | Self::TooSlow | Self::Gone => {
                Refusal::new(ErrorCode::InvalidRequest, self.to_string())
            }
        }
    }

    /// The answer's body, and its type.
    fn body(&self) -> (&'static str, String) {
        if let Self::Engine(error) = self {
            return ("application/json", error.body());
        }
        let refusal = self.refusal();
        let mut problem = Problem::from(&refusal);
        problem.status = self.code();
        let body = serde_json::to_string(&problem).unwrap_or_default();
        (PROBLEM_JSON, body)
    }

    /// When to come back, seconds.
    fn wait_s(&self) -> Option<u64> {
        match self {
            Self::Limited(limited) => Some(limited.retry_after_s()),
            _ if self.code() == 503 => Some(1),
            _ => None,
        }
    }

    /// The answer, complete.
    pub(super) fn answer(&self) -> Vec<u8> {
        let (content_type, body) = self.body();
        let status = self.code();
        let reason = StatusCode::from_u16(status)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or_default();
        let mut answer = format!("HTTP/1.1 {status} {reason}\r\n");
        // Writing to a string cannot fail.
        if let Self::Handshake(error) = self {
            for (name, value) in error.headers().iter().filter(|it| it.0 != "connection") {
                let _ = write!(answer, "{name}: {value}\r\n");
            }
        }
        if let Some(wait_s) = self.wait_s() {
            let _ = write!(answer, "Retry-After: {wait_s}\r\n");
        }
        let _ = write!(
            answer,
            "Content-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len(),
        );
        answer.into_bytes()
    }
}

impl ResponseError for TransportError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let (content_type, body) = self.body();
        let mut response = HttpResponse::build(self.status_code());
        response
            .content_type(content_type)
            .insert_header((header::CACHE_CONTROL, "private, no-cache"));
        if let Some(wait_s) = self.wait_s() {
            response.insert_header((header::RETRY_AFTER, wait_s.to_string()));
        }
        if self.refusal().code == ErrorCode::Unauthenticated {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        response.body(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_complete() {
        let error = TransportError::from(Refusal::new(ErrorCode::Overloaded, "full"));
        let answer = String::from_utf8(error.answer()).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
        assert!(head.contains("Retry-After: 1\r\n"));
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
        let problem: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["code"], "overloaded");
        assert_eq!(problem["retry"], true);
    }

    #[test]
    fn a_wrong_version_is_told_the_right_one() {
        let answer = TransportError::from(HandshakeError::Version).answer();
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 426 "));
        assert!(answer.contains("sec-websocket-version: 13\r\n"));
    }
}
