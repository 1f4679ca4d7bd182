//! Listening, HTTP and stopping.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::check::{Checks, DAY_S, GIB, HOUR_MS, TEN_MINUTES_MS};
use super::optional;

/// A connection that is told to move waits this long for what it was promised, milliseconds.
pub const DRAIN_ANSWERS_MS: u64 = 5000;

/// The section `http`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Where the node listens; port 0 takes a free one.
    pub bind: SocketAddr,
    /// Worker threads; 0 is one for each core.
    pub workers: usize,
    /// The file with the certificate; without it the port speaks plain HTTP.
    #[serde(with = "optional")]
    pub tls_cert: Option<PathBuf>,
    /// The file with its private key.
    #[serde(with = "optional")]
    pub tls_key: Option<PathBuf>,
    /// Longest time for a TLS handshake.
    pub tls_handshake_timeout_ms: u64,
    /// TLS handshakes under way at once.
    pub tls_handshakes_max: usize,
    /// The origin at which browsers reach the node, if not that of the request.
    #[serde(with = "optional")]
    pub public_url: Option<String>,
    /// Further origins that may use cookies and open connections.
    pub allowed_origins: Vec<String>,
    /// Largest body of a REST request.
    pub max_body_bytes: usize,
    /// Longest time for the head of a request.
    pub request_head_timeout_ms: u64,
    /// Longest time for the body of a request.
    pub request_body_timeout_ms: u64,
    /// Longest time in which a client takes nothing of its answer.
    pub write_timeout_ms: u64,
    /// Largest head of a request.
    pub max_head_bytes: usize,
    /// What is read of a connection of HTTP/1 while a request is answered.
    pub read_ahead_bytes: usize,
    /// Requests that an HTTP/2 connection may have at once.
    pub http2_max_streams: u32,
    /// How long a connection without a request stays open.
    pub keep_alive_s: u64,
    /// Connections that the kernel holds until they are accepted.
    pub backlog: u32,
    /// WebSocket connections and event streams of this node at most.
    pub max_connections: usize,
    /// TCP connections of this node at most.
    pub max_tcp_connections: usize,
    /// Connections of one client's address at most; 0 is no bound.
    pub max_connections_per_address: usize,
    /// Time over which clients are told to move when the node stops.
    pub drain_ms: u64,
    /// Time from the order to stop until clients and requests are cut off.
    pub shutdown_grace_ms: u64,
    /// Networks of proxies whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
}

impl Http {
    /// Whether the port speaks TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls_cert.is_some()
    }

    /// The scheme of the port.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.is_tls() { "https" } else { "http" }
    }

    pub(super) fn check(&self, checks: &mut Checks) {
        checks.require(
            self.tls_key.is_none() || self.tls_cert.is_some(),
            "http.tls_cert",
            || "is not set, and http.tls_key is".to_owned(),
        );
        checks.require(
            self.tls_cert.is_none() || self.tls_key.is_some(),
            "http.tls_key",
            || "is not set, and http.tls_cert is".to_owned(),
        );
        checks.range(
            "http.tls_handshake_timeout_ms",
            self.tls_handshake_timeout_ms,
            100..=TEN_MINUTES_MS,
        );
        checks.range(
            "http.tls_handshakes_max",
            self.tls_handshakes_max,
            1..=1_000_000,
        );
        checks.range("http.workers", self.workers, 0..=1024);
        if let Some(url) = &self.public_url {
            checks.require(is_origin(url), "http.public_url", || not_an_origin(url));
        }
        for network in &self.trusted_proxies {
            checks.require(network.prefix_len() > 0, "http.trusted_proxies", || {
                format!("{network} is everybody, and everybody could name any address")
            });
            super::check::network(checks, "http.trusted_proxies", network);
        }
        for origin in &self.allowed_origins {
            checks.require(is_origin(origin), "http.allowed_origins", || {
                not_an_origin(origin)
            });
        }
        checks.range("http.max_body_bytes", self.max_body_bytes, 1024..=GIB);
        checks.range(
            "http.request_head_timeout_ms",
            self.request_head_timeout_ms,
            // actix-http reckons with a clock that moves every 500 ms, and never notices an end
            // that is over when it begins to wait.
            1000..=TEN_MINUTES_MS,
        );
        checks.range(
            "http.request_body_timeout_ms",
            self.request_body_timeout_ms,
            100..=TEN_MINUTES_MS,
        );
        checks.range(
            "http.write_timeout_ms",
            self.write_timeout_ms,
            100..=TEN_MINUTES_MS,
        );
        // Below what actix-http buffers (131,072), or it would go round in circles.
        checks.range(
            "http.read_ahead_bytes",
            self.read_ahead_bytes,
            1024..=65_536,
        );
        // The HTTP library takes no more than 131,072 over HTTP/1.
        checks.range("http.max_head_bytes", self.max_head_bytes, 8192..=131_072);
        checks.range("http.http2_max_streams", self.http2_max_streams, 1..=10_000);
        checks.range("http.keep_alive_s", self.keep_alive_s, 1..=DAY_S);
        checks.range("http.backlog", self.backlog, 1..=65_535);
        checks.range("http.max_connections", self.max_connections, 0..=10_000_000);
        checks.range(
            "http.max_tcp_connections",
            self.max_tcp_connections,
            0..=10_000_000,
        );
        checks.range(
            "http.max_connections_per_address",
            self.max_connections_per_address,
            0..=10_000_000,
        );
        checks.range("http.drain_ms", self.drain_ms, 0..=TEN_MINUTES_MS);
        checks.range(
            "http.shutdown_grace_ms",
            self.shutdown_grace_ms,
            1..=HOUR_MS,
        );
    }
}

/// Whether `text` is an origin as browsers send it: scheme, host and port, nothing after.
pub(super) fn is_origin(text: &str) -> bool {
    let Some(authority) = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
    else {
        return false;
    };
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !authority.ends_with(']') => {
            if port.parse::<u16>().is_err() {
                return false;
            }
            host
        }
        _ => authority,
    };
    let literal = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    match literal {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        // Upper case is refused, since browsers send lower case and the comparison is exact.
        None => {
            !host.is_empty()
                && host.bytes().all(|byte| {
                    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte)
                })
        }
    }
}

/// What is said of a text that is none.
pub(super) fn not_an_origin(text: &str) -> String {
    format!("{text:?} is not an origin (scheme, host and port in lower case, without a path)")
}

#[cfg(test)]
mod tests {
    use super::is_origin;

    #[test]
    fn origins_are_exact() {
        for good in [
            "https://chat.example.org",
            "http://localhost:3000",
            "http://127.0.0.1:80",
            "http://[::1]",
            "http://[::1]:8080",
        ] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "",
            "*",
            "null",
            "chat.example.org",
            "https://",
            "https://chat.example.org/",
            "https://Chat.example.org",
            "https://user@host",
            "https://host:99999",
            "https://host:",
            "http://[::g]",
            "ws://host",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
    }
}
