//! What the commands say on standard output.

use std::io::{Write as _, stdout};

/// Says a line. It is worth nothing to whoever has stopped reading.
pub(super) fn line(text: &str) {
    let mut out = stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
