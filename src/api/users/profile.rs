//! Changing one's own profile.

use actix_web::http::Uri;
use actix_web::patch;
use actix_web::web::{Data, Json};
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use super::OwnUser;
use crate::api::ApiState;
use crate::api::extract::{Body, Checks};
use crate::api::problem::{ApiError, Failure};
use crate::auth::registration::check_display_name;
use crate::auth::{AuthError, Identity};
use crate::protocol::text::{TextError, check_body};
use crate::store::users::{self, ProfileChange};

/// A text about oneself is at most this long, characters.
const BIO_MAX_CHARS: usize = 500;

/// An avatar's address is at most this long, bytes.
const AVATAR_URL_MAX_BYTES: usize = 2048;

/// What is to change of one's profile; what is absent stays.
#[derive(Deserialize, ToSchema)]
pub(in crate::api) struct ChangeProfile {
    /// What others see.
    #[schema(min_length = 1, max_length = 80)]
    display_name: Option<String>,
    /// What one says of oneself; may be empty.
    #[schema(max_length = 500)]
    bio: Option<String>,
    /// Where one's picture is, by `https`; null takes it away. It is kept elsewhere: clients fetch
    /// it from there.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 2048, pattern = "^https://[^/:@]")]
    avatar_url: Given,
}

/// What is given of a field that null takes away.
#[derive(Debug, Default, PartialEq, Eq)]
enum Given {
    /// Nothing: it stays.
    #[default]
    Absent,
    /// Null: it goes.
    Null,
    /// A text: that is what it is from now on.
    Text(String),
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        let text: Option<String> = Deserialize::deserialize(value)?;
        Ok(text.map_or(Self::Null, Self::Text))
    }
}

/// Changes one's own profile.
#[utoipa::path(
    tag = "users",
    security(("bearer" = []), ("cookie" = [])),
    request_body = ChangeProfile,
    responses((status = 200, description = "Oneself as one is now", body = OwnUser), Failure)
)]
#[patch("/users/me")]
pub(in crate::api) async fn change_profile(
    state: Data<ApiState>,
    who: Identity,
    body: Body<ChangeProfile>,
) -> Result<Json<OwnUser>, ApiError> {
    let Body(wanted) = body;
    let mut checks = Checks::default();
    if let Some(display_name) = &wanted.display_name {
        checks.field("display_name", check_display_name(display_name));
    }
    if let Some(bio) = &wanted.bio {
        checks.field("bio", check_bio(bio));
    }
    if let Given::Text(url) = &wanted.avatar_url
        && let Err(wrong) = check_avatar_url(url)
    {
        checks.wrong("avatar_url", wrong);
    }
    checks.finish()?;
    let change = ProfileChange {
        display_name: wanted.display_name.as_deref(),
        bio: wanted.bio.as_deref(),
        avatar_url: match &wanted.avatar_url {
            Given::Absent => None,
            Given::Null => Some(None),
            Given::Text(url) => Some(Some(url)),
        },
    };
    let conn = state.store.get().await?;
    let changed = users::change_profile(&conn, who.user_id, change).await;
    // Also when the answer was lost: it may have been committed.
    state.cache.user_changed(who.user_id);
    let user = changed?.ok_or(ApiError::Auth(AuthError::UnknownCredentials))?;
    Ok(Json(user.into()))
}

fn check_bio(text: &str) -> Result<(), TextError> {
    if text.is_empty() {
        return Ok(());
    }
    check_body(text, usize::MAX)?;
    match text.chars().count() {
        actual if actual > BIO_MAX_CHARS => Err(TextError::TooLong {
            max: BIO_MAX_CHARS,
            actual,
            unit: "characters",
        }),
        _ => Ok(()),
    }
}

/// Whether browsers may be sent there: `https`, a host, and nothing that a page could stumble over.
fn check_avatar_url(text: &str) -> Result<(), String> {
    if text.len() > AVATAR_URL_MAX_BYTES {
        return Err(format!("must be at most {AVATAR_URL_MAX_BYTES} bytes"));
    }
    let wrong = || "must be an address that begins with https://".to_owned();
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
    if !text.bytes().all(plain) || !text.starts_with("https://") {
        return Err(wrong());
    }
    let url: Uri = text.parse().map_err(|_| wrong())?;
    let authority = url.authority().ok_or_else(wrong)?;
    if authority.as_str().contains('@') {
        return Err("must not have a name or a password".to_owned());
    }
    let has_port = authority.host().len() < authority.as_str().len();
    if authority.host().is_empty() || has_port && authority.port_u16().is_none() {
        return Err(wrong());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_avatars() {
        for good in [
            "https://example.org/a.png",
            "https://cdn.example.org:8443/a/b?c=d%20e#f",
            "https://[2001:db8::1]/x",
            "https://example.org",
        ] {
            assert_eq!(check_avatar_url(good), Ok(()), "{good}");
        }
        let long = format!("https://example.org/{}", "x".repeat(AVATAR_URL_MAX_BYTES));
        for bad in [
            "",
            "https://",
            "https:///x",
            "https://:443/",
            "http://example.org/a.png",
            "HTTPS://example.org/",
            "javascript:alert(1)",
            "data:image/png;base64,AAAA",
            "//example.org/a.png",
            "https://user:pass@example.org/",
            "https://example.org:99999/",
            "https://example.org:/",
            "https://exämple.org/",
            "https://example.org/a b",
            "https://example.org/\"onerror=",
            "https://example.org/\r\nX: y",
            &long,
        ] {
            assert!(check_avatar_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn null_is_not_absent() {
        let read = |text: &str| {
            serde_json::from_str::<ChangeProfile>(text)
                .unwrap()
                .avatar_url
        };
        assert_eq!(read("{}"), Given::Absent);
        assert_eq!(read(r#"{"avatar_url": null}"#), Given::Null);
        let url = "https://example.org/";
        let given = format!(r#"{{"avatar_url": "{url}"}}"#);
        assert_eq!(read(&given), Given::Text(url.to_owned()));
    }
}
