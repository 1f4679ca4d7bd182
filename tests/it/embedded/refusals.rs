//! Starts that must be refused, saying why and what to do.

use hubbub::store::embedded::{Cluster, EmbeddedError, Search};
use hubbub::store::server_check::Unsuitable;
use hubbub::store::{Store, StoreError};

use super::{remember, remembered, settings, start, try_start};
use crate::harness::node::DataFolder;

#[tokio::test]
async fn a_second_node_on_the_folder() {
    let folder = DataFolder::new();
    let first = start(folder.path()).await;
    let refused = try_start(folder.path()).await.unwrap_err();
    assert!(matches!(refused, EmbeddedError::Locked { .. }));
    let said = refused.to_string();
    let (pid, name) = (std::process::id(), folder.path().display().to_string());
    assert!(said.contains(&format!("process {pid}")), "{said}");
    assert!(said.contains(&name), "{said}");
    // The first is undisturbed.
    remember(&first, "first").await;
    assert_eq!(remembered(first.url()).await, ["first"]);
    first.stop().await.unwrap();
}

#[tokio::test]
async fn a_database_of_another_major_version() {
    for version in ["9.6", "99"] {
        let folder = DataFolder::new();
        let cluster = folder.path().join("postgres");
        start(folder.path()).await.stop().await.unwrap();
        std::fs::write(cluster.join("PG_VERSION"), format!("{version}\n")).unwrap();
        let refused = try_start(folder.path()).await.unwrap_err();
        let EmbeddedError::OtherMajor {
            cluster: made_by,
            found,
            ..
        } = &refused
        else {
            panic!("{refused}");
        };
        assert_eq!(made_by, version);
        let said = refused.to_string();
        for part in [found.as_str(), version, "pg_upgrade", "BIN_DIR"] {
            assert!(said.contains(part), "{said}");
        }
        let kept = std::fs::read_to_string(cluster.join("PG_VERSION")).unwrap();
        assert_eq!(kept.trim(), version, "nothing was touched");
    }
}

#[tokio::test]
async fn no_postgres_to_be_found() {
    let folder = DataFolder::new();
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let nowhere = [
        Search {
            bin_dir: Some(empty.clone()),
            path: std::env::var_os("PATH"),
            distributions: true,
        },
        Search {
            bin_dir: None,
            path: Some(empty.clone().into()),
            distributions: false,
        },
    ];
    for search in nowhere {
        let data = folder.path().join("data");
        let started = Cluster::start_with(&settings(&[]), &data, &search).await;
        let refused = started.unwrap_err();
        let said = refused.to_string();
        assert!(
            matches!(refused, EmbeddedError::NoBinaries { .. }),
            "{said}"
        );
        for part in ["apt-get install postgresql", "DATABASE_URL", "BIN_DIR"] {
            assert!(said.contains(part), "{said}");
        }
        assert!(!data.join("postgres").exists());
    }
}

#[tokio::test]
async fn binaries_that_are_none() {
    use std::os::unix::fs::PermissionsExt;
    let folder = DataFolder::new();
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    for name in ["postgres", "initdb"] {
        let program = bin.join(name);
        std::fs::write(&program, "#!/bin/sh\necho broken >&2\nexit 1\n").unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let bin = bin.to_str().unwrap();
    let config = settings(&[("HUBBUB__DATABASE__EMBEDDED__BIN_DIR", bin)]);
    let started = Cluster::start(&config, &folder.path().join("data")).await;
    let refused = started.unwrap_err();
    assert!(matches!(refused, EmbeddedError::NotPostgres { .. }));
    assert!(refused.to_string().contains("broken"), "{refused}");
}

#[tokio::test]
async fn a_folder_with_something_else_in_it() {
    let folder = DataFolder::new();
    let holiday = folder.path().join("postgres/holiday.jpg");
    std::fs::create_dir(folder.path().join("postgres")).unwrap();
    std::fs::write(&holiday, "sun").unwrap();
    let refused = try_start(folder.path()).await.unwrap_err();
    assert!(matches!(refused, EmbeddedError::NotACluster { .. }));
    assert_eq!(std::fs::read_to_string(&holiday).unwrap(), "sun");
}

#[tokio::test]
async fn a_server_that_does_not_start_is_quoted() {
    let folder = DataFolder::new();
    start(folder.path()).await.stop().await.unwrap();
    let conf = folder.path().join("postgres/postgresql.conf");
    let text = std::fs::read_to_string(&conf).unwrap();
    std::fs::write(&conf, format!("{text}\nshared_bufers = 1GB\n")).unwrap();
    let refused = try_start(folder.path()).await.unwrap_err();
    assert!(matches!(refused, EmbeddedError::Start { .. }));
    assert!(refused.to_string().contains("shared_bufers"), "{refused}");
    // The folder is free for the next attempt.
    std::fs::write(&conf, text).unwrap();
    start(folder.path()).await.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_without_fsync_unless_told_so() {
    let folder = DataFolder::new();
    start(folder.path()).await.stop().await.unwrap();
    let conf = folder.path().join("postgres/postgresql.conf");
    let text = std::fs::read_to_string(&conf).unwrap();
    std::fs::write(&conf, format!("{text}\nfsync = off\n")).unwrap();
    let cluster = start(folder.path()).await;
    let refused = Store::connect(&settings(&[]), cluster.url())
        .await
        .unwrap_err();
    assert!(
        matches!(refused, StoreError::Unsuitable(Unsuitable::FsyncOff)),
        "{refused}"
    );
    assert!(refused.to_string().contains("set fsync=on"), "{refused}");
    let lenient = settings(&[("HUBBUB__DATABASE__REQUIRE_FSYNC", "false")]);
    let store = Store::connect(&lenient, cluster.url()).await.unwrap();
    store.get().await.unwrap();
    cluster.stop().await.unwrap();
}
