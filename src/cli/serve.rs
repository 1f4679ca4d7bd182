//! `hubbub serve`.

use std::path::Path;

use super::{CliError, prepare};
use crate::app;

pub(super) const HELP: &str = "\
Without a database.url the node looks for Postgres binaries (database.embedded.bin_dir, PATH,
the folders of the distributions) and runs a private Postgres in node.data_dir.
It logs the address that it listens on when it is ready.";

pub(super) fn run(file: Option<&Path>) -> Result<(), CliError> {
    Ok(app::serve(prepare(file)?)?)
}
