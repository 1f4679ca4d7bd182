//! Refusing an upgrade: a whole HTTP/1.1 answer, after which the socket is closed.

use std::fmt::Write as _;

use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::problem::{PROBLEM_JSON, Problem, status};
use crate::protocol::websocket::handshake::HandshakeError;

/// Why a request for an upgrade is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpgradeError {
    /// The handshake breaks RFC 6455.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// Whatever has a code.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Too often.
    #[error(transparent)]
    Limited(#[from] crate::auth::RateLimited),
}

impl UpgradeError {
    fn status(&self) -> u16 {
        match self {
            Self::Handshake(error) => error.status(),
            Self::Refused(refusal) => status(refusal.code),
            Self::Limited(_) => status(ErrorCode::RateLimited),
        }
    }

    fn refusal(&self) -> Refusal {
        match self {
            Self::Handshake(error) => Refusal::new(ErrorCode::InvalidRequest, error.to_string()),
            Self::Refused(refusal) => refusal.clone(),
            Self::Limited(limited) => Refusal::new(ErrorCode::RateLimited, limited.to_string()),
        }
    }

    /// The answer, complete.
    pub(super) fn answer(&self) -> Vec<u8> {
        let refusal = self.refusal();
        let mut problem = Problem::from(&refusal);
        problem.status = self.status();
        let body = serde_json::to_string(&problem).unwrap_or_default();
        let reason = actix_http::StatusCode::from_u16(problem.status)
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
        let wait_s = match self {
            Self::Limited(limited) => Some(limited.retry_after_s()),
            _ if problem.status == 503 => Some(1),
            _ => None,
        };
        if let Some(wait_s) = wait_s {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_complete() {
        let error = UpgradeError::from(Refusal::new(ErrorCode::Overloaded, "full"));
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
        let answer = UpgradeError::from(HandshakeError::Version).answer();
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 426 "));
        assert!(answer.contains("sec-websocket-version: 13\r\n"));
    }
}
