//! A full disk: a small file system of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{chain, remember, remembered, start, try_start};
use crate::harness::node::DataFolder;

/// A small file system in memory; gone when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: &Path, size: &str) -> Option<Self> {
        let path = folder.join("disk");
        std::fs::create_dir(&path).expect("a folder can be made");
        let options = format!("size={size},mode=0755");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(&path)
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(path)),
            Ok(output) => {
                let why = String::from_utf8_lossy(&output.stderr);
                eprintln!("skipped: no file system can be mounted here: {why}");
                None
            }
            Err(error) => {
                eprintln!("skipped: no file system can be mounted here: {error}");
                None
            }
        }
    }

    /// Fills it to the last byte.
    fn fill(&self) -> PathBuf {
        use std::io::Write as _;
        let path = self.0.join("ballast");
        let mut file = std::fs::File::create(&path).expect("a file can be made");
        for size in [65_536, 4096] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server that is still ending holds files there.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Postgres says it in several ways; we add what is free.
fn says_full(error: &str) -> bool {
    error.contains("No space left on device") || error.contains("KiB free")
}

#[tokio::test]
async fn a_first_start_that_does_not_fit() {
    let folder = DataFolder::new();
    let Some(disk) = SmallDisk::mount(folder.path(), "20m") else {
        return;
    };
    let data = disk.0.join("data");
    let refused = chain(&try_start(&data).await.unwrap_err());
    assert!(says_full(&refused), "{refused}");
    // What did not fit is gone: the disk is free for others.
    assert!(!data.join("postgres").exists() && !data.join("postgres.new").exists());
}

#[tokio::test]
async fn a_later_start_on_a_disk_that_is_full_by_then() {
    let folder = DataFolder::new();
    let Some(disk) = SmallDisk::mount(folder.path(), "100m") else {
        return;
    };
    let data = disk.0.join("data");
    let first = start(&data).await;
    remember(&first, "before").await;
    first.stop().await.unwrap();
    let ballast = disk.fill();
    let refused = chain(&try_start(&data).await.unwrap_err());
    assert!(says_full(&refused), "{refused}");
    std::fs::remove_file(ballast).unwrap();
    let again = start(&data).await;
    assert_eq!(remembered(again.url()).await, ["before"]);
    again.stop().await.unwrap();
}
