//! Values in the form in which they came: JSON, or MessagePack if bytes may be in them.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::protocol::data::attached;
use crate::protocol::msgpack::read::{Head, Malformed, Reader, text};
use crate::protocol::msgpack::write::{Container, text as write_text};

/// A list has at most so many items. An event with more arguments is nobody's.
pub const ITEMS_MAX: usize = 256;

/// A whole value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// JSON.
    Json(Cow<'a, str>),
    /// MessagePack.
    Packed(Cow<'a, [u8]>),
}

/// A value that has no other form.
#[derive(Debug, thiserror::Error)]
pub enum ValueError {
    /// It is no JSON that can be carried.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// It is no MessagePack that can be carried.
    #[error("{0}")]
    Packed(#[from] Malformed),
}

impl<'a> Value<'a> {
    /// JSON that is known to be such.
    #[must_use]
    pub const fn json(json: &'a str) -> Self {
        Self::Json(Cow::Borrowed(json))
    }

    /// MessagePack that is known to be such.
    #[must_use]
    pub const fn packed(bytes: &'a [u8]) -> Self {
        Self::Packed(Cow::Borrowed(bytes))
    }

    /// A list of a text, if there is one, and of values that were written alike.
    #[must_use]
    pub fn list(name: Option<&str>, items: &[Value<'_>]) -> Value<'static> {
        let packed = items.iter().filter_map(|item| match item {
            Value::Packed(bytes) => Some(&**bytes),
            Value::Json(_) => None,
        });
        let packed: Vec<&[u8]> = packed.collect();
        if packed.is_empty() {
            let name = name.map(|name| serde_json::to_string(name).unwrap_or_default());
            let json = items.iter().filter_map(|item| match item {
                Value::Json(json) => Some(json.to_string()),
                Value::Packed(_) => None,
            });
            let all: Vec<String> = name.into_iter().chain(json).collect();
            return Value::Json(format!("[{}]", all.join(",")).into());
        }
        let mut out = Vec::new();
        // Neither is longer than what came.
        let _ = Container::List.head(&mut out, packed.len() + usize::from(name.is_some()));
        if let Some(name) = name {
            let _ = write_text(&mut out, name);
        }
        out.extend(packed.concat());
        Value::Packed(out.into())
    }

    /// The items, if it is a list of at most [`ITEMS_MAX`].
    #[must_use]
    pub fn items(&self) -> Option<Vec<Value<'_>>> {
        match self {
            Self::Json(json) => {
                let mut deserializer = serde_json::Deserializer::from_str(json);
                let items = deserializer.deserialize_seq(Items).ok()?;
                deserializer.end().ok()?;
                Some(items.into_iter().map(|it| Value::json(it.get())).collect())
            }
            Self::Packed(bytes) => {
                let mut reader = Reader::new(bytes);
                let Ok(Head::List(length @ 0..=ITEMS_MAX)) = reader.head() else {
                    return None;
                };
                let items = (0..length).map(|_| reader.value().ok().map(Value::packed));
                items.collect()
            }
        }
    }

    /// Whether it is an object.
    #[must_use]
    pub fn is_object(&self) -> bool {
        match self {
            Self::Json(json) => json.trim_ascii_start().starts_with('{'),
            Self::Packed(bytes) => matches!(Reader::new(bytes).head(), Ok(Head::Map(_))),
        }
    }

    /// The text, if it is a string of characters.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Json(json) => serde_json::from_str(json).ok().map(Cow::Owned),
            Self::Packed(bytes) => match Reader::new(bytes).head() {
                Ok(Head::Text(bytes)) => text(bytes).ok().map(Cow::Borrowed),
                _ => None,
            },
        }
    }

    /// Whether it is a string, of whatever.
    #[must_use]
    pub fn is_text(&self) -> bool {
        match self {
            Self::Json(json) => json.trim_ascii_start().starts_with('"'),
            Self::Packed(bytes) => matches!(Reader::new(bytes).head(), Ok(Head::Text(_))),
        }
    }

    /// Whether it is a number.
    #[must_use]
    pub fn is_number(&self) -> bool {
        match self {
            Self::Json(json) => json
                .trim_ascii_start()
                .starts_with(|it: char| it == '-' || it.is_ascii_digit()),
            Self::Packed(bytes) => matches!(
                Reader::new(bytes).head(),
                Ok(Head::Unsigned(_) | Head::Negative(_) | Head::Float(_))
            ),
        }
    }

    /// The value as MessagePack.
    pub fn to_packed(&self) -> Result<Cow<'_, [u8]>, ValueError> {
        match self {
            Self::Json(json) => Ok(attached::pack_plain(json)?.into()),
            Self::Packed(bytes) => {
                attached::check(bytes)?;
                Ok(Cow::Borrowed(bytes))
            }
        }
    }

    /// The value as JSON, bytes as elsewhere in it (`$bin`).
    pub fn to_plain_json(&self) -> Result<Cow<'_, str>, ValueError> {
        match self {
            Self::Json(json) => Ok(Cow::Borrowed(json)),
            Self::Packed(bytes) => {
                let mut json = Vec::new();
                attached::unpack_plain(bytes, &mut json)?;
                Ok(String::from_utf8_lossy(&json).into_owned().into())
            }
        }
    }

    /// The same, not borrowed from what it was read from.
    #[must_use]
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Json(json) => Value::Json(Cow::Owned(json.into_owned())),
            Self::Packed(bytes) => Value::Packed(Cow::Owned(bytes.into_owned())),
        }
    }
}

/// Reads a list of anything.
struct Items;

impl<'de> Visitor<'de> for Items {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element()? {
            if all.len() == ITEMS_MAX {
                return Err(A::Error::custom("too many items"));
            }
            all.push(item);
        }
        Ok(all)
    }
}

/// Whether a text is one value of JSON. Of numbers and strings only the syntax is looked at.
#[must_use]
pub fn is_json(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}
