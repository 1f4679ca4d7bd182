//! The errors that clients see: a stable code, a message for people, and whether a retry helps.

use std::borrow::Cow;

use serde::Serialize;

macro_rules! codes {
    ($($(#[$doc:meta])+ $variant:ident = $text:literal, retry: $retry:literal;)+) => {
        /// A stable error code. `docs/PROTOCOL.md` lists them; a test keeps the list whole.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])+ $variant,)+
        }

        impl ErrorCode {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The code as it stands on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// Whether the same request may succeed if it is sent again, later and unchanged.
            #[must_use]
            pub const fn retry(self) -> bool {
                match self { $(Self::$variant => $retry,)+ }
            }
        }
    };
}

codes! {
    /// A field is missing, has a wrong type or an impossible value; the message names it.
    InvalidRequest = "invalid_request", retry: false;
    /// No such command.
    UnknownCommand = "unknown_command", retry: false;
    /// A text has a character that cannot be kept, such as U+0000.
    InvalidText = "invalid_text", retry: false;
    /// A body, a message or a request is over its limit.
    TooLarge = "too_large", retry: false;
    /// The body of a request did not come in time.
    RequestTimeout = "request_timeout", retry: true;
    /// No valid session, token or ticket.
    Unauthenticated = "unauthenticated", retry: false;
    /// Login or password are wrong (which of them is not said).
    InvalidCredentials = "invalid_credentials", retry: false;
    /// The page that sent this is of another origin.
    OriginNotAllowed = "origin_not_allowed", retry: false;
    /// Known, but not allowed to do this.
    Forbidden = "forbidden", retry: false;
    /// The room exists, and the user is no member of it.
    NotAMember = "not_a_member", retry: false;
    /// The connection has not joined this room.
    NotJoined = "not_joined", retry: false;
    /// No such room, or none that this user may know of.
    RoomNotFound = "room_not_found", retry: false;
    /// No such user.
    UserNotFound = "user_not_found", retry: false;
    /// No such message in this room, or none that this user may see.
    MessageNotFound = "message_not_found", retry: false;
    /// The message was deleted.
    MessageDeleted = "message_deleted", retry: false;
    /// The member was silenced for a while.
    Muted = "muted", retry: false;
    /// No such address.
    NotFound = "not_found", retry: false;
    /// The address exists, the method does not.
    MethodNotAllowed = "method_not_allowed", retry: false;
    /// The body is not of the content type that is wanted.
    UnsupportedMediaType = "unsupported_media_type", retry: false;
    /// Another user has this name.
    UsernameTaken = "username_taken", retry: false;
    /// Another user has this e-mail address.
    EmailTaken = "email_taken", retry: false;
    /// Another room has this slug.
    SlugTaken = "slug_taken", retry: false;
    /// The change would leave a room without an owner.
    LastOwner = "last_owner", retry: false;
    /// Shut out of the room.
    Banned = "banned", retry: false;
    /// No such invitation, or none that is good any more.
    InvitationNotFound = "invitation_not_found", retry: false;
    /// Somebody has come in by the invitation.
    InvitationUsed = "invitation_used", retry: false;
    /// The invitation's time is over.
    InvitationExpired = "invitation_expired", retry: false;
    /// The room has as many open invitations as it may.
    TooManyInvitations = "too_many_invitations", retry: false;
    /// No such session of one's own.
    SessionNotFound = "session_not_found", retry: false;
    /// No such connection of one's own, or no longer.
    ConnectionNotFound = "connection_not_found", retry: false;
    /// The client did not acknowledge what it was asked in time; it may have received it.
    AckTimeout = "ack_timeout", retry: true;
    /// The `client_id` was used for another body.
    ClientIdReused = "client_id_reused", retry: false;
    /// The `Idempotency-Key` was used for another request.
    IdempotencyKeyReused = "idempotency_key_reused", retry: false;
    /// A request with this `Idempotency-Key` is being answered.
    RequestInProgress = "request_in_progress", retry: true;
    /// As many keys of one user as are kept.
    TooManyKeys = "too_many_keys", retry: true;
    /// The database refuses just this event.
    Rejected = "rejected", retry: false;
    /// An earlier publish of the same sender in this room failed; send both again, in order.
    EarlierFailed = "earlier_failed", retry: true;
    /// The connection was lost during the commit: it may be stored or not. Send it again with
    /// the same `client_id`, and it is stored once.
    Unknown = "unknown", retry: true;
    /// A part that is needed is away, for example Postgres. Nothing was stored.
    Unavailable = "unavailable", retry: true;
    /// A queue is full. Nothing was stored.
    Overloaded = "overloaded", retry: true;
    /// Too many requests; try again after the time that is told.
    RateLimited = "rate_limited", retry: true;
    /// More rooms than one connection, or one cursor, may have.
    TooManyRooms = "too_many_rooms", retry: false;
    /// More different reactions than one message may have.
    TooManyReactions = "too_many_reactions", retry: false;
    /// More pinned messages than one room may have.
    TooManyPins = "too_many_pins", retry: false;
    /// The cursor is not one of ours.
    InvalidCursor = "invalid_cursor", retry: false;
    /// The cursor is of what is not there: beyond the end of a room's log.
    CursorAhead = "cursor_ahead", retry: false;
    /// A defect of the hub, logged there.
    Internal = "internal", retry: true;
}

impl Serialize for ErrorCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// An error as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub struct Refusal {
    /// The stable code.
    pub code: ErrorCode,
    /// For people; may change.
    pub message: Cow<'static, str>,
}

impl Refusal {
    /// A refusal with a message of its own.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

impl Serialize for Refusal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut fields = serializer.serialize_struct("Refusal", 3)?;
        fields.serialize_field("code", &self.code)?;
        fields.serialize_field("message", &self.message)?;
        fields.serialize_field("retry", &self.code.retry())?;
        fields.end()
    }
}
