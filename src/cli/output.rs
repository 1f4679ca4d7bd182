//! What the commands say. Names and addresses may come from anywhere: no character of theirs does
//! anything to a terminal, or ends a line.

use std::borrow::Cow;
use std::io::{Write as _, stderr, stdout};

/// Says a line. It is worth nothing to whoever has stopped reading.
pub(super) fn line(text: &str) {
    let mut out = stdout().lock();
    let _ = writeln!(out, "{}", printable(text)).and_then(|()| out.flush());
}

/// Says a line that is not for the program which reads the others.
pub(super) fn aside(text: &str) {
    // Nobody is left to be told when standard error is gone, too.
    let _ = writeln!(stderr(), "hubbub: {}", printable(text));
}

/// The text with a replacement for each control character.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) {
        return text.replace(char::is_control, "\u{fffd}").into();
    }
    text.into()
}

/// Says a table, its columns as wide as what is in them.
pub(super) fn table<const N: usize>(head: &[&str; N], rows: impl Iterator<Item = [String; N]>) {
    let rows: Vec<[String; N]> = std::iter::once(head.map(str::to_owned))
        .chain(rows)
        .collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    for row in &rows {
        let cells = row.iter().zip(&widths);
        let cells: Vec<_> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        line(cells.join("  ").trim_end());
    }
}
