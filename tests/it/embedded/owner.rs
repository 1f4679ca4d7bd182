//! Nodes as processes of their own: killed ones, and ones of other users.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use super::{remember, remembered, start, try_start};
use crate::harness::node::DataFolder;
use crate::harness::process::Process;

/// What a node of its own does: it starts the cluster in the folder that the variable names, and
/// keeps it until it is killed.
const FOLDER: &str = "HUBBUB_TEST_FOLDER";

#[tokio::test]
#[ignore = "the program of the other tests' child processes"]
async fn program() {
    let folder = std::env::var_os(FOLDER).expect("run by the other tests only");
    match try_start(Path::new(&folder)).await {
        Ok(cluster) => {
            remember(&cluster, "by the child").await;
            println!("\nstarted {}", cluster.pid().unwrap());
            std::future::pending::<()>().await;
        }
        Err(error) => println!("\nrefused {}", super::chain(&error).replace('\n', " ")),
    }
}

fn child(folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("we are a program"));
    command
        .args(["--exact", "embedded::owner::program", "--ignored"])
        .arg("--nocapture")
        .env(FOLDER, folder)
        .current_dir("/");
    command
}

/// What the child said after the word.
async fn said(child: &Process, word: &str) -> String {
    let found = child.log().find(0, |line| {
        let rest = line.strip_prefix(word)?;
        Some(rest.trim().to_owned())
    });
    found
        .await
        .unwrap_or_else(|| panic!("{}", child.log().text()))
}

#[tokio::test]
async fn a_server_that_survived_its_node_is_adopted() {
    let folder = DataFolder::new();
    let mut node = Process::spawn("node", &mut child(folder.path())).unwrap();
    let pid = said(&node, "started").await;
    let refused = try_start(folder.path()).await.unwrap_err().to_string();
    let holder = format!("process {}", node.pid().as_raw_nonzero());
    assert!(refused.contains(&holder), "{refused}");
    node.kill9();
    let cluster = start(folder.path()).await;
    assert!(cluster.adopted());
    assert_eq!(cluster.pid().unwrap().to_string(), pid);
    assert_eq!(remembered(cluster.url()).await, ["by the child"]);
    // It is watched over like one of our own …
    folder.kill9_postgres().await;
    crate::harness::eventually("another server runs", async || {
        cluster.pid().filter(|other| other.to_string() != pid)
    })
    .await;
    crate::harness::eventually("it answers", async || {
        let connected = crate::harness::postgres::try_connect(cluster.url()).await;
        connected.ok()
    })
    .await;
    assert_eq!(remembered(cluster.url()).await, ["by the child"]);
    // … and ends with the node that adopted it.
    cluster.stop().await.unwrap();
    assert!(!folder.path().join("postgres/postmaster.pid").exists());
}

#[tokio::test]
async fn an_adopted_server_ends_with_the_node_that_adopted_it() {
    let folder = DataFolder::new();
    let mut node = Process::spawn("node", &mut child(folder.path())).unwrap();
    said(&node, "started").await;
    node.kill9();
    let cluster = start(folder.path()).await;
    assert!(cluster.adopted());
    cluster.stop().await.unwrap();
    assert!(!folder.path().join("postgres/postmaster.pid").exists());
}

#[tokio::test]
async fn node_and_server_killed_at_once() {
    let folder = DataFolder::new();
    let mut node = Process::spawn("node", &mut child(folder.path())).unwrap();
    said(&node, "started").await;
    node.kill9();
    folder.kill9_postgres().await;
    assert!(folder.path().join("postgres/postmaster.pid").exists());
    let cluster = start(folder.path()).await;
    assert!(!cluster.adopted());
    assert_eq!(remembered(cluster.url()).await, ["by the child"]);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_servers_number_may_be_anothers_now() {
    let folder = DataFolder::new();
    let mut node = Process::spawn("node", &mut child(folder.path())).unwrap();
    said(&node, "started").await;
    node.kill9();
    folder.kill9_postgres().await;
    // After a restart of its container the number in the file is some other process's of the same
    // user, which Postgres itself takes for a server that runs.
    let mut sleep = Command::new("sleep");
    sleep.arg("1000");
    if let Some(user) = server_user(&folder.path().join("postgres")) {
        sleep.uid(user).gid(user);
    }
    let other = Process::spawn("sleep", &mut sleep).unwrap();
    let file = folder.path().join("postgres/postmaster.pid");
    let text = std::fs::read_to_string(&file).unwrap();
    let (_, rest) = text.split_once('\n').unwrap();
    let pid = other.pid().as_raw_nonzero();
    std::fs::write(&file, format!("{pid}\n{rest}")).unwrap();
    let cluster = start(folder.path()).await;
    assert!(!cluster.adopted());
    assert_eq!(remembered(cluster.url()).await, ["by the child"]);
    cluster.stop().await.unwrap();
}

/// The owner of the cluster, if it is not us.
fn server_user(cluster: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    let owner = std::fs::metadata(cluster).expect("it is there").uid();
    (owner != rustix::process::geteuid().as_raw()).then_some(owner)
}

/// The number of a user that every system has; `initdb` wants one that has a name.
fn id_of(user: &str) -> u32 {
    let output = Command::new("id").args(["-u", user]).output();
    let output = output.expect("`id` runs");
    let text = String::from_utf8(output.stdout).expect("it prints a number");
    text.trim().parse().expect("the user exists")
}

#[tokio::test]
async fn a_node_of_an_ordinary_user_and_one_of_another() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: not root; every other test of this file is about ordinary users then");
        return;
    }
    let (one, other) = (id_of("nobody"), id_of("daemon"));
    let program = std::env::current_exe().unwrap();
    let open = Command::new("test")
        .arg("-x")
        .arg(&program)
        .uid(one)
        .gid(one)
        .status();
    if !open.is_ok_and(|status| status.success()) {
        let program = program.display();
        eprintln!("skipped: an ordinary user may not run {program}");
        return;
    }
    let folder = DataFolder::new();
    std::os::unix::fs::chown(folder.path(), Some(one), Some(one)).unwrap();
    let as_user = |user| {
        let mut command = child(folder.path());
        command.uid(user).gid(user).env_remove("XDG_RUNTIME_DIR");
        Process::spawn("node of a user", &mut command).unwrap()
    };
    let mut node = as_user(one);
    said(&node, "started").await;
    node.kill9();
    let cluster = folder.path().join("postgres");
    assert_eq!(server_user(&cluster), Some(one));
    // The lock file is the first's alone, and so is the cluster.
    std::fs::remove_file(folder.path().join("hubbub.lock")).unwrap();
    std::os::unix::fs::chown(folder.path(), Some(other), Some(other)).unwrap();
    let stranger = as_user(other);
    let refused = said(&stranger, "refused").await;
    assert!(refused.contains(&format!("user id {one}")), "{refused}");
    drop(stranger);
    // Root runs it as the user that it belongs to, and adopts what runs.
    let adopted = start(folder.path()).await;
    assert!(adopted.adopted());
    adopted.stop().await.unwrap();
    let own = start(folder.path()).await;
    assert_eq!(remembered(own.url()).await, ["by the child"]);
    own.stop().await.unwrap();
}
