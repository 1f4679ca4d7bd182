//! `compose.yaml` and `Dockerfile`, as far as can be told without a container engine: the nodes' settings
//! are settings, nginx knows the nodes, and what is copied is there.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use ipnet::IpNet;
use serde_json::Value;

use crate::harness::node::NodeOptions;

const TOP: &str = env!("CARGO_MANIFEST_DIR");

/// `compose.yaml`, with its anchors and merges resolved.
fn compose() -> Value {
    let program =
        "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
    let python = Path::new(TOP).join("target/pyenv/bin/python");
    let output = Command::new(&python)
        .args(["-c", program])
        .arg(Path::new(TOP).join("compose.yaml"))
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; run `make setup`", python.display()));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn file(name: &str) -> String {
    std::fs::read_to_string(Path::new(TOP).join(name)).unwrap()
}

#[test]
fn the_nodes_of_compose_have_settings_that_a_node_takes_and_nginx_knows_them() {
    let compose = compose();
    let services = compose["services"].as_object().unwrap();
    let nodes: Vec<_> = services
        .keys()
        .filter(|name| name.starts_with("node-"))
        .collect();
    assert_eq!(nodes, ["node-1", "node-2", "node-3", "node-4"]);
    let nginx = file("nginx.conf");
    let network = &compose["networks"]["inside"]["ipam"]["config"][0];
    let net = |name: &str| network[name].as_str().unwrap().parse::<IpNet>().unwrap();
    let (subnet, others) = (net("subnet"), net("ip_range"));
    let mut places = HashSet::new();
    // Its folder is where the binary is run.
    let options = NodeOptions::embedded();
    for node in nodes {
        let service = &services[node];
        let environment = service["environment"].as_object().unwrap();
        for name in ["HUBBUB__NODE__ID", "HUBBUB__NODE__CLUSTER_ADDRESS"] {
            assert_eq!(environment[name], **node);
        }
        let mut check = options.command(&["config", "check"]);
        check.env_clear();
        for (name, value) in environment {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            // As Compose does; the password must be given.
            let value = value
                .replace("${POSTGRES_PASSWORD:?set a password}", "secret")
                .replace("${PUBLIC_URL:-http://localhost}", "http://localhost");
            assert!(!value.contains('$'), "{name}={value}");
            check.env(name, value);
        }
        let output = check.output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let trusted = environment["HUBBUB__HTTP__TRUSTED_PROXIES"].as_str();
        assert_eq!(trusted.unwrap().parse::<IpNet>().unwrap(), subnet);
        let bind = environment["HUBBUB__HTTP__BIND"].as_str().unwrap();
        let (_, port) = bind.rsplit_once(':').unwrap();
        assert!(nginx.contains(&format!(
            "server {node}:{port} max_fails=3 fail_timeout=30s;"
        )));
        let prefix = format!("\"~^{node}\\~\" at_{node};");
        assert!(nginx.contains(&prefix), "{prefix}");
        // A node that is started anew is where nginx knows it to be, and nobody else is.
        let place = service["networks"]["inside"]["ipv4_address"]
            .as_str()
            .unwrap();
        let place: IpAddr = place.parse().unwrap();
        assert!(subnet.contains(&place) && !others.contains(&place));
        assert!(places.insert(place), "{place} twice");
        let grace = service["stop_grace_period"].as_str().unwrap();
        let grace: u64 = grace.strip_suffix('s').unwrap().parse().unwrap();
        assert!(grace > 20, "longer than http.shutdown_grace_ms");
    }
    for (name, service) in services {
        let names = |of: &str| match &service[of] {
            Value::Object(names) => names.keys().cloned().collect(),
            names => (names.as_array().into_iter().flatten())
                .map(|it| it.as_str().unwrap().to_owned())
                .collect::<Vec<_>>(),
        };
        for other in names("depends_on") {
            assert!(services.contains_key(&other), "{name} waits for {other}");
        }
        for volume in names("volumes") {
            let (source, _) = volume.split_once(':').unwrap();
            let is_known = source.starts_with("./") || compose["volumes"].get(source).is_some();
            assert!(is_known, "{name}: {volume}");
        }
        assert_eq!(names("networks"), ["inside"], "{name}");
    }
    let volumes = services["nginx"]["volumes"].as_array().unwrap();
    assert!(
        volumes
            .iter()
            .any(|it| it == "./nginx.conf:/etc/nginx/nginx.conf:ro")
    );
    let published: Vec<_> = services
        .iter()
        .filter(|(_, it)| it.get("ports").is_some())
        .collect();
    assert_eq!(published.len(), 1, "nginx alone can be reached");
}

#[test]
fn the_image_is_built_from_what_is_there_and_runs_as_nobodys_user() {
    let dockerfile = file("Dockerfile");
    let lines = || dockerfile.lines().map(str::trim);
    let copied = lines().filter_map(|line| line.strip_prefix("COPY "));
    for copy in copied.filter(|copy| !copy.starts_with("--from=")) {
        let mut names: Vec<_> = copy.split(' ').collect();
        names.pop();
        for name in names {
            assert!(Path::new(TOP).join(name).exists(), "COPY {name}");
        }
    }
    // From one stage into a later one goes what the earlier one makes.
    let client = file("scripts/socketio-client");
    let client = client.lines().find_map(|line| line.strip_prefix("DIST="));
    let client = client.unwrap();
    for from in [
        format!("COPY --from=client /src/{client} {client}"),
        "COPY --from=build /src/target/release/hubbub /usr/local/bin/hubbub".to_owned(),
        "COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/".to_owned(),
    ] {
        assert!(lines().any(|line| line == from), "{from}");
    }
    assert!(lines().any(|line| line == "RUN scripts/socketio-client"));
    let ignored = file(".dockerignore");
    for needed in [
        "Cargo.lock",
        "build.rs",
        "config",
        "scripts",
        "sql",
        "src",
        "web",
        "docs",
    ] {
        assert!(ignored.lines().all(|line| line != needed), "{needed}");
    }
    // Production's binary everywhere.
    assert!(file("Makefile").contains("--features hubbub/jemalloc"));
    let built = dockerfile.matches("cargo build --release --locked --features jemalloc");
    assert_eq!(built.count(), 2);
    let place = |what: &str| {
        dockerfile
            .rfind(what)
            .unwrap_or_else(|| panic!("no {what}"))
    };
    let (user, entry) = (
        place("\nUSER hubbub\n"),
        place("\nENTRYPOINT [\"hubbub\"]\n"),
    );
    let last_stage = place("\nFROM ");
    assert!(last_stage < user && user < entry);
    // What it says is what the binary understands.
    let settings = lines()
        .map(|line| line.trim_start_matches("ENV ").trim_end_matches(" \\"))
        .filter_map(|line| line.strip_prefix("HUBBUB__")?.split_once('='));
    let options = NodeOptions::embedded();
    let mut check = options.command(&["config", "check"]);
    check.env_clear();
    let mut count = 0;
    for (name, value) in settings {
        check.env(format!("HUBBUB__{name}"), value);
        count += 1;
    }
    assert_eq!(count, 3);
    let exposed = lines().find_map(|line| line.strip_prefix("EXPOSE "));
    let bound = format!("HUBBUB__HTTP__BIND=0.0.0.0:{}", exposed.unwrap());
    assert!(dockerfile.contains(&bound), "{bound}");
    let output = check.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for command in ["serve", "health"] {
        assert!(dockerfile.contains(&format!("\"{command}\"]")));
        let help = options.command(&[command, "--help"]).output().unwrap();
        assert!(help.status.success(), "{command}");
    }
}
