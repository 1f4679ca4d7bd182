//! Sets up logging, once for the process.
//!
//! Lines go to standard output and nowhere else: whoever runs the node decides where they
//! are kept. They are written by the thread that logs, so a reader that stops reading a pipe
//! stops the node as well; collectors that may stall belong behind a file or the journal.

use std::io::{IsTerminal as _, stdout};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use crate::config::{LogFormat, Telemetry};

/// Why logging cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not one. `Config` has refused it before.
    #[error("telemetry.log is not a filter")]
    Filter(#[from] ParseError),
    /// Logging has been set up before in this process.
    #[error("logging is set up already")]
    Init(#[from] TryInitError),
}

/// Sends what this process logs to standard output, as `config` says.
pub fn init(config: &Telemetry) -> Result<(), TelemetryError> {
    let filter = EnvFilter::builder().parse(&config.log)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter);
    match config.format {
        LogFormat::Text => builder.with_ansi(colours()).finish().try_init()?,
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .finish()
            .try_init()?,
    }
    Ok(())
}

/// Whether a person is looking who has not asked for plain text (`NO_COLOR`).
fn colours() -> bool {
    stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
