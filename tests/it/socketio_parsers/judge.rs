//! The official parsers, in a process of Node.

use std::io::Write as _;
use std::process::{Command, Stdio};

use hubbub::protocol::data::Data;
use hubbub::protocol::socketio::Value as Carried;
use serde_json::{Value, json};

use crate::harness::scripts;

/// The answers to these questions.
pub(super) fn ask(questions: &[Value]) -> Vec<Value> {
    let mut node = Command::new("node")
        .arg(scripts::of_node("parsers").join("judge.mjs"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Node runs");
    let mut input = node.stdin.take().unwrap();
    let lines: Vec<String> = questions.iter().map(ToString::to_string).collect();
    let lines = lines.join("\n");
    let writing = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = node.wait_with_output().expect("Node ends");
    writing.join().unwrap().expect("it reads all questions");
    assert!(output.status.success());
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<_> = answers
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), questions.len());
    answers
}

/// Bytes as the judge has them.
pub(super) fn bin(bytes: &[u8]) -> Value {
    use base64::Engine as _;
    json!({ "$bin": base64::engine::general_purpose::STANDARD.encode(bytes) })
}

/// The bytes of such.
pub(super) fn bytes(value: &Value) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let text = value.get("$bin")?.as_str()?;
    Some(
        base64::engine::general_purpose::STANDARD
            .decode(text)
            .unwrap(),
    )
}

/// A value of ours as the judge has it.
pub(super) fn plain(value: &Carried<'_>) -> Value {
    let data = Data::from_message_pack(&value.to_packed().unwrap()).unwrap();
    serde_json::from_str(data.json()).unwrap()
}
