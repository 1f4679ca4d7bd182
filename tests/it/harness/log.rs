//! What a process prints: kept for failures, and watched for lines.

use std::io::{BufRead as _, BufReader, Read};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::DEADLINE;

/// The lines of a process so far.
#[derive(Clone, Default)]
pub(crate) struct ProcessLog {
    lines: Arc<Mutex<Vec<String>>>,
    changed: Arc<Notify>,
}

impl ProcessLog {
    /// Reads to the end on a thread of its own.
    pub(crate) fn follow(&self, stream: impl Read + Send + 'static) {
        let log = self.clone();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while matches!(reader.read_until(b'\n', &mut line), Ok(n) if n > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                log.lines.lock().expect("no panic while locked").push(text);
                log.changed.notify_waiters();
                line.clear();
            }
        });
    }

    /// Everything so far.
    pub(crate) fn text(&self) -> String {
        self.lines.lock().expect("no panic while locked").join("\n")
    }

    /// The first line from place `from` on in which `find` finds something; none if it does not
    /// come.
    pub(crate) async fn find<T>(
        &self,
        from: usize,
        mut find: impl FnMut(&str) -> Option<T>,
    ) -> Option<T> {
        let mut next = from;
        let search = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                {
                    let lines = self.lines.lock().expect("no panic while locked");
                    while let Some(line) = lines.get(next) {
                        next += 1;
                        if let Some(found) = find(line) {
                            return found;
                        }
                    }
                }
                changed.await;
            }
        };
        tokio::time::timeout(DEADLINE, search).await.ok()
    }
}
