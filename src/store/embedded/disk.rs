//! A full disk, said plainly.

use std::path::Path;

/// Less than this is nearly full: a cluster takes some 40 MB when it is made, and grows its log
/// by files of 16 MiB.
const LITTLE_BYTES: u64 = 32 << 20;

/// Adds to the end of a log that the disk of `path` is nearly full, if it is. The log lies on
/// the same disk, so that it may lack the very line.
pub(super) fn with_free_space(tail: String, path: &Path) -> String {
    // The folder may have been removed because of the failure.
    let there = path.ancestors().find(|folder| folder.exists());
    let Some(Ok(disk)) = there.map(rustix::fs::statvfs) else {
        return tail;
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free >= LITTLE_BYTES {
        return tail;
    }
    let kib = free / 1024;
    let note = format!("the disk of {} has {kib} KiB free", path.display());
    if tail.is_empty() {
        return note;
    }
    format!("{tail}\n{note}")
}
