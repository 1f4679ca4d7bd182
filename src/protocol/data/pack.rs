//! JSON → MessagePack, in one pass, and with every check that the value needs.
//!
//! Socket.IO's JSON may have placeholders, `{"_placeholder":true,"num":0}`, for bytes that come
//! beside it: its attachments.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{BIN, PLACEHOLDER, PLACEHOLDER_NUMBER, first, is_escaped};
use crate::protocol::msgpack::read::{Head, Malformed};
use crate::protocol::msgpack::write::{Container, append, binary, text};

/// The value as MessagePack.
pub(super) fn pack(json: &str) -> Result<Vec<u8>, serde_json::Error> {
    Packer {
        out: Vec::with_capacity(json.len()),
        attachments: None,
    }
    .pack(json)
}

/// The value as MessagePack, its placeholders replaced. Each attachment has exactly one: more would
/// make much of little, and none is a mistake.
pub(super) fn pack_with(
    json: &str,
    attachments: &[impl AsRef<[u8]>],
) -> Result<Vec<u8>, serde_json::Error> {
    let attachments: Vec<_> = attachments.iter().map(|it| Some(it.as_ref())).collect();
    let bytes: usize = attachments.iter().flatten().map(|it| it.len()).sum();
    Packer {
        out: Vec::with_capacity(json.len() + bytes),
        attachments: Some(attachments),
    }
    .pack(json)
}

struct Packer<'t> {
    out: Vec<u8>,
    /// Those that have not been put in yet; none if there are no placeholders in this JSON.
    attachments: Option<Vec<Option<&'t [u8]>>>,
}

impl Packer<'_> {
    fn pack(mut self, json: &str) -> Result<Vec<u8>, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        self.deserialize(&mut deserializer)?;
        deserializer.end()?;
        match self.attachments.iter().flatten().flatten().next() {
            Some(_) => Err(Error::custom("an attachment without a placeholder")),
            None => Ok(self.out),
        }
    }

    /// Puts an attachment in the place of a map that stands for it, whose `num` is at `number`.
    fn attach<E: Error>(&mut self, start: usize, number: Option<usize>) -> Result<(), E> {
        let number = match number.map(|at| first(&self.out[at..])) {
            Some(Ok(Head::Unsigned(number))) => usize::try_from(number).ok(),
            _ => None,
        };
        let attachment = self.attachments.as_mut().zip(number);
        let bytes = attachment.and_then(|(all, number)| all.get_mut(number)?.take());
        let bytes = bytes.ok_or_else(|| E::custom("a placeholder without an attachment"))?;
        self.out.truncate(start);
        binary(&mut self.out, bytes).map_err(E::custom)
    }
}

impl Packer<'_> {
    /// Puts the length of a list or map that is written into its head.
    fn close<E: Error>(
        &mut self,
        container: Container,
        start: usize,
        count: usize,
    ) -> Result<(), E> {
        container
            .set_head(&mut self.out, start, 0, count)
            .map_err(E::custom)
    }

    /// What a map stands for that has this one key, and its value at `value`.
    fn close_escaped<E: Error>(&mut self, start: usize, key: &str, value: usize) -> Result<(), E> {
        let value = self.out.split_off(value);
        self.out.truncate(start);
        if key != BIN {
            Container::Map.head(&mut self.out, 1).map_err(E::custom)?;
            text(&mut self.out, &key[1..]).map_err(E::custom)?;
            self.out.extend_from_slice(&value);
            return Ok(());
        }
        let bytes = match first(&value) {
            Ok(Head::Text(base64)) => STANDARD.decode(base64).ok(),
            _ => None,
        };
        let bytes = bytes.ok_or_else(|| E::custom("a `$bin` that is no base64"))?;
        binary(&mut self.out, &bytes).map_err(E::custom)
    }
}

impl<'de> DeserializeSeed<'de> for &mut Packer<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Visitor<'de> for &mut Packer<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        append(&mut self.out, &()).map_err(E::custom)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        append(&mut self.out, &value).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        append(&mut self.out, &value).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        append(&mut self.out, &value).map_err(E::custom)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        append(&mut self.out, &value).map_err(E::custom)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        text(&mut self.out, value).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let start = self.out.len();
        Container::List
            .head(&mut self.out, 0)
            .map_err(A::Error::custom)?;
        let mut count = 0;
        while items.next_element_seed(&mut *self)?.is_some() {
            count += 1;
        }
        self.close(Container::List, start, count)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let start = self.out.len();
        Container::Map
            .head(&mut self.out, 0)
            .map_err(A::Error::custom)?;
        let mut keys: Vec<Cow<'de, str>> = Vec::new();
        let mut value = start;
        let (mut placeholder, mut number) = (None, None);
        while let Some(Key(key)) = entries.next_key()? {
            text(&mut self.out, &key).map_err(A::Error::custom)?;
            value = self.out.len();
            match &*key {
                PLACEHOLDER => placeholder = Some(value),
                PLACEHOLDER_NUMBER => number = Some(value),
                _ => {}
            }
            keys.push(key);
            entries.next_value_seed(&mut *self)?;
        }
        if let [key] = &*keys
            && is_escaped(key)
        {
            return self.close_escaped(start, key, value);
        }
        let count = keys.len();
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(A::Error::custom(Malformed::RepeatedKey));
        }
        if self.attachments.is_some()
            && placeholder.is_some_and(|at| first(&self.out[at..]) == Ok(Head::Bool(true)))
        {
            return self.attach(start, number);
        }
        self.close(Container::Map, start, count)
    }
}
