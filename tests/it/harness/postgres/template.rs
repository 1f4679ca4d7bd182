//! A freshly initialised data folder, made once a machine and copied ever after.

use std::fs::{File, Permissions, create_dir_all, remove_dir_all, rename, set_permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::binaries::{program, server_user, version};

/// The folder under which all tests of this user keep their data: in memory where there is such
/// a thing. Kept short, as a socket's path may have 107 bytes.
pub(crate) fn root() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    };
    let uid = rustix::process::geteuid().as_raw();
    let root = base.join(format!("hubbub-test-{uid}"));
    create_dir_all(&root).expect("the tests' data folder can be made");
    let owner = std::fs::metadata(&root).expect("it is there").uid();
    assert_eq!(owner, uid, "{} belongs to somebody else", root.display());
    // Postgres's user must come through.
    set_permissions(&root, Permissions::from_mode(0o755)).expect("it is ours");
    root
}

/// An empty folder of the user that runs Postgres.
pub(super) fn make_folder(folder: &Path) {
    create_dir_all(folder).expect("a folder can be made");
    if let Some(user) = server_user() {
        chown(folder, Some(user.uid), Some(user.gid)).expect("root can give folders away");
    }
    set_permissions(folder, Permissions::from_mode(0o700)).expect("it is ours");
}

/// Makes `folder` a data folder.
pub(super) fn copy_to(folder: &Path) {
    let template = template();
    let status = Command::new("cp")
        .arg("-a")
        .arg(&template)
        .arg(folder)
        .status()
        .expect("cp runs");
    assert!(status.success(), "copying {}", template.display());
}

/// The template, initialised now if this is the first run. The lock is against other test
/// processes; the renaming is against ones that were killed half-way.
fn template() -> PathBuf {
    let root = root();
    let template = root.join(format!("template-{}", version()));
    let lock = File::create(root.join("lock")).expect("the lock can be made");
    lock.lock().expect("the lock can be had");
    if !template.is_dir() {
        let draft = root.join("draft");
        let _ = remove_dir_all(&draft);
        make_folder(&draft);
        let output = program("initdb")
            .args(["--auth=trust", "--username=postgres", "--no-sync"])
            .args(["--encoding=UTF8", "--locale=C", "--wal-segsize=4"])
            .arg("--pgdata")
            .arg(&draft)
            .output()
            .expect("initdb runs");
        assert!(
            output.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        rename(&draft, &template).expect("the template can be put in place");
    }
    template
}
