//! What a client asks for, read from JSON or MessagePack.
//!
//! The message is scanned once for its fields, then the fields that the command has are read:
//! that way each can be refused by its name, and an error carries the request's id.

use serde::Serialize;
use serde_json::value::RawValue;

use super::fields::{Field, Fields, NUMBER_MAX, invalid};
use super::raw::Raw;
use crate::protocol::body::Body;
use crate::protocol::command::{
    Command, HISTORY_LIMIT_DEFAULT, HISTORY_LIMIT_MAX, MessageChange, PageAnchor, PageRequest,
};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::text::{
    CLIENT_ID_MAX_BYTES, EMOJI_MAX_BYTES, EVENT_NAME_MAX_BYTES, MENTIONS_MAX,
};

/// A request's id, if it is a string, is 1 to this many bytes long.
pub const REQUEST_ID_MAX_BYTES: usize = 64;

/// A session's token is at most this long, bytes.
pub const TOKEN_MAX_BYTES: usize = 512;

/// A request's id: chosen by the client, carried by the reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum RequestId {
    /// A whole number from 0 to 2⁵³.
    Number(u64),
    /// A string of 1 to [`REQUEST_ID_MAX_BYTES`] bytes.
    Text(Box<str>),
}

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What the reply carries. Without one, only an error is answered.
    pub id: Option<RequestId>,
    /// What to do.
    pub command: Command,
}

/// A request that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{refusal}")]
pub struct RequestError {
    /// The request's id, if that could be read.
    pub id: Option<RequestId>,
    /// What to answer.
    pub refusal: Refusal,
}

/// Reads a request in JSON. A `body`, and the `data` of a custom event, has at most
/// `message_bytes` bytes.
pub fn decode_request(text: &str, message_bytes: usize) -> Result<Request, RequestError> {
    request::<&RawValue>(json_fields(text), message_bytes)
}

fn json_fields(text: &str) -> Result<Fields<'_, &RawValue>, Refusal> {
    // A list would be taken for the fields in their order.
    if !text.trim_ascii_start().starts_with('{') {
        return Err(invalid("a request must be a JSON object"));
    }
    serde_json::from_str(text).map_err(|error| invalid(format!("not a request: {error}")))
}

/// A command of this name whose other fields are in an object of JSON.
pub(in super::super) fn command_of_json(
    name: &str,
    fields: &str,
    message_bytes: usize,
) -> Result<Command, Refusal> {
    command(name, &json_fields(fields)?, message_bytes)
}

/// A command of this name whose other fields are in a map of MessagePack.
pub(in super::super) fn command_of_packed(
    name: &str,
    fields: &[u8],
    message_bytes: usize,
) -> Result<Command, Refusal> {
    command(name, &Fields::unpack(fields)?, message_bytes)
}

/// Reads a request in MessagePack, as [`decode_request`].
pub fn decode_packed_request(bytes: &[u8], message_bytes: usize) -> Result<Request, RequestError> {
    request(Fields::unpack(bytes), message_bytes)
}

fn request<'a, V: Raw<'a>>(
    fields: Result<Fields<'a, V>, Refusal>,
    message_bytes: usize,
) -> Result<Request, RequestError> {
    let anonymous = |refusal| RequestError { id: None, refusal };
    let fields = fields.map_err(anonymous)?;
    let id = request_id(Field::new("id", fields.id)).map_err(anonymous)?;
    let command = Field::new("cmd", fields.cmd)
        .text()
        .and_then(|name| command(&name, &fields, message_bytes));
    match command {
        Ok(command) => Ok(Request { id, command }),
        Err(refusal) => Err(RequestError { id, refusal }),
    }
}

fn request_id<'a, V: Raw<'a>>(field: Field<'a, V>) -> Result<Option<RequestId>, Refusal> {
    if !field.is_given() {
        return Ok(None);
    }
    if let Ok(number) = field.number(0, NUMBER_MAX) {
        return Ok(Some(RequestId::Number(number)));
    }
    match field.text() {
        Ok(text) if (1..=REQUEST_ID_MAX_BYTES).contains(&text.len()) => {
            Ok(Some(RequestId::Text(text.into())))
        }
        _ => Err(invalid(format!(
            "`id` must be a whole number from 0 to {NUMBER_MAX} or a string of 1 to \
             {REQUEST_ID_MAX_BYTES} bytes"
        ))),
    }
}

fn command<'a, V: Raw<'a>>(
    name: &str,
    fields: &Fields<'a, V>,
    message_bytes: usize,
) -> Result<Command, Refusal> {
    let room = Field::new("room", fields.room);
    let client_id = Field::new("client_id", fields.client_id);
    let thread = Field::new("thread", fields.thread);
    Ok(match name {
        "publish" => Command::Publish {
            room: room.room()?,
            body: body(fields, message_bytes)?,
            client_id: client_id.line(CLIENT_ID_MAX_BYTES)?.into(),
            thread: thread.optional(Field::message_id)?,
            mentions: Field::new("mentions", fields.mentions)
                .optional(|it| it.users(MENTIONS_MAX))?
                .unwrap_or_default(),
        },
        name @ ("message.edit" | "message.delete" | "message.react" | "message.pin") => {
            Command::Change {
                room: room.room()?,
                message_id: Field::new("message_id", fields.message_id).message_id()?,
                change: change(name, fields, message_bytes)?,
                client_id: client_id
                    .optional(|it| it.line(CLIENT_ID_MAX_BYTES))?
                    .map(Into::into),
            }
        }
        "join" => Command::Join {
            room: room.room()?,
            since: Field::new("since", fields.since).optional(Field::seq)?,
            epoch: Field::new("epoch", fields.epoch).optional(Field::epoch)?,
        },
        "resume" => Command::Resume {
            cursor: Field::new("cursor", fields.cursor).text()?.into(),
        },
        "leave" => Command::Leave { room: room.room()? },
        "read" => Command::Read {
            room: room.room()?,
            msg_no: Field::new("msg_no", fields.msg_no).number(0, NUMBER_MAX)?,
        },
        "history" => Command::History {
            room: room.room()?,
            page: page(fields)?,
        },
        "typing" => Command::Typing {
            room: room.room()?,
            typing: Field::new("typing", fields.typing).flag(true)?,
        },
        "emit" => Command::Emit {
            room: room.room()?,
            name: Field::new("name", fields.name)
                .line(EVENT_NAME_MAX_BYTES)?
                .into(),
            data: Field::new("data", fields.data).data(message_bytes)?,
            volatile: Field::new("volatile", fields.volatile).flag(false)?,
            client_id: client_id
                .optional(|it| it.line(CLIENT_ID_MAX_BYTES))?
                .map(Into::into),
        },
        "presence" => Command::Presence { room: room.room()? },
        "ping" => Command::Ping,
        "auth.refresh" => Command::AuthRefresh {
            token: Field::new("token", fields.token)
                .line(TOKEN_MAX_BYTES)?
                .into(),
        },
        _ => {
            return Err(Refusal::new(
                ErrorCode::UnknownCommand,
                "`cmd` is no command of this hub",
            ));
        }
    })
}

fn body<'a, V: Raw<'a>>(fields: &Fields<'a, V>, message_bytes: usize) -> Result<Body, Refusal> {
    Field::new("body", fields.body).body(Field::new("encoding", fields.encoding), message_bytes)
}

fn change<'a, V: Raw<'a>>(
    name: &str,
    fields: &Fields<'a, V>,
    message_bytes: usize,
) -> Result<MessageChange, Refusal> {
    Ok(match name {
        "message.edit" => MessageChange::Edit {
            body: body(fields, message_bytes)?,
        },
        "message.react" => MessageChange::React {
            emoji: Field::new("emoji", fields.emoji)
                .line(EMOJI_MAX_BYTES)?
                .into(),
            remove: Field::new("remove", fields.remove).flag(false)?,
        },
        "message.pin" => MessageChange::Pin {
            pinned: Field::new("pinned", fields.pinned).choice()?,
        },
        _ => MessageChange::Delete,
    })
}

fn page<'a, V: Raw<'a>>(fields: &Fields<'a, V>) -> Result<PageRequest, Refusal> {
    let before = Field::new("before", fields.before).optional(Field::seq)?;
    let after = Field::new("after", fields.after).optional(Field::seq)?;
    let anchor = match (before, after) {
        (None, None) => PageAnchor::Newest,
        (Some(seq), None) => PageAnchor::Before(seq),
        (None, Some(seq)) => PageAnchor::After(seq),
        (Some(_), Some(_)) => return Err(invalid("`before` and `after` exclude each other")),
    };
    let limit = Field::new("limit", fields.limit)
        .optional(|it| it.number(1, u64::from(HISTORY_LIMIT_MAX)))?
        .and_then(|limit| u32::try_from(limit).ok())
        .unwrap_or(HISTORY_LIMIT_DEFAULT);
    let thread = Field::new("thread", fields.thread).optional(Field::message_id)?;
    Ok(PageRequest {
        anchor,
        limit,
        thread,
    })
}

#[cfg(test)]
mod tests;
