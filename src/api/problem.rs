//! The error edge: whatever fails becomes `application/problem+json` (RFC 9457) here.
//!
//! What clients see is a [`Refusal`] with the members of the standard; what failed inside stays
//! inside, and is logged once by [`mod@super::edge`].

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

use super::rate_limit;
use crate::auth::{AuthError, RateLimited};
use crate::cache::CacheError;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::problem::{PROBLEM_JSON, status, title};
use crate::store::StoreError;

/// After a fault of the moment, clients are asked to come back after this, seconds.
const RETRY_AFTER_FAULT_S: u64 = 1;

/// Why a request is answered with a problem.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Refused for a reason that the client may know.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Fields are missing, have a wrong type or an impossible value.
    #[error("{} field(s) of the request are not valid", .0.len())]
    Fields(Vec<FieldError>),
    /// The address exists, the method does not.
    #[error("this address has no such method")]
    Method {
        /// The methods that it has.
        allow: String,
    },
    /// The address is for sockets, and the request asks for none.
    #[error("this address is for WebSockets: the request must ask for an upgrade")]
    UpgradeRequired,
    /// The request's head is larger than `http.max_head_bytes`.
    #[error("the request's head is larger than {most} bytes")]
    Head {
        /// The bound.
        most: usize,
    },
    /// Who asks is unknown, or may not.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The database could not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What there are copies of could not be read.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A defect.
    #[error("{0}")]
    Internal(&'static str),
}

impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> Self {
        let message = match code {
            ErrorCode::RoomNotFound => "there is no such room",
            ErrorCode::UserNotFound => "there is no such user",
            ErrorCode::MessageNotFound => "there is no such message in this room",
            ErrorCode::NotFound => "there is nothing at this address",
            ErrorCode::NotAMember => "only members of the room may do this",
            ErrorCode::SlugTaken => "another room has this slug",
            ErrorCode::InvitationNotFound => {
                "there is no such invitation, or it is not good any more"
            }
            ErrorCode::SessionNotFound => "you have no such session",
            ErrorCode::ConnectionNotFound => "you have no such connection, or no longer",
            ErrorCode::IdempotencyKeyReused => "this Idempotency-Key was used for another request",
            ErrorCode::TooManyInvitations => "the room has as many open invitations as it may",
            _ => "refused",
        };
        Self::Refused(Refusal::new(code, message))
    }
}

impl From<RateLimited> for ApiError {
    fn from(limited: RateLimited) -> Self {
        Self::Auth(limited.into())
    }
}

/// A field that is not valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Where it is: `username`, or `limit` of the query. Empty for the body as a whole.
    pub field: String,
    /// What is wrong with it, for people.
    pub message: String,
    #[serde(skip)]
    pub(super) code: ErrorCode,
}

impl FieldError {
    /// A field with a missing, mistyped or impossible value.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::with_code(ErrorCode::InvalidRequest, field, message)
    }

    /// A field that is wrong in a way that has a code of its own.
    pub fn with_code(
        code: ErrorCode,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
            code,
        }
    }
}

impl From<FieldError> for ApiError {
    fn from(error: FieldError) -> Self {
        Self::Fields(vec![error])
    }
}

/// An error as clients see it (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// A name of this kind of problem: `urn:hubbub:error:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong this time, for people; may change.
    pub detail: String,
    /// The stable code.
    #[schema(value_type = String, example = "room_not_found")]
    pub code: ErrorCode,
    /// Whether the same request may succeed if it is sent again, later and unchanged.
    pub retry: bool,
    /// The fields that are not valid, if it is about fields.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// The answer of every operation that fails. Only for the description.
#[derive(IntoResponses)]
#[response(
    status = "default",
    description = "An error. Its `code` is stable, see docs/PROTOCOL.md",
    content_type = "application/problem+json"
)]
#[allow(dead_code)]
pub(super) struct Failure(Problem);

impl ApiError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Refused(refusal) => refusal.code,
            // Where several fields are wrong in different ways, the general code is right.
            Self::Fields(errors) => match errors.split_first() {
                Some((first, rest)) if rest.iter().all(|error| error.code == first.code) => {
                    first.code
                }
                _ => ErrorCode::InvalidRequest,
            },
            Self::Method { .. } => ErrorCode::MethodNotAllowed,
            Self::UpgradeRequired => ErrorCode::InvalidRequest,
            Self::Head { .. } => ErrorCode::TooLarge,
            Self::Auth(error) => error.code(),
            Self::Cache(CacheError::Ahead) => ErrorCode::CursorAhead,
            Self::Cache(CacheError::Overloaded) => ErrorCode::Overloaded,
            Self::Cache(error) if error.is_retryable() => ErrorCode::Unavailable,
            Self::Store(error) if error.is_retryable() => ErrorCode::Unavailable,
            Self::Cache(_) | Self::Store(_) | Self::Internal(_) => ErrorCode::Internal,
        }
    }

    /// The problem as clients see it.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let code = self.code();
        Problem {
            kind: format!("urn:hubbub:error:{}", code.as_str()),
            title: title(code),
            status: self.status_code().as_u16(),
            detail: self.detail(),
            code,
            retry: code.retry(),
            errors: match self {
                Self::Fields(errors) => errors.clone(),
                _ => Vec::new(),
            },
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Refused(refusal) => refusal.message.to_string(),
            Self::Fields(errors) => errors
                .iter()
                .map(|error| match error.field.as_str() {
                    "" => error.message.clone(),
                    field => format!("{field}: {}", error.message),
                })
                .collect::<Vec<_>>()
                .join("; "),
            Self::Method { .. } | Self::UpgradeRequired | Self::Head { .. } => self.to_string(),
            Self::Auth(error) => error.refusal().message.into_owned(),
            Self::Cache(error @ (CacheError::Ahead | CacheError::Overloaded)) => error.to_string(),
            Self::Store(error) if error.is_retryable() => {
                "the database is away for the moment".to_owned()
            }
            Self::Cache(error) if error.is_retryable() => {
                "the database is away for the moment".to_owned()
            }
            Self::Store(_) | Self::Cache(_) | Self::Internal(_) => "an internal error".to_owned(),
        }
    }

    fn headers(&self) -> Vec<(HeaderName, String)> {
        match self {
            Self::Auth(AuthError::Limited(limited)) => rate_limit::refused(limited),
            Self::Method { allow } => vec![(header::ALLOW, allow.clone())],
            Self::UpgradeRequired => vec![(header::UPGRADE, "websocket".to_owned())],
            _ if self.status_code() == StatusCode::SERVICE_UNAVAILABLE
                || self.code() == ErrorCode::RequestInProgress =>
            {
                vec![(header::RETRY_AFTER, RETRY_AFTER_FAULT_S.to_string())]
            }
            _ if self.code() == ErrorCode::Unauthenticated => {
                vec![(header::WWW_AUTHENTICATE, "Bearer".to_owned())]
            }
            _ => Vec::new(),
        }
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::UpgradeRequired => return StatusCode::UPGRADE_REQUIRED,
            Self::Head { .. } => return StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            _ => {}
        }
        StatusCode::from_u16(status(self.code())).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        response.content_type(PROBLEM_JSON);
        for (name, value) in self.headers() {
            if let Ok(value) = HeaderValue::try_from(value) {
                response.insert_header((name, value));
            }
        }
        response.body(serde_json::to_vec(&self.problem()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_status_of_an_error_and_our_faults_pass() {
        for &code in ErrorCode::ALL {
            let status = ApiError::Refused(Refusal::new(code, "")).status_code();
            assert!(
                status.is_client_error() || status.is_server_error(),
                "{code:?}"
            );
            assert!(!status.is_server_error() || code.retry(), "{code:?}");
        }
    }

    #[test]
    fn what_failed_inside_stays_inside() {
        let error = ApiError::Store(StoreError::unavailable("password of the database"));
        let problem = serde_json::to_string(&error.problem()).unwrap();
        assert!(!problem.contains("password"), "{problem}");
        assert_eq!(error.code(), ErrorCode::Unavailable);
        let error = ApiError::Store(StoreError::Corrupt {
            what: "role",
            source: "secret".into(),
        });
        assert_eq!(error.problem().detail, "an internal error");
    }

    #[test]
    fn fields_are_named_and_one_code_is_found() {
        let nul = FieldError::with_code(ErrorCode::InvalidText, "name", "U+0000");
        assert_eq!(ApiError::from(nul.clone()).code(), ErrorCode::InvalidText);
        let both = ApiError::Fields(vec![nul, FieldError::new("slug", "is wrong")]);
        assert_eq!(both.code(), ErrorCode::InvalidRequest);
        assert_eq!(both.problem().detail, "name: U+0000; slug: is wrong");
    }
}
