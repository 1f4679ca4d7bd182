//! A machine whose clock is an hour off: nodes go by Postgres's.

use std::path::PathBuf;
use std::process::Command;

use super::Cluster;
use crate::harness::node::{DataFolder, Node, NodeOptions};
use crate::harness::rest::register;
use crate::harness::socket::Socket;

/// What stands between a process and the kernel's clock.
const AN_HOUR_AHEAD: &str = r"
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *time) {
    int failed = syscall(SYS_clock_gettime, id, time);
    if (!failed && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) time->tv_sec += 3600;
    return failed;
}
";

/// Compiles it. There is a compiler: dependencies of ours need one.
fn library(folder: &DataFolder) -> PathBuf {
    let (source, library) = (
        folder.path().join("ahead.c"),
        folder.path().join("ahead.so"),
    );
    std::fs::write(&source, AN_HOUR_AHEAD).expect("the source can be written");
    let mut command = Command::new("cc");
    command
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source);
    assert!(command.status().expect("cc runs").success());
    library
}

#[tokio::test]
async fn an_hour_off_does_not_matter() {
    let cluster = Cluster::start(1, &[]).await;
    let options = NodeOptions::on(&cluster.database.url).set("HUBBUB__NODE__ID", "node-ahead");
    let library = library(options.folder()).display().to_string();
    let ahead = Node::start(options.set("LD_PRELOAD", &library)).await;
    let ada = register(&cluster.nodes[0], "ada").await;

    // It is off: what it logs and what it measures is of the future.
    let logged = |node: &Node| {
        let text = node.log().text();
        let line = text
            .lines()
            .find(|line| line.contains("listening"))
            .expect("a line");
        let time = line.split_whitespace().next().expect("a time");
        time.parse::<jiff::Timestamp>().expect("a time")
    };
    let off = logged(&ahead).duration_since(logged(&cluster.nodes[0]));
    assert!(off.as_secs() > 3500, "{off:?}");

    // Each is asked by the other.
    let socket = Socket::connect(&ahead, &ada.at(&ahead)).await;
    let there = Socket::connect(&cluster.nodes[0], &ada).await;
    for user in [ada.clone(), ada.at(&ahead)] {
        let list = user.get("/api/auth/connections").await.ok();
        assert_eq!(list["total"], 2, "{list}");
        assert_eq!(list["unanswered"], serde_json::json!([]), "{list}");
    }
    // Tickets go both ways.
    for (from, to) in [(&ahead, &cluster.nodes[0]), (&cluster.nodes[0], &ahead)] {
        let ticket = ada.at(from).ticket().await;
        let path = format!("/ws?ticket={ticket}");
        let mut socket = Socket::open(to, &path, &[]).await.expect("it is let in");
        socket.ping().await;
    }
    drop((socket, there));
}
