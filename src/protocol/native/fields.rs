//! The fields of a request, taken one by one, so that a wrong one is refused by its name.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::raw::{NoText, Packed, Raw};
use crate::protocol::body::{Body, BodyError, Encoding};
use crate::protocol::data::Data;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::event::{Epoch, Seq};
use crate::protocol::id::{EventId, RoomRef, UserId};
use crate::protocol::msgpack::read::{Head, Malformed, Reader};
use crate::protocol::text::{TextError, check_line};

/// Numbers are exact up to here in JavaScript, so none is larger: 2⁵³.
pub(super) const NUMBER_MAX: u64 = 1 << 53;

macro_rules! fields {
    ($($name:ident),+) => {
        /// A request as it came: every field that any command has, not looked into yet. What is
        /// not listed is ignored; `null` is the same as nothing, except in `data`.
        #[derive(Debug)]
        pub(super) struct Fields<'a, V> {
            $(pub(super) $name: Option<V>,)+
            /// The names that are not listed: they may not stand twice either.
            others: Vec<Cow<'a, str>>,
        }

        impl<V> Default for Fields<'_, V> {
            fn default() -> Self {
                Self { $($name: None,)+ others: Vec::new() }
            }
        }

        impl<V> Fields<'_, V> {
            fn place(&mut self, name: &str) -> Option<&mut Option<V>> {
                match name {
                    $(stringify!($name) => Some(&mut self.$name),)+
                    _ => None,
                }
            }

            fn drop_nulls(&mut self, is_null: impl Fn(&V) -> bool) {
                $(if stringify!($name) != "data" {
                    self.$name.take_if(|value| is_null(value));
                })+
            }
        }
    };
}

fields! {
    id, cmd, room, since, epoch, cursor, msg_no, body, encoding, client_id, thread, mentions, message_id,
    emoji, remove, pinned, before, after, limit, typing, name, data, volatile, token
}

/// A field stands twice.
struct Repeated(Box<str>);

impl fmt::Display for Repeated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` stands twice", self.0)
    }
}

impl<'a, V: Raw<'a>> Fields<'a, V> {
    fn add(&mut self, name: Cow<'a, str>, value: V) -> Result<(), Repeated> {
        match self.place(&name) {
            Some(Some(_)) => return Err(Repeated(name.into())),
            Some(place) => *place = Some(value),
            None => self.others.push(name),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Self, Repeated> {
        self.others.sort_unstable();
        if let Some(pair) = self.others.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Repeated(pair[0].as_ref().into()));
        }
        self.others = Vec::new();
        self.drop_nulls(|value| value.is_null());
        Ok(self)
    }
}

impl<'a> Fields<'a, Packed<'a>> {
    /// Reads a message of bytes.
    pub(super) fn unpack(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let broken = |error: Malformed| invalid(format!("not a request: {error}"));
        let mut reader = Reader::new(bytes);
        let Head::Map(length) = reader.head().map_err(broken)? else {
            return Err(invalid("a request must be a map in MessagePack"));
        };
        let mut fields = Self::default();
        let repeated = |it: Repeated| invalid(format!("not a request: {it}"));
        for _ in 0..length {
            let name = reader.key().map_err(broken)?;
            let value = Packed(reader.value().map_err(broken)?);
            fields.add(Cow::Borrowed(name), value).map_err(repeated)?;
        }
        reader.end().map_err(broken)?;
        fields.finish().map_err(repeated)
    }
}

impl<'de> Deserialize<'de> for Fields<'de, &'de RawValue> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Object(PhantomData))
    }
}

/// Reads a JSON object.
struct Object<'a>(PhantomData<&'a ()>);

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Visitor<'de> for Object<'de> {
    type Value = Fields<'de, &'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        while let Some((Name(name), value)) = entries.next_entry()? {
            fields.add(name, value).map_err(A::Error::custom)?;
        }
        fields.finish().map_err(A::Error::custom)
    }
}

/// One field: its name and what stands in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a, V> {
    name: &'static str,
    raw: Option<V>,
    came_in: PhantomData<&'a ()>,
}

impl<'a, V: Raw<'a>> Field<'a, V> {
    pub(super) const fn new(name: &'static str, raw: Option<V>) -> Self {
        Self {
            name,
            raw,
            came_in: PhantomData,
        }
    }

    pub(super) fn is_given(self) -> bool {
        self.raw.is_some()
    }

    fn needed(self) -> Result<V, Refusal> {
        self.raw
            .ok_or_else(|| invalid(format!("`{}` is missing", self.name)))
    }

    fn wrong(self, wanted: impl std::fmt::Display) -> Refusal {
        invalid(format!("`{}` must be {wanted}", self.name))
    }

    /// A string of any length.
    pub(super) fn text(self) -> Result<Cow<'a, str>, Refusal> {
        self.needed()?.text().map_err(|error| match error {
            NoText::Other => self.wrong("a string"),
            NoText::Unfit(why) => {
                let message = format!("`{}` {why}", self.name);
                Refusal::new(ErrorCode::InvalidText, message)
            }
        })
    }

    /// A string of one line, 1 to `max_bytes` bytes.
    pub(super) fn line(self, max_bytes: usize) -> Result<Cow<'a, str>, Refusal> {
        let text = self.text()?;
        match check_line(&text, max_bytes) {
            Ok(()) => Ok(text),
            Err(error) => Err(self.unfit(&error, ErrorCode::InvalidRequest)),
        }
    }

    /// What a message says, 1 to `max_bytes` bytes: text, or bytes where there is a type for them
    /// or where `encoding` says so.
    pub(super) fn body(self, encoding: Self, max_bytes: usize) -> Result<Body, Refusal> {
        let read = match (self.needed()?.bytes(), encoding.encoding()?) {
            (Some(bytes), None) => Body::of_bytes(bytes, max_bytes),
            (Some(_), Some(_)) => return Err(encoding.wrong("left out beside bytes")),
            (None, how) => Body::read(&self.text()?, how, max_bytes),
        };
        read.map_err(|error| match error {
            BodyError::Text(error) => self.unfit(&error, ErrorCode::TooLarge),
            BodyError::Base64 => invalid(format!("`{}` {error}", self.name)),
        })
    }

    fn encoding(self) -> Result<Option<Encoding>, Refusal> {
        match self.optional(Self::text)?.as_deref() {
            None => Ok(None),
            Some("base64") => Ok(Some(Encoding::Base64)),
            Some(_) => Err(self.wrong("`base64`, or left out")),
        }
    }

    fn unfit(self, error: &TextError, if_too_long: ErrorCode) -> Refusal {
        let code = match error {
            TextError::Control(_) => ErrorCode::InvalidText,
            TextError::TooLong { .. } => if_too_long,
            _ => ErrorCode::InvalidRequest,
        };
        Refusal::new(code, format!("`{}` {error}", self.name))
    }

    pub(super) fn room(self) -> Result<RoomRef, Refusal> {
        let text = self.text()?;
        text.parse()
            .map_err(|error| self.unfit(&error, ErrorCode::InvalidRequest))
    }

    /// A whole number within `min..=max`.
    pub(super) fn number(self, min: u64, max: u64) -> Result<u64, Refusal> {
        match self.needed()?.unsigned() {
            Some(number) if (min..=max).contains(&number) => Ok(number),
            _ => Err(self.wrong(format_args!("a whole number from {min} to {max}"))),
        }
    }

    pub(super) fn seq(self) -> Result<Seq, Refusal> {
        self.number(0, NUMBER_MAX)
    }

    pub(super) fn epoch(self) -> Result<Epoch, Refusal> {
        let epoch = self.needed()?.signed().map(Epoch);
        epoch.ok_or_else(|| self.wrong("the `epoch` of a reply, a whole number of 32 bits"))
    }

    /// A message's id.
    pub(super) fn message_id(self) -> Result<EventId, Refusal> {
        let id = Uuid::try_parse(&self.text()?);
        id.map(EventId)
            .map_err(|_| self.wrong("a message's id, a UUID"))
    }

    /// Users, each once, at most `max` of them.
    pub(super) fn users(self, max: usize) -> Result<Vec<UserId>, Refusal> {
        let mut users: Vec<UserId> = Vec::new();
        let wrong = || self.wrong(format_args!("a list of at most {max} users' ids"));
        let given = self.needed()?.ids().ok_or_else(wrong)?;
        for user in given.into_iter().map(UserId) {
            if !users.contains(&user) {
                users.push(user);
            }
            if users.len() > max {
                return Err(wrong());
            }
        }
        Ok(users)
    }

    /// True or false, and it must be given.
    pub(super) fn choice(self) -> Result<bool, Refusal> {
        self.needed()?;
        self.flag(false)
    }

    pub(super) fn flag(self, default: bool) -> Result<bool, Refusal> {
        let Some(raw) = self.raw else {
            return Ok(default);
        };
        raw.flag().ok_or_else(|| self.wrong("true or false"))
    }

    /// What `read` makes of the field, if it is given.
    pub(super) fn optional<T>(
        self,
        read: impl FnOnce(Self) -> Result<T, Refusal>,
    ) -> Result<Option<T>, Refusal> {
        self.raw.map(|_| read(self)).transpose()
    }

    /// Any value that [`Data`] takes, at most `max_bytes` as it came.
    pub(super) fn data(self, max_bytes: usize) -> Result<Data, Refusal> {
        let raw = self.needed()?;
        if raw.len() > max_bytes {
            let (name, actual) = (self.name, raw.len());
            let message = format!("`{name}` must be at most {max_bytes} bytes, is {actual}");
            return Err(Refusal::new(ErrorCode::TooLarge, message));
        }
        raw.data()
            .map_err(|error| self.wrong(format_args!("a value that can be kept: {error}")))
    }
}

pub(super) fn invalid(message: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, message)
}
