//! Queries: what stands behind the `?`.

use std::borrow::Cow;
use std::fmt::Display;
use std::future::{Ready, ready};
use std::ops::RangeInclusive;
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use uuid::Uuid;

use crate::api::problem::{ApiError, FieldError};

/// The parameters of the query, each at most once. Those that nobody asks for are ignored.
pub(in crate::api) struct Query {
    text: String,
}

impl FromRequest for Query {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self {
            text: req.query_string().to_owned(),
        }))
    }
}

impl Query {
    /// A number within a range.
    pub(in crate::api) fn number<T>(
        &self,
        name: &str,
        range: RangeInclusive<T>,
    ) -> Result<Option<T>, ApiError>
    where
        T: FromStr + PartialOrd + Display,
    {
        let Some(text) = self.get(name)? else {
            return Ok(None);
        };
        match text.parse() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => {
                let (from, to) = (range.start(), range.end());
                let message = format!("must be a whole number from {from} to {to}");
                Err(FieldError::new(name, message).into())
            }
        }
    }

    /// An id.
    pub(in crate::api) fn id(&self, name: &str) -> Result<Option<Uuid>, ApiError> {
        let Some(text) = self.get(name)? else {
            return Ok(None);
        };
        Uuid::try_parse(&text)
            .map(Some)
            .map_err(|_| FieldError::new(name, "must be an id, as `next` gives it").into())
    }

    /// A choice; absent is false.
    pub(in crate::api) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.get(name)?.as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(FieldError::new(name, "must be true or false").into()),
        }
    }

    /// A text, as it is.
    pub(in crate::api) fn text(&self, name: &str) -> Result<Option<Cow<'_, str>>, ApiError> {
        self.get(name)
    }

    fn get(&self, name: &str) -> Result<Option<Cow<'_, str>>, ApiError> {
        let mut found = form_urlencoded::parse(self.text.as_bytes())
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value);
        let first = found.next();
        if found.next().is_some() {
            return Err(FieldError::new(name, "must be given once").into());
        }
        Ok(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query { text: text.into() }
    }

    fn limit(text: &str) -> Result<Option<u32>, String> {
        query(text)
            .number("limit", 1..=100)
            .map_err(|error| error.problem().detail)
    }

    #[test]
    fn numbers() {
        assert_eq!(limit(""), Ok(None));
        assert_eq!(limit("limit=7&other=x"), Ok(Some(7)));
        assert_eq!(limit("limit=100"), Ok(Some(100)));
        for wrong in [
            "0",
            "101",
            "-1",
            "x",
            "",
            "1.5",
            "4294967296",
            "%00",
            "%ff",
            "1+",
        ] {
            assert_eq!(
                limit(&format!("limit={wrong}")),
                Err("limit: must be a whole number from 1 to 100".into()),
                "{wrong}"
            );
        }
        assert_eq!(
            limit("limit=1&limit=2"),
            Err("limit: must be given once".into())
        );
    }

    #[test]
    fn ids_and_flags() {
        let id = Uuid::now_v7();
        assert_eq!(query(&format!("after={id}")).id("after").unwrap(), Some(id));
        assert!(query("after=1").id("after").is_err());
        assert!(query("mine=true").flag("mine").unwrap());
        assert!(!query("").flag("mine").unwrap());
        assert!(query("mine=1").flag("mine").is_err());
    }
}
