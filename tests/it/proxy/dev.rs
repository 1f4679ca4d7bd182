//! `hubbub dev` itself: it restarts what dies, clears away what it left when it was killed, and stops
//! clean.

use crate::harness::dev_cluster::{DevCluster, children};
use crate::harness::eventually;
use crate::harness::node::{DataFolder, NodeOptions};
use crate::harness::rest::{http, register_at, send};

fn is_running(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[tokio::test]
async fn what_it_left_when_it_was_killed_is_cleared_away_and_a_stop_leaves_nothing() {
    let mut cluster = DevCluster::start(2, NodeOptions::embedded()).await;
    let ada = register_at(&cluster.address, "ada").await;
    let room = ada.create_room("room").await;
    assert_eq!(ada.say(&room.id, "hello", "1").await.status, 201);
    let left = children(cluster.folder().path());
    let names: Vec<_> = left.iter().map(|(_, name)| name.as_str()).collect();
    for name in ["redis", "node-1", "node-2", "nginx"] {
        assert!(names.contains(&name), "{names:?}");
    }
    cluster.kill9_itself();
    assert!(
        left.iter().all(|(pid, _)| is_running(*pid)),
        "they outlive it"
    );

    cluster.restart().await;
    assert!(
        !left.iter().any(|(pid, _)| is_running(*pid)),
        "they were ended"
    );
    let answer = http()
        .get(format!(
            "http://{}/api/rooms/{}/messages",
            cluster.address, room.id
        ))
        .bearer_auth(&ada.token);
    let page = send(answer).await.ok();
    assert_eq!(page["messages"][0]["body"], "hello");

    let running = children(cluster.folder().path());
    assert!(cluster.stop().await.success());
    assert!(
        !running.iter().any(|(pid, _)| is_running(*pid)),
        "{running:?}"
    );
    assert!(children(cluster.folder().path()).is_empty());
}

#[tokio::test]
async fn a_folder_may_have_a_space_in_its_name() {
    let folder = DataFolder::called("a b");
    let options = NodeOptions::embedded().in_folder(&folder);
    let mut cluster = DevCluster::start(1, options).await;
    let path = format!("http://{}/health/redis", cluster.address);
    eventually("its Redis is in use", async || {
        let health = http().get(&path).send().await.ok()?.text().await.ok()?;
        health.contains("\"path\":\"redis\"").then_some(())
    })
    .await;
    assert!(cluster.stop().await.success());
}

#[tokio::test]
async fn a_program_that_is_missing_is_named() {
    let options = NodeOptions::embedded();
    let mut command = options.command(&["dev", "--bind", "127.0.0.1:0"]);
    command.env("PATH", "/nowhere");
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    // nginx is where administrators have it, whatever the PATH.
    assert!(error.contains("redis-server is not in PATH"), "{error}");
    assert_eq!(output.status.code(), Some(1));
}
