//! As whom Postgres runs. It refuses to run as root; then it runs as an unprivileged user.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use super::error::{EmbeddedError, io_error};

/// Who may be used if the configured user does not exist.
const LAST_RESORT: &str = "nobody";

/// A user other than the node's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    uid: u32,
    gid: u32,
}

impl Account {
    /// As whom to run the cluster in `cluster` (which need not exist yet): `None` for ourselves.
    pub(super) fn choose(user: &str, cluster: &Path) -> Result<Option<Self>, EmbeddedError> {
        let me = rustix::process::geteuid();
        let owner = std::fs::metadata(cluster).ok();
        if !me.is_root() {
            return match owner {
                Some(owner) if owner.uid() != me.as_raw() => Err(EmbeddedError::ForeignOwner {
                    folder: cluster.to_owned(),
                    owner: owner.uid(),
                    me: me.as_raw(),
                }),
                _ => Ok(None),
            };
        }
        // A cluster stays with the user that it was made by.
        if let Some(owner) = owner.filter(|owner| owner.uid() != 0) {
            return Ok(Some(Self {
                name: format!("with id {}", owner.uid()),
                uid: owner.uid(),
                gid: owner.gid(),
            }));
        }
        let passwd = Path::new("/etc/passwd");
        let users = std::fs::read_to_string(passwd).map_err(io_error("read", passwd))?;
        if let Some(account) = look_up(&users, user) {
            return Ok(Some(account));
        }
        let account = look_up(&users, LAST_RESORT).ok_or_else(|| EmbeddedError::NoUser {
            user: user.to_owned(),
        })?;
        tracing::warn!(
            user,
            "no such user: the embedded Postgres runs as {LAST_RESORT}"
        );
        Ok(Some(account))
    }

    /// Makes it the owner of `path`.
    pub(super) fn own(&self, path: &Path) -> Result<(), EmbeddedError> {
        chown(path, Some(self.uid), Some(self.gid)).map_err(io_error("change the owner of", path))
    }

    /// The first folder on the way to `path` that it may not enter. Folders that do not exist
    /// yet are left out.
    pub(super) fn obstacle(&self, path: &Path) -> Option<PathBuf> {
        let mut ways: Vec<&Path> = path.ancestors().collect();
        ways.reverse();
        let closed = ways.into_iter().find(|folder| {
            std::fs::metadata(folder).is_ok_and(|folder| {
                let mode = folder.permissions().mode();
                let bit = if folder.uid() == self.uid {
                    0o100
                } else if folder.gid() == self.gid {
                    0o010
                } else {
                    0o001
                };
                mode & bit == 0
            })
        });
        closed.map(Path::to_owned)
    }
}

/// A command that runs as `account`, in a process group of its own (Ctrl-C in a terminal is for
/// the node, which ends Postgres when it has flushed), without what the environment says about
/// Postgres or languages.
pub(super) fn command(account: Option<&Account>, program: &Path) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("PG") || text.starts_with("LC_") || text.starts_with("LANG") {
            command.env_remove(&name);
        }
    }
    command
        .process_group(0)
        .stdin(std::process::Stdio::null())
        .current_dir("/");
    if let Some(account) = account {
        // The standard library drops root's supplementary groups with `uid`.
        command.uid(account.uid).gid(account.gid);
    }
    command
}

/// Whom `path` must belong to.
pub(super) fn uid(account: Option<&Account>) -> u32 {
    account.map_or_else(
        || rustix::process::geteuid().as_raw(),
        |account| account.uid,
    )
}

/// Finds a user in the text of `/etc/passwd`; root is none.
fn look_up(passwd: &str, user: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| *name == user)?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let name = name.to_owned();
        (uid != 0).then_some(Account { name, uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\npostgres2:x:5:6::/:\npostgres:x:101:104:,,,:/var:/bin/bash\nbroken\n";
        let account = look_up(passwd, "postgres").unwrap();
        assert_eq!((account.uid, account.gid), (101, 104));
        assert_eq!(look_up(passwd, "post"), None);
        assert_eq!(look_up(passwd, "root"), None);
    }

    #[test]
    fn the_first_closed_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let stranger = Account {
            name: "stranger".to_owned(),
            uid: 54321,
            gid: 54321,
        };
        let closed = folder.path().join("closed");
        std::fs::create_dir(&closed).unwrap();
        let set = |path: &Path, mode| {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        };
        set(folder.path(), 0o711);
        set(&closed, 0o710);
        assert_eq!(stranger.obstacle(&closed.join("a/b")), Some(closed.clone()));
        set(&closed, 0o701);
        assert_eq!(stranger.obstacle(&closed.join("a/b")), None);
    }
}
