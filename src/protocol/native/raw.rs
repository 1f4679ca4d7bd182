//! Values of a request that are not looked into yet, in the way in which they came.
//!
//! What a field must be is said once, in [`fields`](super::fields); here is how each codec tells
//! whether a value is that.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::protocol::data::{Data, DataError};
use crate::protocol::msgpack::read::{Head, Reader, text};

/// A value as it came.
pub(super) trait Raw<'a>: Copy {
    /// Whether it is nothing.
    fn is_null(self) -> bool;

    /// A string.
    fn text(self) -> Result<Cow<'a, str>, NoText>;

    /// Bytes, if the codec has a type for them.
    fn bytes(self) -> Option<&'a [u8]>;

    /// A whole number from 0 on.
    fn unsigned(self) -> Option<u64>;

    /// A whole number of 32 bits.
    fn signed(self) -> Option<i32>;

    /// True or false.
    fn flag(self) -> Option<bool>;

    /// A list of UUIDs as strings. It is given up at the first that is none.
    fn ids(self) -> Option<Vec<Uuid>>;

    /// Any value that can be kept.
    fn data(self) -> Result<Data, DataError>;

    /// How long it is as it came, bytes.
    fn len(self) -> usize;
}

/// Why a value is no string that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoText {
    /// It is something else.
    Other,
    /// It has what stands for no character.
    Unfit(&'static str),
}

impl<'a> Raw<'a> for &'a RawValue {
    fn is_null(self) -> bool {
        self.get() == "null"
    }

    fn text(self) -> Result<Cow<'a, str>, NoText> {
        let raw = self.get();
        let inner = raw.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
        let inner = inner.ok_or(NoText::Other)?;
        if !inner.contains('\\') {
            return Ok(Cow::Borrowed(inner));
        }
        // The syntax is good already; what is left to be wrong are lone surrogates.
        serde_json::from_str::<String>(raw)
            .map(Cow::Owned)
            .map_err(|_| NoText::Unfit("has an escape that stands for no character"))
    }

    fn bytes(self) -> Option<&'a [u8]> {
        None
    }

    fn unsigned(self) -> Option<u64> {
        serde_json::from_str(self.get()).ok()
    }

    fn signed(self) -> Option<i32> {
        serde_json::from_str(self.get()).ok()
    }

    fn flag(self) -> Option<bool> {
        serde_json::from_str(self.get()).ok()
    }

    fn ids(self) -> Option<Vec<Uuid>> {
        Vec::deserialize(&mut serde_json::Deserializer::from_str(self.get())).ok()
    }

    fn data(self) -> Result<Data, DataError> {
        Data::from_json(self.to_owned())
    }

    fn len(self) -> usize {
        self.get().len()
    }
}

/// A whole value in MessagePack, of which nothing but its length is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packed<'a>(pub(super) &'a [u8]);

impl<'a> Packed<'a> {
    fn head(self) -> Option<Head<'a>> {
        Reader::new(self.0).head().ok()
    }
}

impl<'a> Raw<'a> for Packed<'a> {
    fn is_null(self) -> bool {
        self.head() == Some(Head::Nil)
    }

    fn text(self) -> Result<Cow<'a, str>, NoText> {
        match self.head() {
            Some(Head::Text(bytes)) => text(bytes)
                .map(Cow::Borrowed)
                .map_err(|_| NoText::Unfit("is not UTF-8")),
            _ => Err(NoText::Other),
        }
    }

    fn bytes(self) -> Option<&'a [u8]> {
        match self.head()? {
            Head::Binary(bytes) => Some(bytes),
            _ => None,
        }
    }

    fn unsigned(self) -> Option<u64> {
        match self.head()? {
            Head::Unsigned(number) => Some(number),
            _ => None,
        }
    }

    fn signed(self) -> Option<i32> {
        match self.head()? {
            Head::Unsigned(number) => number.try_into().ok(),
            Head::Negative(number) => number.try_into().ok(),
            _ => None,
        }
    }

    fn flag(self) -> Option<bool> {
        match self.head()? {
            Head::Bool(flag) => Some(flag),
            _ => None,
        }
    }

    fn ids(self) -> Option<Vec<Uuid>> {
        let mut reader = Reader::new(self.0);
        let Ok(Head::List(length)) = reader.head() else {
            return None;
        };
        // Not with room for as many as it says: most of what says much is no list of ids.
        let mut ids = Vec::new();
        for _ in 0..length {
            ids.push(Uuid::try_parse(reader.key().ok()?).ok()?);
        }
        Some(ids)
    }

    fn data(self) -> Result<Data, DataError> {
        Data::from_message_pack(self.0)
    }

    fn len(self) -> usize {
        self.0.len()
    }
}
