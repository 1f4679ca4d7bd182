//! Where the programs are that are not ours.

use std::path::PathBuf;

use super::DevError;

/// The programs.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) redis: PathBuf,
    pub(super) nginx: PathBuf,
}

/// Finds them in PATH, or where distributions put what is meant for administrators.
pub(super) fn find() -> Result<Programs, DevError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let find = |program: &'static str, package: &'static str| {
        std::env::split_paths(&path)
            .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
            .map(|folder| folder.join(program))
            .find(|file| file.is_file())
            .ok_or(DevError::Missing { program, package })
    };
    Ok(Programs {
        redis: find("redis-server", "redis-server")?,
        nginx: find("nginx", "nginx")?,
    })
}
