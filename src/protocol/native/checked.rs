//! A walk through a JSON value that keeps nothing.
//!
//! The parser that skips a value checks its syntax alone. It lets through what fails only when
//! the value is kept: lone surrogates, numbers beyond every type, nesting without end.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A value that every part of has been read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walk)
    }
}

struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = Checked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        IgnoredAny.expecting(f)
    }

    fn visit_unit<E>(self) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_str<E>(self, _: &str) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Checked, A::Error> {
        while let Some(Checked) = items.next_element()? {}
        Ok(Checked)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Checked, A::Error> {
        while let Some((Checked, Checked)) = entries.next_entry()? {}
        Ok(Checked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_agrees_with_a_parse_that_keeps(text in "[\\[\\]{}\":,0-9eu\\\\dD]{0,24}") {
            prop_assert_eq!(
                serde_json::from_str::<Checked>(&text).is_ok(),
                serde_json::from_str::<serde_json::Value>(&text).is_ok()
            );
        }
    }

    #[test]
    fn what_only_a_parse_that_keeps_would_notice() {
        for bad in [
            r#"{"a":["\ud800"]}"#,
            r#"{"\udfff":1}"#,
            "[1e999]",
            &"[".repeat(200),
        ] {
            assert!(serde_json::from_str::<Checked>(bad).is_err(), "{bad}");
        }
        let good = r#"{"a":[null,true,-1,18446744073709551615,1.5,"\ud83d\ude00"],"b":{}}"#;
        assert!(serde_json::from_str::<Checked>(good).is_ok());
    }
}
