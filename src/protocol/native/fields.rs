//! The fields of a request, taken one by one, so that a wrong one is refused by its name.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::checked::Checked;
use crate::protocol::data::Data;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::event::{Epoch, Seq};
use crate::protocol::id::{EventId, RoomRef, UserId};
use crate::protocol::text::{TextError, check_body, check_line};

/// Numbers are exact up to here in JavaScript, so none is larger: 2⁵³.
pub(super) const NUMBER_MAX: u64 = 1 << 53;

/// A request as it came: every field that any command has, not looked into yet. What is not
/// listed is ignored; `null` is the same as nothing, except in `data`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Fields<'a> {
    #[serde(borrow)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) cmd: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) room: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) since: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) epoch: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) cursor: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) msg_no: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) body: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) client_id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) thread: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) mentions: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) message_id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) emoji: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) remove: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) pinned: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) before: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) after: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) limit: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) typing: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) name: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "even_null")]
    pub(super) data: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) volatile: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) token: Option<&'a RawValue>,
}

fn even_null<'de, D>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// One field: its name and what stands in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    name: &'static str,
    raw: Option<&'a RawValue>,
}

impl<'a> Field<'a> {
    pub(super) const fn new(name: &'static str, raw: Option<&'a RawValue>) -> Self {
        Self { name, raw }
    }

    pub(super) fn is_given(self) -> bool {
        self.raw.is_some()
    }

    fn needed(self) -> Result<&'a RawValue, Refusal> {
        self.raw
            .ok_or_else(|| invalid(format!("`{}` is missing", self.name)))
    }

    fn wrong(self, wanted: impl std::fmt::Display) -> Refusal {
        invalid(format!("`{}` must be {wanted}", self.name))
    }

    /// A string of any length.
    pub(super) fn text(self) -> Result<Cow<'a, str>, Refusal> {
        let raw = self.needed()?.get();
        let Some(inner) = raw.strip_prefix('"').and_then(|it| it.strip_suffix('"')) else {
            return Err(self.wrong("a string"));
        };
        if !inner.contains('\\') {
            return Ok(Cow::Borrowed(inner));
        }
        // The syntax is good already; what is left to be wrong are lone surrogates.
        serde_json::from_str::<String>(raw)
            .map(Cow::Owned)
            .map_err(|_| {
                let message = format!("`{}` has an escape that stands for no character", self.name);
                Refusal::new(ErrorCode::InvalidText, message)
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

    /// A string of several lines, 1 to `max_bytes` bytes.
    pub(super) fn body(self, max_bytes: usize) -> Result<Cow<'a, str>, Refusal> {
        let text = self.text()?;
        match check_body(&text, max_bytes) {
            Ok(()) => Ok(text),
            Err(error) => Err(self.unfit(&error, ErrorCode::TooLarge)),
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
        match serde_json::from_str::<u64>(self.needed()?.get()) {
            Ok(number) if (min..=max).contains(&number) => Ok(number),
            _ => Err(self.wrong(format_args!("a whole number from {min} to {max}"))),
        }
    }

    pub(super) fn seq(self) -> Result<Seq, Refusal> {
        self.number(0, NUMBER_MAX)
    }

    pub(super) fn epoch(self) -> Result<Epoch, Refusal> {
        serde_json::from_str(self.needed()?.get())
            .map_err(|_| self.wrong("the `epoch` of a reply, a whole number of 32 bits"))
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
        let given: Vec<Cow<'_, str>> =
            serde_json::from_str(self.needed()?.get()).map_err(|_| wrong())?;
        for id in given {
            let user = Uuid::try_parse(&id).map(UserId).map_err(|_| wrong())?;
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
        match self.raw.map(RawValue::get) {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(_) => Err(self.wrong("true or false")),
        }
    }

    /// What `read` makes of the field, if it is given.
    pub(super) fn optional<T>(
        self,
        read: impl FnOnce(Self) -> Result<T, Refusal>,
    ) -> Result<Option<T>, Refusal> {
        self.raw.map(|_| read(self)).transpose()
    }

    /// Any value that is nested less than 128 deep, at most `max_bytes` of JSON.
    pub(super) fn data(self, max_bytes: usize) -> Result<Data, Refusal> {
        let raw = self.needed()?;
        let json = raw.get();
        if json.len() > max_bytes {
            let (name, actual) = (self.name, json.len());
            let message = format!("`{name}` must be at most {max_bytes} bytes, is {actual}");
            return Err(Refusal::new(ErrorCode::TooLarge, message));
        }
        if let Err(error) = serde_json::from_str::<Checked>(json) {
            return Err(self.wrong(format_args!("a value that can be kept: {error}")));
        }
        Ok(Data::from(raw.to_owned()))
    }
}

pub(super) fn invalid(message: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, message)
}
