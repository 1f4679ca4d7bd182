//! Which server this is, and whether it is a replica of ours.
//!
//! A copy of the primary's files that somebody has made a server of has the primary's number and
//! databases, too, and so have those that follow it. But it does not know when this node's life began.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::OnceCell;
use tokio_postgres::{Client, Row};

use super::replica::Doubt;
use crate::store::statement::{Statement, statement};
use crate::store::{Store, StoreError};

const IDENTITY: Statement = statement!("server/identity");
const LIFE: Statement = statement!("nodes/life");

/// What a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
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
    #[error(
        "it does not know of this node's start: it is far behind, or follows another server with a \
         copy of these data"
    )]
    OtherData,
}

/// The server that replicas follow. What it is is read when it is first needed.
#[derive(Debug)]
pub(super) struct Primary {
    store: Store,
    node: Arc<str>,
    /// What it is, and when this node's life began.
    known: OnceCell<(Identity, Option<Timestamp>)>,
}

impl Primary {
    /// `node` has begun its life there.
    pub(super) fn new(store: &Store, node: &Arc<str>) -> Arc<Self> {
        Arc::new(Self {
            store: store.clone(),
            node: Arc::clone(node),
            known: OnceCell::new(),
        })
    }

    /// Whether what answers by this connection is a replica of it.
    pub(super) async fn must_be_followed_by(&self, client: &Client) -> Result<(), Doubt> {
        let (primary, began) = self.known.get_or_try_init(|| self.read()).await?;
        let sorted = |error| StoreError::classify(error, IDENTITY.name);
        let found = client.query_one(IDENTITY.sql, &[]).await.map_err(sorted)?;
        Identity::read(&found)?.must_follow(primary)?;
        let sorted = |error| StoreError::classify(error, LIFE.name);
        let life = client.query_opt(LIFE.sql, &[&&*self.node]).await;
        if began_of(life.map_err(sorted)?.as_ref())? != *began {
            return Err(Unfit::OtherData.into());
        }
        Ok(())
    }

    async fn read(&self) -> Result<(Identity, Option<Timestamp>), StoreError> {
        let conn = self.store.get().await?;
        let identity = Identity::read(&conn.query_one(&IDENTITY, &[]).await?)?;
        let life = conn.query_opt(&LIFE, &[&&*self.node]).await?;
        Ok((identity, began_of(life.as_ref())?))
    }
}

fn began_of(row: Option<&Row>) -> Result<Option<Timestamp>, StoreError> {
    let began = row.map(|row| row.try_get(0)).transpose();
    Ok(began?)
}

impl Identity {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            cluster: row.try_get("system_identifier")?,
            database: row.try_get("database")?,
            follows: row.try_get("follows")?,
        })
    }

    /// Refuses a server that is no replica of `primary`.
    fn must_follow(&self, primary: &Self) -> Result<(), Unfit> {
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
