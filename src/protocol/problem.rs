//! Errors over HTTP: which status a code has, and problem details (RFC 9457).

use serde::Serialize;

use super::error::{ErrorCode, Refusal};

/// The content type of problems.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// A problem as it stands on the wire.
#[derive(Debug, Clone, Serialize)]
pub struct Problem<'a> {
    /// A name of this kind of problem: `urn:hubbub:error:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong this time, for people; may change.
    pub detail: &'a str,
    /// The stable code.
    pub code: ErrorCode,
    /// Whether the same request may succeed if it is sent again, later and unchanged.
    pub retry: bool,
}

impl<'a> From<&'a Refusal> for Problem<'a> {
    fn from(refusal: &'a Refusal) -> Self {
        let code = refusal.code;
        Self {
            kind: format!("urn:hubbub:error:{}", code.as_str()),
            title: title(code),
            status: status(code),
            detail: &refusal.message,
            code,
            retry: code.retry(),
        }
    }
}

/// A code in words: `Room not found`.
#[must_use]
pub fn title(code: ErrorCode) -> String {
    let words = code.as_str().replace('_', " ");
    let mut letters = words.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => words,
    }
}

/// The HTTP status of a code.
#[must_use]
pub const fn status(code: ErrorCode) -> u16 {
    match code {
        ErrorCode::InvalidRequest
        | ErrorCode::UnknownCommand
        | ErrorCode::InvalidText
        | ErrorCode::TooManyRooms
        | ErrorCode::InvalidCursor => 400,
        ErrorCode::Unauthenticated | ErrorCode::InvalidCredentials => 401,
        ErrorCode::OriginNotAllowed
        | ErrorCode::Forbidden
        | ErrorCode::NotAMember
        | ErrorCode::Banned
        | ErrorCode::Muted => 403,
        ErrorCode::RoomNotFound
        | ErrorCode::UserNotFound
        | ErrorCode::InvitationNotFound
        | ErrorCode::SessionNotFound
        | ErrorCode::ConnectionNotFound
        | ErrorCode::MessageNotFound
        | ErrorCode::NotFound => 404,
        ErrorCode::MethodNotAllowed => 405,
        ErrorCode::RequestTimeout => 408,
        ErrorCode::NotJoined
        | ErrorCode::UsernameTaken
        | ErrorCode::EmailTaken
        | ErrorCode::SlugTaken
        | ErrorCode::LastOwner
        | ErrorCode::InvitationUsed
        | ErrorCode::InvitationExpired
        | ErrorCode::TooManyInvitations
        | ErrorCode::TooManyReactions
        | ErrorCode::TooManyPins
        | ErrorCode::ClientIdReused
        | ErrorCode::RequestInProgress
        | ErrorCode::EarlierFailed => 409,
        ErrorCode::MessageDeleted => 410,
        ErrorCode::CursorAhead => 412,
        ErrorCode::TooLarge => 413,
        ErrorCode::UnsupportedMediaType => 415,
        ErrorCode::Rejected | ErrorCode::IdempotencyKeyReused => 422,
        ErrorCode::RateLimited | ErrorCode::TooManyKeys => 429,
        ErrorCode::Internal => 500,
        ErrorCode::Unknown | ErrorCode::Unavailable | ErrorCode::Overloaded => 503,
        ErrorCode::AckTimeout => 504,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_as_a_problem() {
        let refusal = Refusal::new(ErrorCode::RoomNotFound, "no such room");
        let problem = serde_json::to_value(Problem::from(&refusal)).unwrap();
        assert_eq!(
            problem,
            serde_json::json!({
                "type": "urn:hubbub:error:room_not_found",
                "title": "Room not found",
                "status": 404,
                "detail": "no such room",
                "code": "room_not_found",
                "retry": false,
            })
        );
    }
}
