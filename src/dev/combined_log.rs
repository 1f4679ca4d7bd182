//! One log of all: each line with the name of whose it is.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// Wide enough for `node-99`.
const NAME_WIDTH: usize = 7;

/// ANSI colours that can be read on dark and on bright.
const COLOURS: [u8; 6] = [36, 32, 33, 35, 34, 31];

/// Where everybody's lines go: standard output. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct CombinedLog {
    is_coloured: bool,
    /// A line is written as a whole.
    turn: Arc<Mutex<()>>,
}

impl Default for CombinedLog {
    fn default() -> Self {
        let is_coloured = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self {
            is_coloured,
            turn: Arc::default(),
        }
    }
}

impl CombinedLog {
    /// A line of our own.
    pub(super) fn say(&self, text: &str) {
        self.line("hubbub", text);
    }

    /// A line of a child.
    pub(super) fn line(&self, name: &str, text: &str) {
        let line = prefixed(name, text, self.is_coloured);
        let _turn = self.turn.lock();
        // Who closes our output does not want to read it.
        let _ = std::io::stdout().write_all(line.as_bytes());
    }

    /// Passes on what a child writes, until it writes no more; `seen` gets to see each line.
    pub(super) async fn follow(
        &self,
        name: &str,
        stream: impl AsyncRead + Unpin,
        seen: impl Fn(&str),
    ) {
        let mut lines = BufReader::new(stream).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            let line = String::from_utf8_lossy(&line);
            seen(&line);
            self.line(name, line.trim_end());
        }
    }
}

fn prefixed(name: &str, text: &str, is_coloured: bool) -> String {
    if !is_coloured {
        return format!("{name:NAME_WIDTH$} | {text}\n");
    }
    let sum: usize = name.bytes().map(usize::from).sum();
    let colour = COLOURS[sum % COLOURS.len()];
    format!("\x1b[{colour}m{name:NAME_WIDTH$} |\x1b[0m {text}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_whose_they_are() {
        assert_eq!(prefixed("nginx", "hello", false), "nginx   | hello\n");
        let coloured = prefixed("node-1", "hello", true);
        assert!(coloured.contains("node-1") && coloured.ends_with("\x1b[0m hello\n"));
        assert_ne!(coloured[..5], prefixed("node-2", "", true)[..5]);
    }
}
