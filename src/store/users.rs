//! Users.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::statement::{Statement, statement};
use super::{Conn, StoreError, Tx, seq};
use crate::protocol::id::UserId;

const INSERT: Statement = statement!("users/insert");
const BY_ID: Statement = statement!("users/by_id");
const BY_USERNAME: Statement = statement!("users/by_username");
const FOR_LOGIN: Statement = statement!("users/for_login");
const DEACTIVATE: Statement = statement!("users/deactivate");
const ACTIVATE: Statement = statement!("users/activate");

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

fn user(row: &Row) -> Result<User, StoreError> {
    Ok(User {
        id: UserId(row.try_get("id")?),
        username: row.try_get("username")?,
        email: row.try_get("email")?,
        display_name: row.try_get("display_name")?,
        created_at: row.try_get("created_at")?,
    })
}
