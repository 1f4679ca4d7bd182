//! Every dependency's licence is one that `deny.toml` allows. Needs no network.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use spdx::{Expression, LicenseReq, ParseMode};

/// The licences that `deny.toml` allows, by SPDX name.
struct Allowed(Vec<String>);

impl Allowed {
    fn from_file() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml");
        let text = std::fs::read_to_string(path).expect("deny.toml");
        let deny: toml::Table = text.parse().expect("deny.toml is TOML");
        let names = deny["licenses"]["allow"]
            .as_array()
            .expect("licenses.allow is a list");
        Self(
            names
                .iter()
                .map(|name| name.as_str().expect("a licence's name").to_owned())
                .collect(),
        )
    }

    /// Why a package of this licence may not be used.
    fn objection(&self, licence: Option<&str>) -> Option<String> {
        let Some(licence) = licence else {
            return Some("names no licence".to_owned());
        };
        // Old packages write "MIT/Apache-2.0" for "MIT OR Apache-2.0".
        match Expression::parse_mode(licence, ParseMode::LAX) {
            Err(error) => Some(format!(
                "has the licence {licence:?}, which is no SPDX expression: {}",
                error.reason
            )),
            Ok(expression) if expression.evaluate(|part| self.has(part)) => None,
            Ok(_) => Some(format!(
                "has the licence {licence:?}; allowed are {}",
                self.0.join(", ")
            )),
        }
    }

    fn has(&self, part: &LicenseReq) -> bool {
        self.0.contains(&part.to_string())
    }
}

/// The target that the tests run on: the dependencies of others need not be on this machine.
fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().expect("rustc");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.expect("a host").to_owned()
}

#[test]
fn every_dependency_has_an_allowed_licence() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline"])
        .args(["--filter-platform", &host()])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo metadata");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let nodes = metadata["resolve"]["nodes"].as_array().expect("nodes");
    let used: Vec<&Value> = nodes.iter().map(|node| &node["id"]).collect();
    let packages = metadata["packages"].as_array().expect("packages");
    let allowed = Allowed::from_file();
    let mut objections = Vec::new();
    for package in packages
        .iter()
        .filter(|package| used.contains(&&package["id"]))
    {
        if let Some(why) = allowed.objection(package["license"].as_str()) {
            let (name, version) = (&package["name"], &package["version"]);
            objections.push(format!("{name} {version} {why}"));
        }
    }
    assert!(
        used.len() > 100,
        "only {} packages were looked at",
        used.len()
    );
    assert!(objections.is_empty(), "{}", objections.join("\n"));
}

#[test]
fn licences_are_judged_as_expressions() {
    let allowed = Allowed(vec!["MIT".to_owned(), "Apache-2.0".to_owned()]);
    for good in [
        "MIT",
        "MIT/Apache-2.0",
        "Apache-2.0 / MIT",
        "GPL-3.0-only OR MIT",
        "(MIT OR Apache-2.0) AND Apache-2.0",
        "Apache-2.0 WITH LLVM-exception OR MIT",
    ] {
        assert_eq!(allowed.objection(Some(good)), None);
    }
    for bad in [
        Some("GPL-3.0-only"),
        Some("MIT AND GPL-3.0-only"),
        Some("Apache-2.0 WITH LLVM-exception"),
        Some("do what you like"),
        Some(""),
        None,
    ] {
        assert!(allowed.objection(bad).is_some(), "{bad:?}");
    }
}
