//! Users.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::statement::{Statement, statement};
use super::{Conn, StoreError, Tx, seq};
use crate::protocol::id::UserId;

const INSERT: Statement = statement!("users/insert");
const BY_ID: Statement = statement!("users/by_id");
const BY_ID_WITH_VERSION: Statement = statement!("users/by_id_with_version");
const BY_USERNAME: Statement = statement!("users/by_username");
const FOR_LOGIN: Statement = statement!("users/for_login");
const DEACTIVATE: Statement = statement!("users/deactivate");
const ACTIVATE: Statement = statement!("users/activate");
const CHANGE_PROFILE: Statement = statement!("users/change_profile");
const SEARCH: Statement = statement!("users/search");

/// The unique index of names; see [`StoreError::violates`].
pub const USERNAME_INDEX: &str = "users_username";

/// The unique index of e-mail addresses; see [`StoreError::violates`].
pub const EMAIL_INDEX: &str = "users_email";

/// A user who may be deactivated or gone tomorrow, but is active now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Who.
    pub id: UserId,
    /// The unique name, with the case that the user chose.
    pub username: String,
    /// Unique too; for the user's own eyes.
    pub email: String,
    /// What others see.
    pub display_name: String,
    /// What they say of themselves; may be empty.
    pub bio: String,
    /// Where their picture is, if they have named a place.
    pub avatar_url: Option<String>,
    /// When they registered.
    pub created_at: Timestamp,
}

/// What a new user brings.
#[derive(Debug, Clone, Copy)]
pub struct NewUser<'a> {
    /// The unique name.
    pub username: &'a str,
    /// The unique e-mail address.
    pub email: &'a str,
    /// What others will see.
    pub display_name: &'a str,
    /// A PHC string.
    pub password_hash: &'a str,
}

/// Makes a user. A name or address that is taken violates [`USERNAME_INDEX`] or
/// [`EMAIL_INDEX`].
pub async fn insert(tx: &Tx<'_>, new: NewUser<'_>) -> Result<User, StoreError> {
    let id = UserId::generate();
    let NewUser {
        username,
        email,
        display_name,
        password_hash,
    } = new;
    let row = tx
        .query_one(
            &INSERT,
            &[&id.0, &username, &email, &display_name, &password_hash],
        )
        .await?;
    Ok(User {
        id,
        username: username.to_owned(),
        email: email.to_owned(),
        display_name: display_name.to_owned(),
        bio: String::new(),
        avatar_url: None,
        created_at: row.try_get("created_at")?,
    })
}

/// Shuts a user out, whatever the name's case: their sessions end, which the control log tells,
/// and no other can begin. Returns how many sessions there were; none if there is no such user.
pub async fn deactivate(conn: &Conn, username: &str) -> Result<Option<u64>, StoreError> {
    let Some(row) = conn.query_opt(&DEACTIVATE, &[&username]).await? else {
        return Ok(None);
    };
    seq::from_db(row.try_get("sessions")?).map(Some)
}

/// Lets a user in again. False if there is no such user.
pub async fn activate(conn: &Conn, username: &str) -> Result<bool, StoreError> {
    let row = conn.query_opt(&ACTIVATE, &[&username]).await?;
    Ok(row.is_some())
}

/// A user by id.
pub async fn by_id(conn: &Conn, id: UserId) -> Result<Option<User>, StoreError> {
    let row = conn.query_opt(&BY_ID, &[&id.0]).await?;
    row.as_ref().map(user).transpose()
}

/// A user by id, with the version of what others see of them.
pub async fn with_version(conn: &Conn, id: UserId) -> Result<Option<(User, u64)>, StoreError> {
    let Some(row) = conn.query_opt(&BY_ID_WITH_VERSION, &[&id.0]).await? else {
        return Ok(None);
    };
    let version = seq::from_db(row.try_get("version")?)?;
    Ok(Some((user(&row)?, version)))
}

/// A user by name, whatever its case.
pub async fn by_username(conn: &Conn, username: &str) -> Result<Option<User>, StoreError> {
    let row = conn.query_opt(&BY_USERNAME, &[&username]).await?;
    row.as_ref().map(user).transpose()
}

/// Whoever logs in with this name or e-mail address, and the hash of their password.
pub async fn for_login(conn: &Conn, login: &str) -> Result<Option<(User, String)>, StoreError> {
    let Some(row) = conn.query_opt(&FOR_LOGIN, &[&login]).await? else {
        return Ok(None);
    };
    Ok(Some((user(&row)?, row.try_get("password_hash")?)))
}

/// What is to change of a profile; what is none stays.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProfileChange<'a> {
    /// What others see.
    pub display_name: Option<&'a str>,
    /// What the user says of themselves.
    pub bio: Option<&'a str>,
    /// Where the picture is; `Some(None)` takes it away.
    pub avatar_url: Option<Option<&'a str>>,
}

/// Changes a profile. None if the user is not active any more.
pub async fn change_profile(
    conn: &Conn,
    id: UserId,
    change: ProfileChange<'_>,
) -> Result<Option<User>, StoreError> {
    let ProfileChange {
        display_name,
        bio,
        avatar_url,
    } = change;
    let (changes_avatar, avatar_url) = (avatar_url.is_some(), avatar_url.flatten());
    let row = conn
        .query_opt(
            &CHANGE_PROFILE,
            &[&id.0, &display_name, &bio, &changes_avatar, &avatar_url],
        )
        .await?;
    row.as_ref().map(user).transpose()
}

/// A place in the list that [`search`] walks: a name in lower case, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The unique or the shown name.
    pub name: String,
    /// Who has it.
    pub id: UserId,
}

/// Active users whose unique or shown name begins with `prefix`, whatever its case, in the order of
/// that name and behind `after`: at most `limit` places. A user who is found by both names has two,
/// and is shown at one of them.
pub async fn search(
    conn: &Conn,
    prefix: &str,
    after: Option<&Place>,
    limit: u32,
) -> Result<Vec<(Place, Option<User>)>, StoreError> {
    // The last code point, which no text should have.
    let end = format!("{prefix}\u{10FFFF}");
    let (name, id) = after.map_or(("", uuid::Uuid::nil()), |place| {
        (place.name.as_str(), place.id.0)
    });
    let rows = conn
        .query(&SEARCH, &[&prefix, &end, &name, &id, &i64::from(limit)])
        .await?;
    rows.iter()
        .map(|row| {
            let user = user(row)?;
            let place = Place {
                name: row.try_get("place")?,
                id: user.id,
            };
            let is_shown: bool = row.try_get("is_shown")?;
            Ok((place, is_shown.then_some(user)))
        })
        .collect()
}

fn user(row: &Row) -> Result<User, StoreError> {
    Ok(User {
        id: UserId(row.try_get("id")?),
        username: row.try_get("username")?,
        email: row.try_get("email")?,
        display_name: row.try_get("display_name")?,
        bio: row.try_get("bio")?,
        avatar_url: row.try_get("avatar_url")?,
        created_at: row.try_get("created_at")?,
    })
}
