//! What a room may be called, and the slug that is made of its name.

use crate::api::problem::ApiError;
use crate::auth::registration::FieldRule;
use crate::protocol::text::{SLUG_MAX_CHARS, Slug, TextError, check_body, check_line};

/// A room's name is at most this long, characters.
const NAME_MAX_CHARS: usize = 80;

/// A room's topic is at most this long, characters.
const TOPIC_MAX_CHARS: usize = 500;

pub(super) fn check_name(name: &str) -> Result<(), FieldRule> {
    check_line(name, usize::MAX)?;
    check_chars(name, NAME_MAX_CHARS)?;
    if name.trim() != name {
        return Err(FieldRule::Padded);
    }
    Ok(())
}

/// A topic may be empty and may have line breaks.
pub(super) fn check_topic(topic: &str) -> Result<(), FieldRule> {
    if !topic.is_empty() {
        check_body(topic, usize::MAX)?;
    }
    check_chars(topic, TOPIC_MAX_CHARS)
}

fn check_chars(text: &str, max: usize) -> Result<(), FieldRule> {
    let actual = text.chars().count();
    if actual <= max {
        return Ok(());
    }
    Err(FieldRule::Text(TextError::TooLong {
        max,
        actual,
        unit: "characters",
    }))
}

/// A slug made of a room's name, with a random end if the plain one is taken or none is left.
pub(super) fn slug_of(name: &str, random: bool) -> Result<Slug, ApiError> {
    const ENDING: usize = 7;
    let mut slug = String::new();
    for c in name.chars() {
        if slug.len() + ENDING >= SLUG_MAX_CHARS {
            break;
        }
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(slug.trim_end_matches('-').len());
    if !random && let Ok(slug) = slug.parse() {
        return Ok(slug);
    }
    if slug.is_empty() {
        slug.push_str("room");
    }
    slug.push('-');
    for _ in 1..ENDING {
        slug.extend(char::from_digit(rand::random_range(0..36), 36));
    }
    // At most 64 of the alphabet, and no UUID: those have hyphens in other places or none.
    slug.parse()
        .map_err(|_| ApiError::Internal("a slug was made that is none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_made_of_names() {
        let plain = |name: &str| slug_of(name, false).unwrap().to_string();
        assert_eq!(plain("General"), "general");
        assert_eq!(plain("  Team 7 / Ops!  "), "team-7-ops");
        assert_eq!(plain("'; DROP TABLE rooms; --"), "drop-table-rooms");
        assert!(plain("安").starts_with("room-"));
        assert!(plain(&"x".repeat(80)).len() <= SLUG_MAX_CHARS);
    }

    #[test]
    fn a_name_like_a_uuid_makes_no_slug_like_a_uuid() {
        let name = "0190a2b4-0000-7000-8000-000000000000";
        let slug = slug_of(name, false).unwrap().to_string();
        assert!(slug.len() > name.len() && slug.starts_with(name));
    }

    #[test]
    fn a_random_end_differs() {
        let random = || slug_of(&"x".repeat(80), true).unwrap().to_string();
        assert_ne!(random(), random());
        assert!(random().len() <= SLUG_MAX_CHARS);
    }
}
