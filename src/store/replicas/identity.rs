//! Which server this is, and whether it is a replica of ours. Pure, but for the reading.

use tokio_postgres::Row;

use crate::store::StoreError;
use crate::store::statement::{Statement, statement};

pub(super) const IDENTITY: Statement = statement!("server/identity");

/// What a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    /// The same for a primary and all that were copied from it.
    cluster: i64,
    database: String,
    /// It takes over what another one writes, and writes nothing itself.
    follows: bool,
}

/// Why a server is not asked, although it answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("it is no replica: it takes writes")]
    Primary,
    #[error("it is a replica, but not of the server of database.url")]
    OtherServer,
    #[error("its database is {found:?}, and that of database.url is {expected:?}")]
    OtherDatabase { found: String, expected: String },
}

impl Identity {
    /// Reads the row of [`IDENTITY`].
    pub(super) fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            cluster: row.try_get("system_identifier")?,
            database: row.try_get("database")?,
            follows: row.try_get("follows")?,
        })
    }

    /// Refuses a server that is no replica of `primary`.
    pub(super) fn must_follow(&self, primary: &Self) -> Result<(), Unfit> {
        if !self.follows {
            return Err(Unfit::Primary);
        }
        if self.cluster != primary.cluster {
            return Err(Unfit::OtherServer);
        }
        if self.database != primary.database {
            return Err(Unfit::OtherDatabase {
                found: self.database.clone(),
                expected: primary.database.clone(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(cluster: i64, database: &str, follows: bool) -> Identity {
        Identity {
            cluster,
            database: database.to_owned(),
            follows,
        }
    }

    #[test]
    fn only_what_follows_the_primary_in_its_database_is_a_replica() {
        let primary = server(7, "hubbub", false);
        let of = |other: Identity| other.must_follow(&primary);
        assert_eq!(of(server(7, "hubbub", true)), Ok(()));
        assert_eq!(of(primary.clone()), Err(Unfit::Primary));
        assert_eq!(of(server(8, "hubbub", false)), Err(Unfit::Primary));
        assert_eq!(of(server(8, "hubbub", true)), Err(Unfit::OtherServer));
        let other = of(server(7, "postgres", true)).unwrap_err();
        assert_eq!(
            other.to_string(),
            "its database is \"postgres\", and that of database.url is \"hubbub\""
        );
    }
}
