//! Extractors: what handlers take from a request, with errors that name the field.

mod body;
mod query;

pub(super) use body::{Body, read_whole};
pub(super) use query::Query;

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use uuid::Uuid;

use super::problem::{ApiError, FieldError};
use crate::auth::registration::FieldRule;
use crate::auth::{AuthError, Identity};
use crate::protocol::connection::ConnectionId;
use crate::protocol::error::ErrorCode;
use crate::protocol::id::{EventId, InvitationId, RoomRef, SessionId, UserId};
use crate::protocol::text::{EMOJI_MAX_BYTES, TextError, check_line};

/// Who asks, as [`super::gate`] has found out.
impl FromRequest for Identity {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let identity = req.extensions().get::<Self>().copied();
        ready(identity.ok_or(ApiError::Auth(AuthError::NoCredentials)))
    }
}

/// The room that the address names, by `{id}`. A name that no room can have names none.
pub(super) struct RoomPath(pub(super) RoomRef);

impl FromRequest for RoomPath {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let room = req.match_info().query("id").parse();
        ready(room.map(Self).map_err(|_| ErrorCode::RoomNotFound.into()))
    }
}

/// The user that the address names by `{user_id}`.
pub(super) struct UserPath(pub(super) UserId);

impl FromRequest for UserPath {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let user = Uuid::try_parse(req.match_info().query("user_id"));
        ready(
            user.map(|id| Self(UserId(id)))
                .map_err(|_| ErrorCode::UserNotFound.into()),
        )
    }
}

/// The message that the address names by `{message_id}`.
pub(super) struct MessagePath(pub(super) EventId);

impl FromRequest for MessagePath {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let message = Uuid::try_parse(req.match_info().query("message_id"));
        ready(
            message
                .map(|id| Self(EventId(id)))
                .map_err(|_| ErrorCode::MessageNotFound.into()),
        )
    }
}

/// What the address names by `{emoji}`, which is its last part, percent-decoded.
pub(super) struct EmojiPath(pub(super) String);

impl FromRequest for EmojiPath {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        // The router puts U+FFFD where there is no UTF-8, so that different things become one.
        let Some(emoji) = req.path().rsplit('/').next().and_then(percent_decoded) else {
            return ready(Err(FieldError::new("emoji", "must be UTF-8").into()));
        };
        let mut checks = Checks::default();
        checks.field("emoji", check_line(&emoji, EMOJI_MAX_BYTES));
        ready(checks.finish().map(|()| Self(emoji)))
    }
}

/// The text that a part of an address stands for (RFC 3986, section 2.1); none if it is not UTF-8.
fn percent_decoded(part: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'%' {
            decoded.push(first);
            continue;
        }
        let (hex, tail) = rest.split_first_chunk::<2>()?;
        rest = tail;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let value = digit(hex[0])? * 16 + digit(hex[1])?;
        decoded.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(decoded).ok()
}

/// The session that the address names by `{id}`.
pub(super) struct SessionPath(pub(super) SessionId);

impl FromRequest for SessionPath {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let session = Uuid::try_parse(req.match_info().query("id"));
        ready(
            session
                .map(|id| Self(SessionId(id)))
                .map_err(|_| ErrorCode::SessionNotFound.into()),
        )
    }
}

/// The connection that the address names by `{id}`.
pub(super) struct ConnectionPath(pub(super) ConnectionId);

impl FromRequest for ConnectionPath {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let id = percent_decoded(req.match_info().query("id"));
        let id = id.and_then(|id| id.parse().ok());
        ready(
            id.map(Self)
                .ok_or_else(|| ErrorCode::ConnectionNotFound.into()),
        )
    }
}

/// The invitation that the address names by `{invitation_id}`.
pub(super) struct InvitationPath(pub(super) InvitationId);

impl FromRequest for InvitationPath {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let invitation = Uuid::try_parse(req.match_info().query("invitation_id"));
        ready(
            invitation
                .map(|id| Self(InvitationId(id)))
                .map_err(|_| ErrorCode::InvitationNotFound.into()),
        )
    }
}

/// Gathers what is wrong with the fields of a request, so that all of it is said at once.
#[derive(Default)]
pub(super) struct Checks {
    errors: Vec<FieldError>,
}

impl Checks {
    /// Takes the outcome of a check of `field`.
    pub(super) fn field(&mut self, field: &str, outcome: Result<(), impl Into<FieldRule>>) {
        if let Err(rule) = outcome {
            self.errors.push(field_error(field, &rule.into()));
        }
    }

    /// Something is wrong with `field` that holds for it alone.
    pub(super) fn wrong(&mut self, field: &str, message: String) {
        self.errors.push(FieldError::new(field, message));
    }

    /// Goes on if nothing was wrong.
    pub(super) fn finish(self) -> Result<(), ApiError> {
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(ApiError::Fields(self.errors))
        }
    }
}

fn field_error(field: &str, rule: &FieldRule) -> FieldError {
    let code = match rule {
        FieldRule::Text(TextError::Control(_)) => ErrorCode::InvalidText,
        _ => ErrorCode::InvalidRequest,
    };
    FieldError::with_code(code, field, rule.to_string())
}
