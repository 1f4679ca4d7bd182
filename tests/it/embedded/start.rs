//! Starting: the first time, again, in odd places.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::path::Path;

use super::{remember, remembered, start, store};
use crate::harness::eventually;
use crate::harness::node::DataFolder;
use crate::harness::postgres;

#[tokio::test]
async fn the_first_start_makes_a_durable_private_database() {
    let folder = DataFolder::new();
    let data = folder.path().join("made/on/the/way");
    let cluster = start(&data).await;
    assert!(!cluster.adopted());
    let client = postgres::connect(cluster.url()).await;
    for (setting, expected) in [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("listen_addresses", ""),
        ("server_encoding", "UTF8"),
        ("max_connections", "100"),
        ("data_checksums", "on"),
        ("is_superuser", "off"),
    ] {
        let row = client
            .query_one("SELECT current_setting($1)", &[&setting])
            .await
            .unwrap();
        assert_eq!(row.get::<_, String>(0), expected, "{setting}");
    }
    let lower = client.query_one("SELECT lower('ÀÉ')", &[]).await.unwrap();
    assert_eq!(lower.get::<_, String>(0), "àé");
    // Nobody but its user can enter the folder with the socket.
    let mode = std::fs::metadata(cluster.folder()).unwrap().mode();
    assert_eq!(mode & 0o777, 0o700);
    hubbub::store::migrate(cluster.url()).await.unwrap();
    store(&cluster).await.get().await.unwrap();
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_later_start_finds_what_was_stored() {
    let folder = DataFolder::new();
    let first = start(folder.path()).await;
    remember(&first, "hello").await;
    let pid = first.pid();
    first.stop().await.unwrap();
    assert!(!folder.path().join("postgres/postmaster.pid").exists());
    let second = start(folder.path()).await;
    assert!(!second.adopted());
    assert_ne!(second.pid(), pid);
    assert_eq!(remembered(second.url()).await, ["hello"]);
    second.stop().await.unwrap();
}

#[tokio::test]
async fn one_that_is_dropped_shuts_down_and_can_be_started_at_once() {
    let folder = DataFolder::new();
    let first = start(folder.path()).await;
    remember(&first, "dropped").await;
    drop(first);
    // It is perhaps still shutting down.
    let second = start(folder.path()).await;
    assert_eq!(remembered(second.url()).await, ["dropped"]);
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_start_that_is_given_up_leaves_no_server() {
    let folder = DataFolder::new();
    start(folder.path()).await.stop().await.unwrap();
    let file = folder.path().join("postgres/postmaster.pid");
    let appeared = eventually("Postgres runs", async || file.exists().then_some(()));
    tokio::select! {
        biased;
        () = appeared => {}
        _ = start(folder.path()) => panic!("it was not given up"),
    }
    eventually("it is gone", async || (!file.exists()).then_some(())).await;
}

#[tokio::test]
async fn an_interrupted_first_start_is_begun_anew() {
    let folder = DataFolder::new();
    let left = folder.path().join("postgres.new");
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("PG_VERSION"), "15\n").unwrap();
    let cluster = start(folder.path()).await;
    assert!(!left.exists());
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_start_interrupted_before_the_database_was_made_is_completed() {
    let folder = DataFolder::new();
    let first = start(folder.path()).await;
    let socket = first.folder().display().to_string();
    let admin = postgres::connect(&format!("postgres://postgres@/postgres?host={socket}")).await;
    admin
        .batch_execute("DROP DATABASE hubbub WITH (FORCE)")
        .await
        .unwrap();
    admin.batch_execute("DROP ROLE hubbub").await.unwrap();
    drop(admin);
    first.stop().await.unwrap();
    let second = start(folder.path()).await;
    remember(&second, "made up for").await;
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_deep_folder_gets_a_short_one_for_the_socket() {
    let folder = DataFolder::new();
    let deep = folder.path().join("d".repeat(60)).join("e".repeat(60));
    let cluster = start(&deep).await;
    remember(&cluster, "deep").await;
    let record = std::fs::read_to_string(deep.join("socket_dir")).unwrap();
    let socket = Path::new(record.trim()).to_owned();
    assert!(socket.as_os_str().len() < 90, "{}", socket.display());
    let metadata = std::fs::metadata(&socket).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o700);
    cluster.stop().await.unwrap();
    assert!(!socket.exists(), "its folder goes with it");
    let again = start(&deep).await;
    assert_eq!(remembered(again.url()).await, ["deep"]);
    again.stop().await.unwrap();
}

#[tokio::test]
async fn a_name_with_commas_spaces_and_letters_of_all_kinds() {
    let folder = DataFolder::new();
    let odd = folder.path().join("a, b 'c' ü%41");
    let cluster = start(&odd).await;
    remember(&cluster, "odd").await;
    assert_eq!(remembered(cluster.url()).await, ["odd"]);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_data_folder_closed_by_root_is_opened_for_postgres() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: not root, so Postgres runs as the owner of the folder");
        return;
    }
    let folder = DataFolder::new();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, PermissionsExt::from_mode(0o700)).unwrap();
    let cluster = start(&data).await;
    remember(&cluster, "opened").await;
    let metadata = std::fs::metadata(cluster.folder()).unwrap();
    assert_ne!(metadata.uid(), 0, "root runs no Postgres");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_data_folder_that_only_root_reaches_has_its_database_elsewhere() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: not root, so Postgres runs as the owner of the folder");
        return;
    }
    let folder = DataFolder::new();
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o700)).unwrap();
    let data = closed.join("data");
    let first = start(&data).await;
    remember(&first, "elsewhere").await;
    let cluster = first.folder().to_owned();
    assert!(cluster.starts_with(hubbub::store::embedded::REACHABLE));
    assert_eq!(std::fs::read_link(data.join("postgres")).unwrap(), cluster);
    first.stop().await.unwrap();
    let second = start(&data).await;
    assert_eq!(remembered(second.url()).await, ["elsewhere"]);
    assert_eq!(second.folder(), cluster);
    second.stop().await.unwrap();
    std::fs::remove_dir_all(cluster.parent().unwrap()).unwrap();
}
