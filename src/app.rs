//! The composition root (a stub until the node is assembled here).

use crate::config::Config;

/// Why a node did not start or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The part is not there yet.
    #[error("this build cannot {0} yet")]
    NotBuilt(&'static str),
}

/// Runs a node until it is told to stop.
pub fn serve(_config: Config) -> Result<(), StartError> {
    Err(StartError::NotBuilt("serve"))
}

/// Brings the database's schema up to date.
pub fn migrate(_config: Config) -> Result<(), StartError> {
    Err(StartError::NotBuilt("migrate"))
}
