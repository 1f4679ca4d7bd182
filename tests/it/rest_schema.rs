//! `schemathesis` against a node: whatever the description allows, and much that it does not, leads to
//! no server error and to no answer that is not described.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use crate::harness::node::Node;
use crate::harness::rest::{register, text};

/// Examples of each operation.
const EXAMPLES: &str = "12";

/// Any number: the same requests each time.
const SEED: &str = "20261121";

/// It takes less than a quarter of this.
const PATIENCE: Duration = Duration::from_secs(300);

#[tokio::test]
async fn nothing_fails_and_everything_is_as_described() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = top.join("target/pyenv/bin/schemathesis");
    if !program.exists() {
        // Past the test harness, which shows what is printed only if a test fails.
        let warning = "\nNOT CHECKED: answers against /openapi.json, because schemathesis is missing. \
                       `make setup` installs it where PyPI can be reached.\n";
        let _ = std::io::stderr().write_all(warning.as_bytes());
        return;
    }
    let (node, _database) = Node::on_fresh_database().await;
    let (ada, bob) = (register(&node, "ada").await, register(&node, "bob").await);
    let room = ada.create_room("general").await;
    bob.join_room(&room).await;
    let mut messages = Vec::new();
    for n in 0..5 {
        let said = ada
            .say(&room.id, &format!("hello {n}"), &format!("c{n}"))
            .await;
        messages.push(text(&said.ok()["id"]));
    }
    ada.post(
        "/api/rooms/general/bans",
        &json!({ "user_id": register(&node, "eve").await.id }),
    )
    .await
    .ok();
    let config = format!(
        "headers = {{ Authorization = \"Bearer {}\" }}\n\
         [parameters]\n\
         \"path.id\" = \"general\"\n\
         \"path.user_id\" = \"{}\"\n\
         \"path.message_id\" = \"{}\"\n",
        ada.token, bob.id, messages[2]
    );
    let file = node.folder().path().join("schemathesis.toml");
    std::fs::write(&file, config).expect("the folder is there");
    let child = tokio::process::Command::new(program)
        .current_dir(node.folder().path())
        .arg("--config-file")
        .arg(&file)
        .args(["--no-color", "run"])
        .arg(node.url("/openapi.json"))
        .args(["--max-examples", EXAMPLES, "--seed", SEED, "--workers", "1"])
        .args(["--generation-database", "none", "--continue-on-failure"])
        .args(["--request-timeout", "20"])
        .args([
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,\
             response_headers_conformance,response_schema_conformance,negative_data_rejection",
        ])
        // Streams without an end; an upgrade; what would end the session that asks, or its membership.
        .args([
            "--exclude-path-regex",
            "/events$|^/ws$|/auth/logout$|/leave$",
        ])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, child).await;
    let output = output.expect("it ends in time").expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // What it was kept from sending it cannot have found wrong.
    let sent = ada.get("/metrics").await.text;
    let sent: u64 = sent
        .lines()
        .filter(|line| line.starts_with("http_request_duration_seconds_count"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum();
    assert!(sent > 500, "only {sent} requests were sent\n{said}");
}
