//! A client's events as commands of the hub: the event's name is the command, its one argument an
//! object with the fields that the native protocol has beside `cmd`.

use super::value::Value;
use crate::protocol::command::Command;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::native::request::{command_of_json, command_of_packed};

/// Reads an event: `args` are its name and arguments. A `body`, and the `data` of a custom event,
/// has at most `message_bytes` bytes.
pub fn command(args: &Value<'_>, message_bytes: usize) -> Result<Command, Refusal> {
    let invalid = |message| Refusal::new(ErrorCode::InvalidRequest, message);
    let items = args.items().unwrap_or_default();
    let (name, object) = match &*items {
        [name] => (name, None),
        [name, object] => (name, Some(object)),
        _ => return Err(invalid("an event has one argument, an object")),
    };
    let name = name
        .text()
        .ok_or_else(|| Refusal::new(ErrorCode::UnknownCommand, "an event's name is a string"))?;
    match object {
        // As if there were an object without fields.
        None => command_of_json(&name, "{}", message_bytes),
        Some(Value::Json(json)) => command_of_json(&name, json, message_bytes),
        Some(Value::Packed(bytes)) => command_of_packed(&name, bytes, message_bytes),
    }
}

/// The name of an event, for those who tell of one that could not be read.
#[must_use]
pub fn name(args: &Value<'_>) -> Option<String> {
    let items = args.items()?;
    Some(items.first()?.text()?.into_owned())
}

#[cfg(test)]
mod tests;
