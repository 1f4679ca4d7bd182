//! Text that came from outside and was found fit to keep.
//!
//! Postgres cannot store U+0000 in text, so it is refused here, once, for every field.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use uuid::Uuid;

/// A slug is 1 to this many characters long.
pub const SLUG_MAX_CHARS: usize = 64;

/// A `client_id` is 1 to this many bytes long.
pub const CLIENT_ID_MAX_BYTES: usize = 128;

/// The name of a custom event is 1 to this many bytes long.
pub const EVENT_NAME_MAX_BYTES: usize = 64;

/// What one reacts with is 1 to this many bytes long: the longest emoji sequences that there are
/// have 35.
pub const EMOJI_MAX_BYTES: usize = 64;

/// A message names at most this many users.
pub const MENTIONS_MAX: usize = 50;

/// Why a text was refused. The message is fit for a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing there.
    #[error("must not be empty")]
    Empty,
    /// Too long.
    #[error("must be at most {max} {unit}, is {actual}")]
    TooLong {
        /// What is allowed.
        max: usize,
        /// What came.
        actual: usize,
        /// What is counted.
        unit: &'static str,
    },
    /// U+0000 or, where no line breaks belong, another control character.
    #[error("must not contain the control character U+{0:04X}")]
    Control(u32),
    /// Not a slug.
    #[error(
        "must consist of lower-case letters, digits, '-' and '_', and start with a letter or digit"
    )]
    SlugAlphabet,
    /// A slug that could be taken for an id.
    #[error("must not have the form of a UUID")]
    SlugIsUuid,
}

/// Checks free text of several lines: no U+0000, at most `max_bytes`.
pub fn check_body(text: &str, max_bytes: usize) -> Result<(), TextError> {
    if text.is_empty() {
        return Err(TextError::Empty);
    }
    if text.len() > max_bytes {
        return Err(TextError::TooLong {
            max: max_bytes,
            actual: text.len(),
            unit: "bytes",
        });
    }
    if text.as_bytes().contains(&0) {
        return Err(TextError::Control(0));
    }
    Ok(())
}

/// Checks a text of one line, such as a name: no control characters, 1 to `max_bytes` bytes.
pub fn check_line(text: &str, max_bytes: usize) -> Result<(), TextError> {
    check_body(text, max_bytes)?;
    match text.chars().find(|c| c.is_control()) {
        Some(c) => Err(TextError::Control(u32::from(c))),
        None => Ok(()),
    }
}

/// A room's name in addresses: `general`, `team-7`.
#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Slug(Box<str>);

impl Slug {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Slug {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(TextError::Empty);
        }
        if text.len() > SLUG_MAX_CHARS {
            return Err(TextError::TooLong {
                max: SLUG_MAX_CHARS,
                actual: text.chars().count(),
                unit: "characters",
            });
        }
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if !text.starts_with(word) || !text.chars().all(|c| word(c) || c == '-' || c == '_') {
            return Err(TextError::SlugAlphabet);
        }
        if Uuid::try_parse(text).is_ok() {
            return Err(TextError::SlugIsUuid);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs() {
        for good in ["general", "a", "0", "team-7", "a_b"] {
            assert!(good.parse::<Slug>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            "Ä",
            "a b",
            "A",
            "a/b",
            "0190a2b4-0000-7000-8000-000000000000",
        ] {
            assert!(bad.parse::<Slug>().is_err(), "{bad}");
        }
        assert!("0190a2b4000070008000000000000000".parse::<Slug>().is_err());
        assert!("x".repeat(SLUG_MAX_CHARS + 1).parse::<Slug>().is_err());
    }

    #[test]
    fn nul_is_refused_everywhere_and_line_breaks_in_lines() {
        assert_eq!(check_body("a\0b", 10), Err(TextError::Control(0)));
        assert_eq!(check_body("a\nb", 10), Ok(()));
        assert_eq!(check_line("a\nb", 10), Err(TextError::Control(10)));
        assert_eq!(check_body("", 10), Err(TextError::Empty));
        assert!(matches!(
            check_body("abc", 2),
            Err(TextError::TooLong { .. })
        ));
    }
}
