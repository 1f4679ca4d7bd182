//! One node per data folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::error::{EmbeddedError, io_error};

/// The name of the lock file in a data folder.
const FILE: &str = "hubbub.lock";

/// An exclusive `flock` of a folder, with our process id in the file for whoever is refused.
/// The kernel releases it with the process, however that ends; the file stays.
#[derive(Debug)]
pub struct FolderLock {
    /// Not inherited by the programs that we start.
    file: File,
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Closing the file would do, but for a child process that another thread is just starting:
        // until it runs its program it holds a copy. Where this fails, closing remains.
        let _ = self.file.unlock();
    }
}

impl FolderLock {
    /// Locks `folder`, which must exist; refused at once if another process has it.
    pub fn acquire(folder: &Path) -> Result<Self, EmbeddedError> {
        let path = folder.join(FILE);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io_error("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // Who holds it has perhaps not written it down yet.
                let _ = file.read_to_string(&mut pid);
                let pid = match pid.trim() {
                    "" => "unknown".to_owned(),
                    pid => pid.to_owned(),
                };
                let folder = folder.to_owned();
                return Err(EmbeddedError::Locked { folder, pid });
            }
            Err(TryLockError::Error(source)) => return Err(io_error("lock", &path)(source)),
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            writeln!(file, "{}", std::process::id())
        };
        write(&mut file).map_err(io_error("write", &path))?;
        Ok(Self { file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_the_first_is() {
        let folder = tempfile::tempdir().unwrap();
        let first = FolderLock::acquire(folder.path()).unwrap();
        let refused = FolderLock::acquire(folder.path()).unwrap_err().to_string();
        assert!(
            refused.contains(&format!("process {}", std::process::id()))
                && refused.contains(&folder.path().display().to_string()),
            "{refused}"
        );
        drop(first);
        FolderLock::acquire(folder.path()).unwrap();
    }
}
