//! The description of the HTTP interface: whole, true, and the one that is checked in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::node::Node;
use crate::harness::rest::{http, register, send};

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The methods of each path.
type Operations = BTreeMap<String, BTreeSet<String>>;

fn operations(document: &Value) -> Operations {
    let paths = document["paths"].as_object().expect("paths");
    let operations = paths.iter().map(|(path, item)| {
        let methods = item.as_object().into_iter().flatten();
        let methods = methods
            .filter(|(_, operation)| operation.get("responses").is_some())
            .map(|(method, _)| method.to_uppercase());
        (path.clone(), methods.collect())
    });
    operations.collect()
}

async fn document(node: &Node) -> Value {
    let answer = send(http().get(node.url("/openapi.json"))).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    answer.ok()
}

/// `UPDATE_GOLDEN=1 cargo test --test it openapi` writes the file.
#[tokio::test]
async fn docs_openapi_json_is_what_a_node_serves() {
    let (node, _database) = Node::on_fresh_database().await;
    let served = send(http().get(node.url("/openapi.json"))).await.text;
    let served = format!("{}\n", served.trim_end());
    let file = in_repository("docs/openapi.json");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &served).expect("the file can be written");
    }
    let golden = std::fs::read_to_string(&file).unwrap_or_default();
    if served != golden {
        let differs = served
            .lines()
            .zip(golden.lines().chain(std::iter::repeat("")))
            .enumerate()
            .find(|(_, (served, golden))| served != golden);
        panic!(
            "docs/openapi.json is not what the node serves; UPDATE_GOLDEN=1 writes it. \
             First difference: {differs:?}"
        );
    }
}

/// Every operation that is described is there, and every method that is not described is not.
#[tokio::test]
async fn every_operation_answers_and_no_other_does() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    ada.create_room("general").await;
    let operations = operations(&document(&node).await);
    assert!(operations.len() > 15, "{operations:?}");
    for path in operations.keys() {
        let methods = methods_at(&operations, path);
        let address = path
            .replace("/users/{id}", "/users/ada")
            .replace("{id}", "general")
            .replace("{user_id}", &ada.id)
            .replace("{invitation_id}", &ada.id)
            .replace("{message_id}", "00000000-0000-7000-8000-000000000000")
            .replace("{emoji}", "%F0%9F%91%8D");
        assert!(!address.contains('{'), "{address}: the test knows no value");
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] {
            let described =
                methods.contains(method) || (method == "HEAD" && methods.contains("GET"));
            let asked = Method::from_bytes(method.as_bytes()).expect("a method");
            // Without credentials: nobody is logged out or removed by this test.
            let request = http().request(asked, node.url(&address));
            let answer = send(request.json(&json!({}))).await;
            let is_there = !(answer.status == 405
                || answer.status == 404 && answer.text.contains("\"not_found\""));
            assert_eq!(is_there, described, "{method} {path}: {answer:?}");
        }
    }
}

/// The methods of an address: also those of paths with a name in place of one of its parts.
fn methods_at<'a>(operations: &'a Operations, address: &str) -> BTreeSet<&'a str> {
    let parts: Vec<_> = address.split('/').collect();
    let fits = |path: &str| {
        let pattern: Vec<_> = path.split('/').collect();
        let alike = |(part, other): (&&str, &&str)| part == other || part.starts_with('{');
        pattern.len() == parts.len() && pattern.iter().zip(&parts).all(alike)
    };
    let fitting = operations.iter().filter(|(path, _)| fits(path));
    fitting
        .flat_map(|(_, methods)| methods.iter().map(String::as_str))
        .collect()
}

/// Every route in the sources is described: those of this layer by the way they are registered,
/// others because this looks for them.
#[tokio::test]
async fn every_route_in_the_sources_is_described() {
    let (node, _database) = Node::on_fresh_database().await;
    let operations = operations(&document(&node).await);
    let described: BTreeSet<(String, String)> = operations
        .iter()
        .flat_map(|(path, methods)| methods.iter().map(|method| (method.clone(), path.clone())))
        .collect();
    let mut found = BTreeSet::new();
    for file in sources(&in_repository("src")) {
        let text = std::fs::read_to_string(&file).expect("a source");
        let text = text.replace("utoipa_actix_web::scope(", "");
        let name = file.display();
        // A protocol of its own, which docs/PROTOCOL.md describes.
        if file.ends_with("src/transport/socketio.rs") {
            continue;
        }
        for undescribed in [".route(", "web::resource(", "web::scope("] {
            assert!(
                !text.contains(undescribed),
                "{name}: {undescribed}…) registers a route without its description"
            );
        }
        for (method, path) in routes(&text) {
            // In no binary but that of the tests, src/fault.rs.
            if path.starts_with("/_fault/") {
                continue;
            }
            // Handlers of the REST resources stand in the scope /api.
            let whole = (method.clone(), format!("/api{path}"));
            let plain = (method, path);
            let known = [whole, plain.clone()]
                .into_iter()
                .find(|it| described.contains(it));
            let known = known.unwrap_or_else(|| panic!("{name}: {plain:?} is not described"));
            found.insert(known);
        }
    }
    assert_eq!(
        found, described,
        "and nothing is described that is not there"
    );
}

/// The `#[get("…")]` of a source.
fn routes(text: &str) -> impl Iterator<Item = (String, String)> {
    ["get", "post", "put", "patch", "delete", "head"]
        .into_iter()
        .flat_map(move |method| {
            let attribute = format!("#[{method}(\"");
            let found: Vec<_> = text
                .lines()
                .filter_map(|line| line.trim().strip_prefix(&attribute))
                .filter_map(|rest| rest.split_once('"'))
                .map(|(path, _)| (method.to_uppercase(), path.to_owned()))
                .collect();
            found
        })
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The names that a client generator would stumble over.
#[tokio::test]
async fn operations_have_names_of_their_own_and_references_lead_somewhere() {
    let (node, _database) = Node::on_fresh_database().await;
    let document = document(&node).await;
    let mut names = BTreeSet::new();
    for item in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.1.as_object().into_iter().flatten() {
            let name = operation["operationId"].as_str().expect("a name");
            assert!(names.insert(name.to_owned()), "{method} {}: {name}", item.0);
            assert!(operation["summary"].is_string(), "{name} says what it does");
        }
    }
    let text = document.to_string();
    for (_, after) in text
        .match_indices("\"$ref\":\"#")
        .map(|(at, _)| text.split_at(at + 9))
    {
        let pointer = after.split('"').next().unwrap_or_default();
        assert!(
            document.pointer(pointer).is_some(),
            "{pointer} leads nowhere"
        );
    }
}
