//! What can go wrong between the node and Postgres, sorted by what the caller can do about it.

use std::error::Error;
use std::io;

use tokio_postgres::error::SqlState;

use super::server_check::Unsuitable;

/// A failed operation of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection, or the server cannot serve at the moment: refused, shutting down, out of
    /// connections, memory or disk, or a read-only standby. Nothing is known to be wrong with the
    /// statement; for a write that was under way it is unknown whether it was stored.
    #[error("the database is unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// Postgres, or a free connection of the pool, took longer than the configured limit. It is
    /// unknown whether a write was stored.
    #[error("the database did not answer in time ({what})")]
    Timeout {
        /// The statement's name, or what was waited for.
        what: &'static str,
    },
    /// The data would have broken a constraint.
    #[error("constraint {name} would be violated")]
    Constraint {
        /// The name of the constraint or unique index; of the column for `NOT NULL`.
        name: String,
        /// What Postgres said.
        source: tokio_postgres::Error,
    },
    /// The database's URL is not one.
    #[error("DATABASE_URL cannot be understood")]
    Url(#[source] tokio_postgres::Error),
    /// The server is not one that data may be entrusted to.
    #[error(transparent)]
    Unsuitable(#[from] Unsuitable),
    /// A stored value is not what the code expects.
    #[error("stored {what} cannot be read")]
    Corrupt {
        /// Which value.
        what: &'static str,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Anything else: a mistake in a statement, or a state that it did not expect.
    #[error("the database refused the statement")]
    Other(#[source] tokio_postgres::Error),
}

impl StoreError {
    /// Wraps whatever made the database unreachable.
    pub fn unavailable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(source.into())
    }

    /// Whether the same operation may succeed if it is tried again, unchanged. A write needs a
    /// dedupe key before it is repeated: it may have been stored.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Timeout { .. } => true,
            Self::Other(error) => error.code().is_some_and(|code| {
                *code == SqlState::T_R_SERIALIZATION_FAILURE
                    || *code == SqlState::T_R_DEADLOCK_DETECTED
                    || *code == SqlState::LOCK_NOT_AVAILABLE
            }),
            Self::Constraint { .. } | Self::Url(_) | Self::Unsuitable(_) | Self::Corrupt { .. } => {
                false
            }
        }
    }

    /// Whether the constraint or unique index `name` was violated.
    #[must_use]
    pub fn violates(&self, name: &str) -> bool {
        matches!(self, Self::Constraint { name: violated, .. } if violated == name)
    }

    /// Whether the server refuses to write because it is a standby, as after a failover.
    #[must_use]
    pub fn is_of_standby(&self) -> bool {
        let Self::Unavailable(source) = self else {
            return false;
        };
        let error = source.downcast_ref::<tokio_postgres::Error>();
        error.is_some_and(|it| it.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION))
    }

    /// A short name for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Timeout { .. } => "timeout",
            Self::Constraint { .. } => "constraint",
            Self::Url(_) | Self::Unsuitable(_) => "setup",
            Self::Corrupt { .. } => "corrupt",
            Self::Other(_) => "other",
        }
    }

    /// Sorts an error of the driver; `what` is the statement's name.
    #[must_use]
    pub fn classify(error: tokio_postgres::Error, what: &'static str) -> Self {
        let Some(db) = error.as_db_error() else {
            return if is_connection_lost(&error) {
                Self::unavailable(error)
            } else {
                Self::Other(error)
            };
        };
        let code = db.code();
        if *code == SqlState::QUERY_CANCELED {
            return Self::Timeout { what };
        }
        if is_unavailable(code) {
            return Self::unavailable(error);
        }
        if code.code().starts_with("23") {
            let name = db.constraint().or(db.column()).unwrap_or_default();
            let name = name.to_owned();
            return Self::Constraint {
                name,
                source: error,
            };
        }
        Self::Other(error)
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::classify(error, "statement")
    }
}

/// Whether the error means that the connection is gone rather than that a statement failed.
pub(super) fn is_connection_lost(error: &tokio_postgres::Error) -> bool {
    error.is_closed()
        || error
            .source()
            .is_some_and(<dyn Error + 'static>::is::<io::Error>)
}

/// Whether the server says that it cannot serve, whatever it is asked.
fn is_unavailable(code: &SqlState) -> bool {
    // 08: connection exception; 53: out of connections, memory or disk; 58: I/O error of the
    // server's own. 57P01..57P05: shutting down, crashed, starting up, dropped, idle too long.
    // 25006: a standby after a failover; 25P03: the server ended an idle transaction.
    let code = code.code();
    ["08", "53", "58", "57P"]
        .iter()
        .any(|class| code.starts_with(class))
        || code == "25006"
        || code == "25P03"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_when_it_cannot_serve() {
        for code in [
            "57P01", "57P02", "57P03", "53300", "53100", "08006", "58030", "25006", "25P03",
        ] {
            assert!(is_unavailable(&SqlState::from_code(code)), "{code}");
        }
        for code in ["23505", "42P01", "57014", "40001", "22021"] {
            assert!(!is_unavailable(&SqlState::from_code(code)), "{code}");
        }
    }

    #[test]
    fn only_faults_of_the_moment_are_retryable() {
        assert!(StoreError::unavailable("gone").is_retryable());
        assert!(StoreError::Timeout { what: "x" }.is_retryable());
        let corrupt = StoreError::Corrupt {
            what: "event",
            source: "no".into(),
        };
        assert!(!corrupt.is_retryable());
    }
}
