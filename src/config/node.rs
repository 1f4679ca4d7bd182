//! The node's name and folder.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::check::{Checks, HOUR_MS};

/// The section `node`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// The node's name; empty: made once and kept in `data_dir/node_id`.
    pub id: String,
    /// The folder for what the node keeps.
    pub data_dir: PathBuf,
    /// How long others take the node for living after they have last heard of it.
    pub lease_ms: u64,
    /// How often it renews its lease and looks at those of others.
    pub report_ms: u64,
    /// Where the node listens for other nodes.
    pub cluster_bind: SocketAddr,
    /// Where other nodes find it there, as `host`, or `host:port`; empty: what was bound.
    pub cluster_address: String,
}

impl Node {
    pub(super) fn check(&self, checks: &mut Checks) {
        checks.require(self.id.is_empty() || is_name(&self.id), "node.id", || {
            format!("{:?} is too long or has other characters", self.id)
        });
        checks.require(
            !self.data_dir.as_os_str().is_empty(),
            "node.data_dir",
            || "it is empty".to_owned(),
        );
        checks.range("node.lease_ms", self.lease_ms, 1000..=HOUR_MS);
        checks.range("node.report_ms", self.report_ms, 100..=HOUR_MS);
        checks.require(
            self.report_ms <= self.lease_ms / 3,
            "node.report_ms",
            || "it is more than a third of node.lease_ms".to_owned(),
        );
        let address = &self.cluster_address;
        let (bind, is_empty) = (self.cluster_bind, address.is_empty());
        checks.require(
            !(is_empty && bind.ip().is_unspecified()),
            "node.cluster_address",
            || format!("it is empty, and nobody can be told to come to {bind}"),
        );
        checks.require(
            is_empty || is_host_and_port(address),
            "node.cluster_address",
            || format!("{address:?} is no host with or without a port"),
        );
    }

    /// Where other nodes find this one, which listens for them at `bound`.
    #[must_use]
    pub fn cluster_address(&self, bound: SocketAddr) -> String {
        let address = &self.cluster_address;
        if address.is_empty() {
            bound.to_string()
        } else if has_port(address) {
            address.clone()
        } else {
            format!("{address}:{}", bound.port())
        }
    }
}

/// Whether `text` is a name, an IPv4 address or an IPv6 address in brackets, with or without a port.
fn is_host_and_port(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if has_port(text) => (host, Some(port)),
        _ => (text, None),
    };
    let is_host = match host.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            (1..=253).contains(&host.len())
                && host
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        }
    };
    is_host && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Whether an address ends with a port. The colons of an IPv6 address stand in brackets.
fn has_port(address: &str) -> bool {
    address
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.contains(']'))
}

/// Whether `text` is 1 to 64 characters that need no escaping in a path, a cookie or a log.
pub(super) fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advertised_address_has_a_port() {
        let node = |address: &str| Node {
            id: String::new(),
            data_dir: PathBuf::new(),
            lease_ms: 10_000,
            report_ms: 2000,
            cluster_bind: ([0, 0, 0, 0], 0).into(),
            cluster_address: address.to_owned(),
        };
        let bound = SocketAddr::from(([127, 0, 0, 1], 7000));
        assert_eq!(node("").cluster_address(bound), "127.0.0.1:7000");
        assert_eq!(node("db.lan").cluster_address(bound), "db.lan:7000");
        assert_eq!(node("db.lan:1").cluster_address(bound), "db.lan:1");
        assert_eq!(node("[::1]").cluster_address(bound), "[::1]:7000");
        assert_eq!(node("[::1]:2").cluster_address(bound), "[::1]:2");
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for good in ["a", "a:1", "10.0.0.1", "[::1]:80", "n_1.a-b:65535"] {
            assert!(is_host_and_port(good), "{good}");
        }
        for bad in [
            "", ":1", "a:0", "a:65536", "a:b", "a/b", "::1", "[x]:1", "a b", "u@h:1",
        ] {
            assert!(!is_host_and_port(bad), "{bad}");
        }
    }
}
