//! Where the cluster and its socket live.
//!
//! In the data folder, if possible: `postgres` (the cluster, and its socket) and `postgres.log`.
//! Two things can be in the way. As root, the user that Postgres runs as may be unable to reach
//! the data folder (below `/root`, say): then `postgres` is a link to a folder under
//! [`REACHABLE`]. And the address of a Unix socket has at most 107 bytes: in a deep data folder the
//! socket gets a short private folder of its own, whose name is kept in the file `socket_dir`.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::account::{Account, uid};
use super::error::{EmbeddedError, io_error};
use super::lock::FolderLock;

/// Where clusters go whose data folder only root can reach.
pub const REACHABLE: &str = "/var/lib/hubbub";

/// The port's only use is in the socket's name.
pub(super) const SOCKET_FILE: &str = ".s.PGSQL.5432";

/// What the kernel allows, without the terminating NUL.
const ADDRESS_MAX: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// The folders of one data folder.
#[derive(Debug)]
pub(super) struct Place {
    /// Absolute, without links.
    pub(super) data_dir: PathBuf,
    /// The cluster's folder, which need not exist yet; not a link itself.
    pub(super) cluster: PathBuf,
    /// As whom Postgres runs, if not as ourselves.
    pub(super) account: Option<Account>,
    /// Held while the node lives.
    _locks: Vec<FolderLock>,
}

impl Place {
    /// Makes and locks the data folder, and decides where the cluster belongs.
    pub(super) fn prepare(data_dir: &Path, user: &str) -> Result<Self, EmbeddedError> {
        if !data_dir.exists() {
            // Others may pass through (Postgres must, if we are root) but not look around.
            let mode = 0o711;
            DirBuilder::new()
                .recursive(true)
                .mode(mode)
                .create(data_dir)
                .map_err(io_error("create", data_dir))?;
            fs::set_permissions(data_dir, PermissionsExt::from_mode(mode))
                .map_err(io_error("set the permissions of", data_dir))?;
        }
        let data_dir = data_dir
            .canonicalize()
            .map_err(io_error("open", data_dir))?;
        let mut locks = vec![FolderLock::acquire(&data_dir)?];
        let link = data_dir.join("postgres");
        let mut cluster = fs::read_link(&link).unwrap_or_else(|_| link.clone());
        let account = Account::choose(user, &cluster)?;
        if let Some(account) = &account {
            open_data_dir(account, &data_dir)?;
            if let Some(folder) = account.obstacle(&cluster) {
                let user = account.name.clone();
                if cluster.exists() || cluster != link {
                    return Err(EmbeddedError::Unreachable { folder, user });
                }
                cluster = elsewhere(account, &data_dir)
                    .ok_or(EmbeddedError::Unreachable { folder, user })?;
                symlink(&cluster, &link).map_err(io_error("create", &link))?;
            }
        }
        if cluster != link {
            tracing::info!(cluster = %cluster.display(), "the database is outside the data folder");
            // A copy of the data folder has the same link, and another lock.
            if let Some(folder) = cluster.parent() {
                locks.push(FolderLock::acquire(folder)?);
            }
        }
        Ok(Self {
            data_dir,
            cluster,
            account,
            _locks: locks,
        })
    }

    pub(super) fn log(&self) -> PathBuf {
        self.data_dir.join("postgres.log")
    }

    fn socket_record(&self) -> PathBuf {
        self.data_dir.join("socket_dir")
    }

    /// The folder for the socket: the cluster's own, or a short one made for it.
    pub(super) fn socket_folder(&self) -> Result<PathBuf, EmbeddedError> {
        if suits_a_socket(&self.cluster) {
            return Ok(self.cluster.clone());
        }
        let owner = uid(self.account.as_ref());
        let record = self.socket_record();
        if let Ok(recorded) = fs::read_to_string(&record) {
            let recorded = PathBuf::from(recorded.trim_end());
            if is_private(&recorded, owner) {
                return Ok(recorded);
            }
        }
        let made = self.make_socket_folder(owner)?;
        let text = format!("{}\n", made.display());
        fs::write(&record, text).map_err(io_error("write", &record))?;
        Ok(made)
    }

    fn make_socket_folder(&self, owner: u32) -> Result<PathBuf, EmbeddedError> {
        let mut parents: Vec<PathBuf> = Vec::new();
        if self.account.is_none() {
            parents.extend(std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from));
            parents.push(PathBuf::from(format!("/run/user/{owner}")));
        }
        parents.push(PathBuf::from("/tmp"));
        for parent in &parents {
            // The name is nobody's secret: whoever makes it first cannot make it ours.
            for attempt in 0..16 {
                let folder =
                    parent.join(format!("hubbub-{}-{attempt}", short_hash(&self.data_dir)));
                if !suits_a_socket(&folder) {
                    break;
                }
                let made = DirBuilder::new().mode(0o700).create(&folder);
                if let (Ok(()), Some(account)) = (made, &self.account) {
                    account.own(&folder)?;
                }
                if is_private(&folder, owner) {
                    return Ok(folder);
                }
            }
        }
        let tried: Vec<String> = parents
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        Err(EmbeddedError::NoSocketFolder {
            tried: tried.join(", "),
        })
    }

    /// Removes the socket's own folder after Postgres has ended.
    pub(super) fn forget_socket_folder(&self) {
        let record = self.socket_record();
        if let Ok(recorded) = fs::read_to_string(&record) {
            // Either may be gone already, or somebody's file be in it: then it stays.
            let _ = fs::remove_dir(recorded.trim_end());
            let _ = fs::remove_file(&record);
        }
    }
}

/// Lets the account pass through a data folder of root's that is closed.
fn open_data_dir(account: &Account, data_dir: &Path) -> Result<(), EmbeddedError> {
    if account.obstacle(data_dir).as_deref() != Some(data_dir) {
        return Ok(());
    }
    let failed = |source| io_error("set the permissions of", data_dir)(source);
    let metadata = fs::metadata(data_dir).map_err(failed)?;
    if metadata.uid() != 0 {
        return Ok(());
    }
    tracing::info!(
        folder = %data_dir.display(),
        user = account.name,
        "Postgres's user may not enter the data folder: allowing it (chmod o+x)"
    );
    let mode = metadata.permissions().mode() | 0o001;
    let failed = |source| io_error("set the permissions of", data_dir)(source);
    fs::set_permissions(data_dir, PermissionsExt::from_mode(mode)).map_err(failed)
}

/// A place under [`REACHABLE`] that belongs to `data_dir`.
fn elsewhere(account: &Account, data_dir: &Path) -> Option<PathBuf> {
    let folder = Path::new(REACHABLE).join(short_hash(data_dir));
    DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(&folder)
        .ok()?;
    let cluster = folder.join("postgres");
    account.obstacle(&cluster).is_none().then_some(cluster)
}

/// Eight hexadecimal digits that belong to a path.
fn short_hash(path: &Path) -> String {
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    let [a, b, c, d, ..] = digest.0;
    format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
}

/// Whether a socket's address in `folder` is short enough, and plain enough for Postgres's
/// comma-separated setting.
fn suits_a_socket(folder: &Path) -> bool {
    let bytes = folder.as_os_str().as_encoded_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(byte);
    bytes.len() + 1 + SOCKET_FILE.len() <= ADDRESS_MAX && bytes.iter().all(plain)
}

/// Whether `folder` is a folder (not a link to one) that only `owner` can use.
fn is_private(folder: &Path, owner: u32) -> bool {
    fs::symlink_metadata(folder).is_ok_and(|metadata| {
        metadata.is_dir() && metadata.uid() == owner && metadata.mode() & 0o777 == 0o700
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_address_is_short_and_plain() {
        let room = ADDRESS_MAX - SOCKET_FILE.len() - 1;
        let path = |length: usize| PathBuf::from(format!("/{}", "x".repeat(length - 1)));
        assert!(suits_a_socket(&path(room)));
        assert!(!suits_a_socket(&path(room + 1)));
        assert!(!suits_a_socket(Path::new("/a,b")));
        assert!(!suits_a_socket(Path::new("/a b")));
        assert!(suits_a_socket(Path::new("/var/lib/hubbub-1/postgres_2")));
    }

    #[test]
    fn a_folder_that_others_can_use_is_not_private() {
        let folder = tempfile::tempdir().unwrap();
        let me = rustix::process::geteuid().as_raw();
        let inner = folder.path().join("inner");
        DirBuilder::new().mode(0o700).create(&inner).unwrap();
        assert!(is_private(&inner, me));
        assert!(!is_private(&inner, me + 1));
        let link = folder.path().join("link");
        symlink(&inner, &link).unwrap();
        assert!(!is_private(&link, me));
        fs::set_permissions(&inner, PermissionsExt::from_mode(0o710)).unwrap();
        assert!(!is_private(&inner, me));
    }
}
