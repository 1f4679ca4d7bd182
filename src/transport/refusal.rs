//! Refusing a connection: for an upgrade a whole HTTP/1.1 answer, after which the socket is
//! closed; for a stream an answer of the HTTP side.

use std::fmt::Write as _;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};

use super::places::NoPlace;
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
}

impl TransportError {
    fn code(&self) -> u16 {
        match self {
            Self::Handshake(error) => error.status(),
            Self::Refused(refusal) => status(refusal.code),
            Self::NoPlace(_) => status(ErrorCode::Overloaded),
            Self::Limited(_) => status(ErrorCode::RateLimited),
        }
    }

    fn refusal(&self) -> Refusal {
        match self {
            Self::Handshake(error) => Refusal::new(ErrorCode::InvalidRequest, error.to_string()),
            Self::Refused(refusal) => refusal.clone(),
            Self::NoPlace(no_place) => Refusal::new(ErrorCode::Overloaded, no_place.to_string()),
            Self::Limited(limited) => Refusal::new(ErrorCode::RateLimited, limited.to_string()),
        }
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
        let refusal = self.refusal();
        let mut problem = Problem::from(&refusal);
        problem.status = self.code();
        let body = serde_json::to_string(&problem).unwrap_or_default();
        let reason = StatusCode::from_u16(problem.status)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or_default();
        let mut answer = format!("HTTP/1.1 {} {reason}\r\n", problem.status);
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
            "Content-Type: {PROBLEM_JSON}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
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
        let refusal = self.refusal();
        let mut response = HttpResponse::build(self.status_code());
        response
            .content_type(PROBLEM_JSON)
            .insert_header((header::CACHE_CONTROL, "private, no-cache"));
        if let Some(wait_s) = self.wait_s() {
            response.insert_header((header::RETRY_AFTER, wait_s.to_string()));
        }
        if refusal.code == ErrorCode::Unauthenticated {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        response.body(serde_json::to_vec(&Problem::from(&refusal)).unwrap_or_default())
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
