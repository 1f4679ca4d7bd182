//! Puts into words why a value does not fit the Rust type of its key.

use serde_path_to_error::{Path, Segment};
use toml::{Table, Value};

/// `message` is serde's, which speaks of `u32` and leaves out what was given.
pub(super) fn reason(table: &Table, path: &Path, message: &str) -> String {
    match find(table, path) {
        // Only a number that does not fit: the type was compared with the default's before.
        Some(Value::Integer(number)) => format!("{number} is out of range"),
        Some(Value::String(text)) if message.starts_with("unknown variant") => {
            format!("{text:?} is none of the choices")
        }
        Some(Value::String(text)) => format!("{text:?}: {message}"),
        _ => message.to_owned(),
    }
}

fn find<'t>(table: &'t Table, path: &Path) -> Option<&'t Value> {
    let mut segments = path.iter();
    let mut value = match segments.next()? {
        Segment::Map { key } => table.get(key)?,
        _ => return None,
    };
    for segment in segments {
        value = match segment {
            Segment::Map { key } => value.get(key)?,
            Segment::Seq { index } => value.get(index)?,
            _ => return None,
        };
    }
    Some(value)
}
