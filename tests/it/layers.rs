//! The layers of the crate know only what they may know.
//!
//! What a file knows is read from its paths: `crate::…` and as many `super::` as lead to the
//! crate's root. Code under `#[cfg(test)]` is free to look anywhere.

mod paths;

use std::path::{Path, PathBuf};

use paths::{Reference, Source};

/// Each layer and the others that it may know.
const LAYERS: [(&str, &[&str]); 18] = [
    ("protocol", &[]),
    ("config", &[]),
    // How metrics are made; each layer defines its own with it.
    ("metric", &[]),
    // Where tests can break the node; bears on nothing else.
    ("fault", &[]),
    // Whether a thread is blocked.
    ("stall", &["metric"]),
    ("store", &["protocol", "config", "metric", "fault"]),
    // Redis as something that is asked, and what else is known of it.
    ("redis", &["config", "metric", "stall"]),
    (
        "bus",
        &["protocol", "config", "redis", "metric", "fault", "stall"],
    ),
    (
        "hub",
        &[
            "protocol", "bus", "store", "config", "metric", "fault", "stall",
        ],
    ),
    // Copies of what is in the database.
    (
        "cache",
        &["protocol", "store", "redis", "config", "metric", "fault"],
    ),
    // The channel between nodes.
    ("peers", &["protocol", "store", "config", "metric", "fault"]),
    (
        "auth",
        &["protocol", "store", "redis", "config", "metric", "fault"],
    ),
    (
        "transport",
        &[
            "hub", "auth", "peers", "protocol", "config", "metric", "fault", "ops", "stall",
        ],
    ),
    (
        "api",
        &[
            "store", "cache", "auth", "hub", "peers", "protocol", "config", "metric", "fault",
            "ops", "stall",
        ],
    ),
    // Telemetry is set up from the settings, health asks the layers below.
    (
        "ops",
        &[
            "protocol", "config", "store", "bus", "hub", "metric", "fault",
        ],
    ),
    // Nodes are processes to it.
    ("dev", &["config", "store"]),
    ("app", EVERYTHING),
    ("cli", EVERYTHING),
];

const EVERYTHING: &[&str] = &[
    "protocol",
    "config",
    "store",
    "redis",
    "bus",
    "cache",
    "hub",
    "auth",
    "peers",
    "transport",
    "api",
    "ops",
    "app",
    "dev",
    "metric",
    "fault",
    "stall",
];

/// Crates that a layer must not use: the hub never sees HTTP, and the wire contracts and the
/// settings do nothing but compute.
const NO_CRATES: [(&str, &[&str]); 6] = [
    (
        "protocol",
        &[
            "actix",
            "actix_web",
            "actix_http",
            "actix_rt",
            "tokio",
            "tokio_postgres",
        ],
    ),
    (
        "config",
        &["actix", "actix_web", "actix_http", "actix_rt", "tokio"],
    ),
    ("store", &["actix_web", "actix_http"]),
    ("bus", &["actix_web", "actix_http"]),
    ("cache", &["actix_web", "actix_http"]),
    ("hub", &["actix_web", "actix_http"]),
];

/// Names that say nothing about what is inside.
const NAMELESS: [&str; 6] = ["utils", "util", "common", "helpers", "helper", "misc"];

/// What is wrong with one file of `layer`, as `file:line: …`.
fn violations(file: &str, layer: &str, source: &Source) -> Vec<String> {
    let Some((_, known)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
        return vec![format!(
            "{file}:1: {layer} is no layer of tests/it/layers.rs"
        )];
    };
    let no_crates = NO_CRATES.iter().find(|(name, _)| *name == layer);
    let no_crates = no_crates.map_or(&[][..], |(_, crates)| crates);
    let mut found = Vec::new();
    for Reference { line, name } in source.of_this_crate() {
        let is_layer = LAYERS.iter().any(|(layer, _)| *layer == name);
        if is_layer && name != layer && !known.contains(&name.as_str()) {
            found.push(format!("{file}:{line}: {layer} must not know {name}"));
        }
    }
    for Reference { line, name } in source.of_other_crates() {
        if no_crates.contains(&name.as_str()) {
            found.push(format!("{file}:{line}: {layer} must not use {name}"));
        }
    }
    found
}

fn source_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the sources") {
        let path = entry.expect("its entry").path();
        if path.is_dir() {
            source_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// `["hub", "room", "memory"]` for `src/hub/room/memory.rs`.
fn module_of(file: &Path) -> Vec<String> {
    file.with_extension("")
        .iter()
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

#[test]
fn layers_know_only_what_they_may() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    source_files(&root, &mut files);
    let sources: Vec<(Vec<String>, String, Source)> = files
        .iter()
        .map(|path| {
            let module = module_of(path.strip_prefix(&root).expect("below src"));
            let text = std::fs::read_to_string(path).expect("a source file");
            let source = Source::read(&module, &text);
            (module, path.display().to_string(), source)
        })
        .filter(|(module, _, _)| module != &["lib"] && module != &["main"])
        .collect();
    // Files that a `#[cfg(test)] mod name;` names, and what is below them.
    let for_tests: Vec<Vec<String>> = sources
        .iter()
        .flat_map(|(_, _, source)| source.test_modules())
        .collect();
    let mut found = Vec::new();
    for (module, file, source) in &sources {
        if !for_tests.iter().any(|tests| module.starts_with(tests)) {
            found.extend(violations(file, &module[0], source));
        }
    }
    assert!(sources.len() > 20, "only {} files were read", sources.len());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_file_is_named_after_what_it_holds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "tests", "loadtests"] {
        source_files(&root.join(folder), &mut files);
    }
    for file in files {
        for name in module_of(file.strip_prefix(root).expect("below the root")) {
            assert!(!NAMELESS.contains(&name.as_str()), "{}", file.display());
            assert_ne!(name, "mod", "{}: room.rs beside room/", file.display());
        }
    }
}

#[test]
fn a_violation_is_found() {
    let text = r#"
//! crate::api in a comment is none.
use crate::protocol::event::Event;
use crate::{store::Pool, transport, protocol::{id::RoomId}};
const TEXT: &str = "crate::api";
const RAW: &str = r"\"; const QUOTE: char = '"';
fn f<'a>(x: &'a str) { super::super::auth::check(x); super::room::f(); actix_web::web::Bytes::new() }
mod inner {
    use super::super::super::app;
    use super::super::room;
}
pub(in crate::hub) fn g() {}
#[cfg(test)]
mod tests {
    use crate::api::routes;
}
use crate::ops;
"#;
    let module = ["hub".to_owned(), "room".to_owned()];
    assert_eq!(
        violations("room.rs", "hub", &Source::read(&module, text)),
        [
            "room.rs:4: hub must not know transport",
            "room.rs:7: hub must not know auth",
            "room.rs:9: hub must not know app",
            "room.rs:17: hub must not know ops",
            "room.rs:7: hub must not use actix_web",
        ]
    );
    assert_eq!(
        violations("x.rs", "stray", &Source::read(&["stray".to_owned()], "")),
        ["x.rs:1: stray is no layer of tests/it/layers.rs"]
    );
}

#[test]
fn modules_for_tests_are_known() {
    let module = ["store".to_owned()];
    let source = Source::read(&module, "mod pool;\n#[cfg(test)]\nmod scene;\n");
    assert_eq!(source.test_modules(), [["store", "scene"]]);
}
