//! The proxy's configuration: `nginx.conf` of this repository, with other addresses and paths. Pure.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The file as it is.
const TEMPLATE: &str = include_str!("../../nginx.conf");

/// What is different here.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where clients come.
    pub listen: SocketAddr,
    /// The nodes' addresses; the first is `node-1`.
    pub nodes: Vec<SocketAddr>,
    /// Where nginx keeps what it keeps.
    pub folder: PathBuf,
}

/// The configuration. A line that names `node-1` is written once for each node, those that name the
/// other nodes of the template are left out.
#[must_use]
pub fn configuration(settings: &Settings) -> String {
    let folder = settings.folder.display().to_string();
    let mut text = String::with_capacity(TEMPLATE.len() * 2);
    for line in TEMPLATE.lines() {
        let code = line.trim_start();
        let is_comment = code.starts_with('#') && !code.starts_with("#tls ");
        if is_comment || code.contains("listen [::]") {
            continue;
        }
        if code.contains("node-1") {
            for (number, address) in (1..).zip(&settings.nodes) {
                let line = line
                    .replace("node-1:8080", &address.to_string())
                    .replace("node-1", &format!("node-{number}"));
                // Writing to a string does not fail.
                let _ = writeln!(text, "{line}");
            }
            continue;
        }
        if is_of_another_node(code) {
            continue;
        }
        let line = line
            .replace("listen 80 ", &format!("listen {} ", settings.listen))
            // Nobody else is asked to own files here.
            .replace("user nginx;", "user root;")
            .replace("worker_processes auto;", "worker_processes 2;")
            .replace("worker_rlimit_nofile 131072;", "")
            .replace("worker_connections 32768;", "worker_connections 8192;")
            .replace("/run/nginx.pid", &format!("\"{folder}/nginx.pid\""))
            .replace("/dev/stderr", "stderr")
            .replace("/dev/stdout", &format!("\"{folder}/access.log\""));
        let line = with_folder(&line, &folder);
        let _ = writeln!(text, "{line}");
    }
    text
}

/// Whether a line names one of the template's nodes.
fn is_of_another_node(code: &str) -> bool {
    code.match_indices("node-")
        .any(|(at, _)| code[at + "node-".len()..].starts_with(|next: char| next.is_ascii_digit()))
}

/// A path below nginx's cache, below `folder` instead.
fn with_folder(line: &str, folder: &str) -> String {
    const CACHE: &str = "/var/cache/nginx/";
    let Some((before, after)) = line.split_once(CACHE) else {
        return line.to_owned();
    };
    let end = after.find([' ', ';']).unwrap_or(after.len());
    let (name, rest) = after.split_at(end);
    format!("{before}\"{folder}/{name}\"{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(nodes: u16) -> String {
        configuration(&Settings {
            listen: "127.0.0.1:8080".parse().unwrap(),
            nodes: (0..nodes)
                .map(|number| SocketAddr::from(([127, 0, 0, 1], 9000 + number)))
                .collect(),
            folder: "/tmp/a b/nginx".into(),
        })
    }

    #[test]
    fn every_node_is_there_and_nothing_of_the_template_is_left() {
        for nodes in [1, 4, 6] {
            let text = with(nodes);
            for number in 0..nodes {
                let address = format!("server 127.0.0.1:{} max_fails=3", 9000 + number);
                assert_eq!(text.matches(&address).count(), 2, "{address}\n{text}");
                let prefix = format!("\"~^node-{}\\~\" at_node-{};", number + 1, number + 1);
                assert!(text.contains(&prefix), "{prefix}\n{text}");
            }
            assert!(!text.contains(&format!("node-{}", nodes + 1)), "{text}");
            for gone in [
                ":8080 max_fails",
                "/var/",
                "/run/",
                "/dev/",
                "listen 80",
                "[::]",
                "user nginx",
            ] {
                assert!(!text.contains(gone), "{gone}\n{text}");
            }
            assert!(text.contains("listen 127.0.0.1:8080 default_server;"));
            assert!(text.contains("proxy_temp_path \"/tmp/a b/nginx/proxy_temp\";"));
        }
    }
}
