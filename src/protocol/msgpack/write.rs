//! Values of serde → MessagePack, in one pass into one buffer.
//!
//! Structs are maps by their fields' names, and what has a form for people (ids, times) is written
//! in it, as in JSON. Three names of newtypes ask for what serde has no word for: [`RAW`],
//! [`BINARY`] and [`JSON_ONLY`]. To any other serializer they mean nothing.

mod heads;
mod writing;

use std::fmt::{self, Write as _};

use serde::ser::{self, Serialize};

pub(crate) use heads::{Container, binary, text};
use heads::{length, signed, unsigned};
use writing::Writing;

/// A newtype of this name holds bytes that are MessagePack already: they are written as they are.
pub(crate) const RAW: &str = "$hubbub::Raw";

/// A newtype of this name holds bytes that are written as such. JSON writes it otherwise.
pub(crate) const BINARY: &str = "$hubbub::Binary";

/// A field whose value is a newtype of this name stands in JSON alone: here it is left out.
pub(crate) const JSON_ONLY: &str = "$hubbub::JsonOnly";

/// A value that has no form in MessagePack.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Longer than 2³² - 1.
    #[error("a string, list or map is too long")]
    TooLong,
    /// What the value itself says.
    #[error("{0}")]
    Custom(String),
}

impl ser::Error for WriteError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Custom(message.to_string())
    }
}

/// Appends a value.
pub(crate) fn append<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    value: &T,
) -> Result<(), WriteError> {
    value.serialize(&mut Writer {
        out,
        mode: Mode::Plain,
    })
}

/// What bytes mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Plain,
    /// Within a [`RAW`].
    Raw,
    /// Within a [`BINARY`].
    Binary,
}

struct Writer<'o> {
    out: &'o mut Vec<u8>,
    mode: Mode,
}

impl<'o> Writer<'o> {
    fn begin<'w>(
        &'w mut self,
        container: Container,
        count: usize,
    ) -> Result<Writing<'w, 'o>, WriteError> {
        let start = self.out.len();
        container.head(self.out, count)?;
        Ok(Writing {
            writer: self,
            container,
            start,
            announced: count,
            count: 0,
        })
    }

    /// `{name: …}`, what follows being the value.
    fn variant(&mut self, name: &'static str) -> Result<(), WriteError> {
        Container::Map.head(self.out, 1)?;
        text(self.out, name)
    }
}

impl<'w, 'o> ser::Serializer for &'w mut Writer<'o> {
    type Ok = ();
    type Error = WriteError;
    type SerializeSeq = Writing<'w, 'o>;
    type SerializeTuple = Writing<'w, 'o>;
    type SerializeTupleStruct = Writing<'w, 'o>;
    type SerializeTupleVariant = Writing<'w, 'o>;
    type SerializeMap = Writing<'w, 'o>;
    type SerializeStruct = Writing<'w, 'o>;
    type SerializeStructVariant = Writing<'w, 'o>;

    fn is_human_readable(&self) -> bool {
        self.mode == Mode::Plain
    }

    fn serialize_bool(self, value: bool) -> Result<(), WriteError> {
        self.out.push(0xc2 | u8::from(value));
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<(), WriteError> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<(), WriteError> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), WriteError> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), WriteError> {
        signed(self.out, value);
        Ok(())
    }

    fn serialize_u8(self, value: u8) -> Result<(), WriteError> {
        self.serialize_u64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<(), WriteError> {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), WriteError> {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), WriteError> {
        unsigned(self.out, value);
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), WriteError> {
        self.out.push(0xca);
        self.out.extend_from_slice(&value.to_be_bytes());
        Ok(())
    }

    fn serialize_f64(self, value: f64) -> Result<(), WriteError> {
        self.out.push(0xcb);
        self.out.extend_from_slice(&value.to_be_bytes());
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), WriteError> {
        text(self.out, value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), WriteError> {
        text(self.out, value)
    }

    /// Times come this way: they are written in place, for they are never longer than 255 bytes.
    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<(), WriteError> {
        let start = self.out.len();
        self.out.extend_from_slice(&[0xd9, 0]);
        let mut appended = Appended(self.out);
        write!(appended, "{value}").map_err(ser::Error::custom)?;
        let written = start + 2;
        match u8::try_from(self.out.len() - written) {
            Ok(length @ 0..32) => {
                self.out[start] = 0xa0 | length;
                self.out.remove(start + 1);
            }
            Ok(length) => self.out[start + 1] = length,
            Err(_) => {
                let long = self.out.split_off(written);
                self.out.truncate(start);
                length(self.out, long.len(), [0xd9, 0xda, 0xdb])?;
                self.out.extend_from_slice(&long);
            }
        }
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), WriteError> {
        if self.mode == Mode::Raw {
            self.out.extend_from_slice(value);
            return Ok(());
        }
        binary(self.out, value)
    }

    fn serialize_none(self) -> Result<(), WriteError> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), WriteError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), WriteError> {
        self.out.push(0xc0);
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), WriteError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), WriteError> {
        text(self.out, variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), WriteError> {
        let mode = match name {
            JSON_ONLY => return Ok(()),
            RAW => Mode::Raw,
            BINARY => Mode::Binary,
            _ => return value.serialize(self),
        };
        value.serialize(&mut Writer {
            out: self.out,
            mode,
        })
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), WriteError> {
        self.variant(variant)?;
        value.serialize(self)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Writing<'w, 'o>, WriteError> {
        self.begin(Container::List, length.unwrap_or_default())
    }

    fn serialize_tuple(self, length: usize) -> Result<Writing<'w, 'o>, WriteError> {
        self.begin(Container::List, length)
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        length: usize,
    ) -> Result<Writing<'w, 'o>, WriteError> {
        self.begin(Container::List, length)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Writing<'w, 'o>, WriteError> {
        self.variant(variant)?;
        self.begin(Container::List, length)
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Writing<'w, 'o>, WriteError> {
        self.begin(Container::Map, length.unwrap_or_default())
    }

    fn serialize_struct(
        self,
        _: &'static str,
        length: usize,
    ) -> Result<Writing<'w, 'o>, WriteError> {
        self.begin(Container::Map, length)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Writing<'w, 'o>, WriteError> {
        self.variant(variant)?;
        self.begin(Container::Map, length)
    }
}

struct Appended<'a>(&'a mut Vec<u8>);

impl fmt::Write for Appended<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
