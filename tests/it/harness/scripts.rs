//! Clients in other languages: their scripts, below `tests/clients`, and what those need.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// A folder of scripts for Node, whose packages are there.
pub(crate) fn of_node(name: &str) -> PathBuf {
    let folder = folder(name);
    installed(&folder.join("node_modules/.installed"));
    folder
}

/// A folder of scripts, or a script.
pub(crate) fn folder(name: &str) -> PathBuf {
    top().join("tests/clients").join(name)
}

/// The Python of an environment below `target`, whose packages are there.
pub(crate) fn python(environment: &str) -> PathBuf {
    let python = top().join("target").join(environment).join("bin/python");
    installed(&python);
    python
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn installed(path: &Path) {
    assert!(
        path.exists(),
        "{} is missing: run `make setup`, which installs the clients there",
        path.display()
    );
}

/// Messages as the client scripts tell of them: `seq`, `body` and `client_id`, bytes as `$bin`.
pub(crate) fn as_scripts_tell(messages: &[Value]) -> Vec<Value> {
    let told = messages.iter().map(|it| {
        let body = match it["encoding"].as_str() {
            Some("base64") => json!({ "$bin": it["body"] }),
            _ => it["body"].clone(),
        };
        json!({ "seq": it["seq"], "body": body, "client_id": it["client_id"] })
    });
    told.collect()
}
