//! `hubbub migrate`.

use std::path::Path;

use super::{CliError, prepare};
use crate::app;

pub(super) const HELP: &str = "\
Useful before a deploy, and where the node's own database user may not change the schema.
Several at once are safe: they take turns.";

pub(super) fn run(file: Option<&Path>) -> Result<(), CliError> {
    Ok(app::migrate(prepare(file)?)?)
}
