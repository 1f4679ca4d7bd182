//! Where Postgres's programs are, and who runs them.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A user as the system knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerUser {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Postgres refuses to run as root: the unprivileged user that runs it then. None if we are
/// not root, and run it ourselves.
pub(crate) fn server_user() -> Option<ServerUser> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let passwd = std::fs::read_to_string("/etc/passwd").expect("/etc/passwd is readable");
    let find = |name: &str| {
        passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            if fields.next()? != name {
                return None;
            }
            let uid = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            Some(ServerUser { uid, gid })
        })
    };
    let user = find("postgres").or_else(|| find("nobody"));
    Some(user.expect("as root, the tests need a user `postgres` or `nobody` to run Postgres"))
}

/// One of Postgres's programs, run by the right user and with messages in English.
pub(super) fn program(name: &str) -> Command {
    let mut command = Command::new(path_of(name));
    command.env_clear().env("LC_ALL", "C").current_dir("/");
    // The standard library drops the supplementary groups along with the user.
    if let Some(user) = server_user() {
        command.uid(user.uid).gid(user.gid);
    }
    command
}

/// Links on the PATH may be to some of the programs only; the others are beside what they lead to.
fn path_of(name: &str) -> PathBuf {
    let path = folder().join(name);
    if path.is_file() {
        return path;
    }
    let postgres = folder().join("postgres").canonicalize();
    postgres.expect("it is there").with_file_name(name)
}

/// The version, such as `15.18`.
pub(super) fn version() -> String {
    let output = program("postgres")
        .arg("--version")
        .output()
        .expect("postgres --version runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    version
        .unwrap_or_else(|| panic!("no version in {text:?}"))
        .to_owned()
}

/// The folder with `postgres` and `initdb`: on the PATH, or the newest of the distribution's.
pub(crate) fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let of_distribution = newest_first("/usr/lib/postgresql");
        std::env::split_paths(&path)
            .chain(of_distribution)
            .find(|folder| folder.join("postgres").is_file() && folder.join("initdb").is_file())
            .expect(
                "no Postgres binaries (`postgres`, `initdb`) in PATH or /usr/lib/postgresql/*/bin: \
                 run `make setup`",
            )
    })
}

fn newest_first(root: &str) -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort_by(|a, b| b.cmp(a));
    versions.into_iter().map(|(_, folder)| folder).collect()
}
