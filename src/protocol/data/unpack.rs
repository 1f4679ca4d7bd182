//! MessagePack → JSON, and the check that there is such a form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::{BIN, is_escaped};
use crate::protocol::msgpack::read::{DEPTH_MAX, Head, Malformed, Reader, text};

/// Whether the bytes are one value that has a form in JSON.
pub(super) fn check(bytes: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader::new(bytes);
    Unpacker {
        out: None,
        attachments: None,
    }
    .value(&mut reader, 0)?;
    reader.end()
}

/// The value as JSON text.
pub(super) fn unpack(bytes: &[u8]) -> Result<String, Malformed> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 2);
    let mut reader = Reader::new(bytes);
    Unpacker {
        out: Some(&mut out),
        attachments: None,
    }
    .value(&mut reader, 0)?;
    reader.end()?;
    // What is written are strings of text and the signs between them.
    String::from_utf8(out).map_err(|_| Malformed::Utf8)
}

/// Appends the value as JSON text with placeholders in the place of bytes, which are given back.
pub(super) fn unpack_with<'b>(
    bytes: &'b [u8],
    out: &mut Vec<u8>,
) -> Result<Vec<&'b [u8]>, Malformed> {
    let mut attachments = Vec::new();
    let mut reader = Reader::new(bytes);
    Unpacker {
        out: Some(out),
        attachments: Some(&mut attachments),
    }
    .value(&mut reader, 0)?;
    reader.end()?;
    Ok(attachments)
}

struct Unpacker<'o, 'b> {
    /// None if the value is only to be checked.
    out: Option<&'o mut Vec<u8>>,
    /// Where bytes go that are to have placeholders.
    attachments: Option<&'o mut Vec<&'b [u8]>>,
}

impl<'b> Unpacker<'_, 'b> {
    /// The next value, which stands in so many lists and maps.
    fn value(&mut self, reader: &mut Reader<'b>, depth: usize) -> Result<(), Malformed> {
        match reader.head()? {
            Head::Nil => self.sign("null"),
            Head::Bool(true) => self.sign("true"),
            Head::Bool(false) => self.sign("false"),
            Head::Unsigned(number) => self.scalar(&number)?,
            Head::Negative(number) => self.scalar(&number)?,
            Head::Float(number) if number.is_finite() => self.scalar(&number)?,
            Head::Float(_) => return Err(Malformed::NotFinite),
            Head::Text(bytes) => self.scalar(text(bytes)?)?,
            Head::Binary(bytes) => {
                // A map, in JSON.
                deeper(depth)?;
                if let Some(attachments) = &mut self.attachments {
                    let placeholder = super::placeholder(attachments.len());
                    attachments.push(bytes);
                    self.sign(&placeholder);
                } else if self.out.is_some() {
                    self.sign("{\"");
                    self.sign(BIN);
                    self.sign("\":\"");
                    self.sign(&STANDARD.encode(bytes));
                    self.sign("\"}");
                }
            }
            Head::List(length) => {
                let depth = deeper(depth)?;
                self.sign("[");
                for index in 0..length {
                    self.comma(index);
                    self.value(reader, depth)?;
                }
                self.sign("]");
            }
            Head::Map(length) => self.map(reader, length, deeper(depth)?)?,
            Head::Extension => return Err(Malformed::Extension),
        }
        Ok(())
    }

    fn map(
        &mut self,
        reader: &mut Reader<'b>,
        length: usize,
        depth: usize,
    ) -> Result<(), Malformed> {
        let mut keys: Vec<&str> = Vec::new();
        self.sign("{");
        for index in 0..length {
            let key = reader.key()?;
            keys.push(key);
            self.comma(index);
            if length == 1 && is_escaped(key) {
                self.scalar(&format!("${key}"))?;
            } else {
                self.scalar(key)?;
            }
            self.sign(":");
            self.value(reader, depth)?;
        }
        self.sign("}");
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Malformed::RepeatedKey);
        }
        Ok(())
    }

    fn sign(&mut self, sign: &str) {
        if let Some(out) = &mut self.out {
            out.extend_from_slice(sign.as_bytes());
        }
    }

    fn comma(&mut self, index: usize) {
        if index > 0 {
            self.sign(",");
        }
    }

    fn scalar<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Malformed> {
        match &mut self.out {
            // Of scalars, only numbers that are not finite have no form.
            Some(out) => serde_json::to_writer(&mut **out, value).map_err(|_| Malformed::NotFinite),
            None => Ok(()),
        }
    }
}

/// One list or map further in.
fn deeper(depth: usize) -> Result<usize, Malformed> {
    if depth < DEPTH_MAX {
        Ok(depth + 1)
    } else {
        Err(Malformed::TooDeep)
    }
}
