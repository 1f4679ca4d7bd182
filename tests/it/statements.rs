//! Every statement is valid against the migrated schema, and used.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::harness::postgres;

fn files_below(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            found.extend(files_below(&path, extension));
        } else if path.extension().is_some_and(|other| other == extension) {
            found.push(path);
        }
    }
    found
}

/// The text of every statement by its name.
fn statements() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/queries");
    let named = files_below(&root, "sql").into_iter().map(|path| {
        let name = path.strip_prefix(&root).expect("it is below");
        let name = name.with_extension("");
        let text = std::fs::read_to_string(&path).expect("it can be read");
        (name.to_str().expect("it is ASCII").to_owned(), text)
    });
    named.collect()
}

#[tokio::test]
async fn each_can_be_prepared() {
    let database = postgres::database().await;
    let client = database.connect().await;
    let mut wrong = Vec::new();
    let all = statements();
    for (name, sql) in &all {
        if let Err(error) = client.prepare(sql).await {
            wrong.push(format!("{name}: {error:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(all.len() > 4, "the folder was not found");
}

#[test]
fn each_file_is_used_and_holds_one() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let code: String = files_below(&src, "rs")
        .into_iter()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    for (name, sql) in statements() {
        assert!(
            code.contains(&format!("statement!(\"{name}\")")),
            "no code uses sql/queries/{name}.sql"
        );
        let text: Vec<&str> = sql
            .lines()
            .map(|line| line.split("--").next().unwrap_or_default())
            .collect();
        let text = text.join("\n");
        let text = text.trim().trim_end_matches(';');
        assert!(!text.contains(';'), "{name} holds several statements");
    }
}
