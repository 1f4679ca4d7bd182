//! What a name, an e-mail address and a password must be like.

use uuid::Uuid;

use crate::protocol::text::{TextError, check_body, check_line};

/// A username is this many characters long.
pub const USERNAME_CHARS: std::ops::RangeInclusive<usize> = 2..=32;

/// An e-mail address is at most this long, bytes (RFC 5321, section 4.5.3.1.3, less the angle
/// brackets).
pub const EMAIL_MAX_BYTES: usize = 254;

/// A display name is at most this long, characters.
pub const DISPLAY_NAME_MAX_CHARS: usize = 80;

/// Why a field is refused. The message is fit for a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldRule {
    /// What holds for all text.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A username of another length.
    #[error("must be {} to {} characters long", USERNAME_CHARS.start(), USERNAME_CHARS.end())]
    UsernameLength,
    /// A username of other characters.
    #[error(
        "must consist of the letters a to z in either case, digits, '_', '.' and '-', and start \
         with a letter or digit"
    )]
    UsernameAlphabet,
    /// A username that could be taken for an id.
    #[error("must not have the form of a UUID")]
    UsernameIsUuid,
    /// No address that mail could reach.
    #[error("must be an e-mail address")]
    Email,
    /// White space where it would deceive.
    #[error("must not begin or end with white space")]
    Padded,
    /// Too few characters to resist guessing.
    #[error("must be at least {0} characters long")]
    TooShort(usize),
}

/// Checks a username. The alphabet is ASCII, so that no two names look the same.
pub fn check_username(text: &str) -> Result<(), FieldRule> {
    check_line(text, usize::MAX)?;
    let word = |c: char| c.is_ascii_alphanumeric();
    if !text.starts_with(word) || !text.chars().all(|c| word(c) || "_.-".contains(c)) {
        return Err(FieldRule::UsernameAlphabet);
    }
    if !USERNAME_CHARS.contains(&text.len()) {
        return Err(FieldRule::UsernameLength);
    }
    if Uuid::try_parse(text).is_ok() {
        return Err(FieldRule::UsernameIsUuid);
    }
    Ok(())
}

/// Checks an e-mail address for what it is likely to be. Whether it is one, only a mail can tell.
pub fn check_email(text: &str) -> Result<(), FieldRule> {
    check_line(text, EMAIL_MAX_BYTES)?;
    let (local, domain) = text.rsplit_once('@').ok_or(FieldRule::Email)?;
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    let fine = !local.is_empty()
        && local.len() <= 64
        && !local.contains(|c: char| c.is_whitespace() || "@<>()[],;:\\\"".contains(c))
        && domain.contains('.')
        && domain.split('.').all(label);
    if fine { Ok(()) } else { Err(FieldRule::Email) }
}

/// Checks a display name: one line of any script.
pub fn check_display_name(text: &str) -> Result<(), FieldRule> {
    check_line(text, usize::MAX)?;
    let actual = text.chars().count();
    if actual > DISPLAY_NAME_MAX_CHARS {
        return Err(FieldRule::Text(TextError::TooLong {
            max: DISPLAY_NAME_MAX_CHARS,
            actual,
            unit: "characters",
        }));
    }
    if text.trim() != text {
        return Err(FieldRule::Padded);
    }
    Ok(())
}

/// Checks a new password: long enough, and not so long that hashing it is an attack. Any
/// characters but U+0000.
pub fn check_password(text: &str, min_chars: usize, max_bytes: usize) -> Result<(), FieldRule> {
    check_body(text, max_bytes)?;
    if text.chars().count() < min_chars {
        return Err(FieldRule::TooShort(min_chars));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usernames() {
        for good in ["ann", "a1", "A.b-c_d", "0x", &"x".repeat(32)] {
            assert_eq!(check_username(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "a",
            ".ann",
            "-ann",
            "änn",
            "a b",
            "a@b",
            "a\0b",
            "a\nb",
            "'; DROP TABLE users; --",
            &"x".repeat(33),
            "0190a2b4000070008000000000000000",
        ] {
            assert!(check_username(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn emails() {
        for good in ["a@b.c", "ann+tag@mail.example.org", "änn@exämple.org"] {
            assert_eq!(check_email(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "ann",
            "@b.c",
            "a@",
            "a@b",
            "a@.c",
            "a@b.",
            "a@b..c",
            "a@-b.c",
            "a b@c.d",
            "a@b@c.d",
            "a@b.c\n",
            "a\0@b.c",
            "<script>@b.c",
            &format!("{}@b.c", "x".repeat(65)),
            &format!("a@{}.c", "x".repeat(260)),
        ] {
            assert!(check_email(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn display_names() {
        for good in ["Ann", "安", "<script>alert(1)</script>", &"é".repeat(80)] {
            assert_eq!(check_display_name(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            " ",
            " Ann",
            "Ann\u{a0}",
            "a\nb",
            "a\0b",
            &"é".repeat(81),
        ] {
            assert!(check_display_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn passwords() {
        assert_eq!(check_password("12345678", 8, 1024), Ok(()));
        assert_eq!(
            check_password("1234567", 8, 1024),
            Err(FieldRule::TooShort(8))
        );
        assert_eq!(check_password("åäöåäöåä", 8, 1024), Ok(()));
        assert!(check_password(&"x".repeat(1025), 8, 1024).is_err());
        assert!(check_password("12345678\0", 8, 1024).is_err());
    }
}
