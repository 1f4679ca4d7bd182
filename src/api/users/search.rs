//! Finding users by how a name begins.

use std::sync::Arc;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, get};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::PublicUser;
use crate::api::extract::{Checks, Query};
use crate::api::problem::{ApiError, Failure, FieldError};
use crate::api::{ApiState, conditional, cut};
use crate::auth::Identity;
use crate::auth::registration::DISPLAY_NAME_MAX_CHARS;
use crate::cache::copy::{Loaded, Object, Rendered};
use crate::cache::key::{Key, SearchKey};
use crate::cache::reads::{digest, entity_tag, to_body};
use crate::cache::version::Version;
use crate::cache::{CacheError, How};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::id::UserId;
use crate::protocol::text::{TextError, check_line};
use crate::store::Store;
use crate::store::users::{self, Place};

/// A page is this long when nothing is said: what a list below a field shows.
const LIST_LIMIT_DEFAULT: u32 = 20;

/// A page is at most this long.
const LIST_LIMIT_MAX: u32 = 100;

/// What is looked for, bytes: the longest name there can be.
const QUERY_MAX_BYTES: usize = 4 * DISPLAY_NAME_MAX_CHARS;

/// A page of users.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct UserPage {
    /// In the order of the names that were found. May be fewer than `limit`: go on while `next` is
    /// there.
    users: Vec<PublicUser>,
    /// The `after` of the next page; null: there is none.
    next: Option<String>,
}

/// Who is looked for. Only for the description: [`Query`] reads them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)]
struct SearchUsers {
    /// How the unique or the shown name begins, whatever its case.
    #[param(min_length = 1, max_length = 80)]
    query: String,
    /// The `next` of the page before.
    #[param(min_length = 1)]
    after: Option<String>,
    /// At most this many.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u32>,
}

/// Users whose unique or shown name begins so.
#[utoipa::path(
    tag = "users",
    security(("bearer" = []), ("cookie" = [])),
    params(SearchUsers, conditional::Asked),
    responses((status = 200, description = "A page of users", body = UserPage),
        (status = 304, description = "The client has it already"), Failure)
)]
#[get("/users")]
pub(in crate::api) async fn search_users(
    req: HttpRequest,
    state: Data<ApiState>,
    _who: Identity,
    query: Query,
) -> Result<HttpResponse, ApiError> {
    let limit = query.number("limit", 1..=LIST_LIMIT_MAX)?;
    let limit = limit.unwrap_or(LIST_LIMIT_DEFAULT);
    let after = query.text("after")?;
    let place = after.as_deref().map(parse_place).transpose()?;
    let name = query.text("query")?;
    let name = name.ok_or_else(|| FieldError::new("query", "is missing"))?;
    let mut checks = Checks::default();
    checks.field("query", check_display_name_start(&name));
    checks.finish()?;
    // Checked as everywhere, although nothing of a user is an event.
    let least = conditional::least(&req)?;
    let key = Arc::new(SearchKey {
        query: name.into(),
        after: after.map(Into::into),
        limit,
    });
    let load = || load_page(state.store.clone(), Arc::clone(&key), place.clone());
    let found = Key::Search(Arc::clone(&key));
    let page = state.cache.get(found, &least, load).await?;
    let page = page.ok_or(ErrorCode::UserNotFound)?;
    conditional::of_page(&req, &state, How::Hit, &page, "after")
}

/// Reads a page, for all who search the same.
async fn load_page(
    store: Store,
    key: Arc<SearchKey>,
    after: Option<Place>,
) -> Result<Option<Loaded>, CacheError> {
    let conn = store.get().await?;
    let mut found = users::search(&conn, &key.query, after.as_ref(), key.limit + 1).await?;
    drop(conn);
    let next = cut(&mut found, key.limit, |(place, _)| print_place(place));
    let shown = found.into_iter().filter_map(|(_, user)| user);
    let page = UserPage {
        users: shown.map(PublicUser::from).collect(),
        next: next.clone(),
    };
    let body = to_body(&page)?;
    // Of many rows: it has no version of its own.
    let version = Version::of_row(0);
    let etag = entity_tag(version.epoch, digest(&body));
    let rendered = Rendered::new(etag, body, next.map(Into::into));
    Ok(Some(Loaded::new(version, Object::Body(rendered))))
}

/// Checks what a name may begin with: no more than a name may have.
fn check_display_name_start(text: &str) -> Result<(), TextError> {
    check_line(text, QUERY_MAX_BYTES)?;
    match text.chars().count() {
        actual if actual > DISPLAY_NAME_MAX_CHARS => Err(TextError::TooLong {
            max: DISPLAY_NAME_MAX_CHARS,
            actual,
            unit: "characters",
        }),
        _ => Ok(()),
    }
}

/// A place as clients hand it back: the id and the name.
fn print_place(place: &Place) -> String {
    let mut bytes = place.id.0.as_bytes().to_vec();
    bytes.extend(place.name.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn parse_place(text: &str) -> Result<Place, ApiError> {
    let wrong = || {
        Refusal::new(
            ErrorCode::InvalidCursor,
            "after: must be as `next` gives it",
        )
    };
    // Lower case may be longer than what was typed, but not by much.
    if text.len() > 4 * QUERY_MAX_BYTES {
        return Err(wrong().into());
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
    let (id, name) = bytes.split_first_chunk::<16>().ok_or_else(wrong)?;
    let name = str::from_utf8(name).map_err(|_| wrong())?;
    if name.contains('\0') {
        return Err(wrong().into());
    }
    Ok(Place {
        id: UserId(Uuid::from_bytes(*id)),
        name: name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_and_others_are_refused() {
        let place = Place {
            name: "ünal".to_owned(),
            id: UserId::generate(),
        };
        let text = print_place(&place);
        assert_eq!(parse_place(&text).unwrap(), place);
        let long = "A".repeat(100_000);
        let nul = URL_SAFE_NO_PAD.encode([0; 17]);
        for wrong in ["", "x", "!", &text[..20], &long, &nul, "AAAA\u{e9}"] {
            assert_eq!(
                parse_place(wrong).unwrap_err().code(),
                ErrorCode::InvalidCursor
            );
        }
    }
}
