//! Why there can be no bus by Redis at all.

use crate::redis::SettingsError;

/// Why there can be no bus by Redis at all.
#[derive(Debug, thiserror::Error)]
pub enum RedisBusError {
    /// The settings are of no use.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// No thread can be started.
    #[error("no thread for the bus can be started")]
    Thread(#[from] std::io::Error),
}
