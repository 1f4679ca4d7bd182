//! Socket.IO: its own options, under its own names and with its own defaults, and our bounds.

use serde::{Deserialize, Serialize};

use super::check::{Checks, DAY_S, GIB, TEN_MINUTES_MS};
use super::http::{is_origin, not_an_origin};
use super::node::is_name;

/// Any origin, among [`SocketIo::cors_origins`].
pub const ANY_ORIGIN: &str = "*";

/// Where the contract of Engine.IO alone is served, if [`SocketIo::echo_contract`] is set.
pub const ECHO_PATH: &str = "/engine.io/";

/// The section `socketio`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a setting that is on or off by itself"
)]
pub struct SocketIo {
    /// Whether it is served at all.
    pub enabled: bool,
    /// Where, with the slashes.
    pub path: String,
    /// By what clients may come.
    pub transports: Vec<SocketIoTransport>,
    /// Whether clients of Engine.IO 3 are served.
    pub allow_eio3: bool,
    /// Time between heartbeats.
    pub ping_interval_ms: u64,
    /// Longest wait for the answer to one.
    pub ping_timeout_ms: u64,
    /// Longest time for a change to a WebSocket.
    pub upgrade_timeout_ms: u64,
    /// Longest time until a client is in a namespace.
    pub connect_timeout_ms: u64,
    /// Longest time for the attachments of a packet.
    pub attachments_timeout_ms: u64,
    /// A session that the node ends waits this long for a poll that it can tell.
    pub close_timeout_ms: u64,
    /// Largest message, and largest body of a polling request, bytes.
    pub max_http_buffer_size: usize,
    /// Whether messages of sockets may be compressed.
    pub per_message_deflate: bool,
    /// Messages that are shorter are sent as they are.
    pub per_message_deflate_threshold_bytes: usize,
    /// Whether answers to polls may be compressed.
    pub http_compression: bool,
    /// Answers that are shorter are sent as they are.
    pub http_compression_threshold_bytes: usize,
    /// The name of a cookie with the session's id; empty is none.
    pub cookie: String,
    /// The cookie's `Path`.
    pub cookie_path: String,
    /// Whether the cookie is `HttpOnly`.
    pub cookie_http_only: bool,
    /// The cookie's `SameSite`.
    pub cookie_same_site: SocketIoSameSite,
    /// The cookie's `Max-Age`; 0 is until the browser is closed.
    pub cookie_max_age_s: u64,
    /// Further origins whose pages may come without cookies.
    pub cors_origins: Vec<String>,
    /// Whether the browser's client is served.
    pub serve_client: bool,
    /// Sessions of this node at most; 0 is no bound of their own.
    pub max_sessions: usize,
    /// Bytes that may wait for a poll.
    pub queue_max_bytes: usize,
    /// Packets that may wait for a poll.
    pub queue_max_packets: usize,
    /// Namespaces that one client may be in.
    pub max_namespaces: usize,
    /// So many times a client may be refused.
    pub max_refusals: usize,
    /// Acknowledgements of one client that may be awaited.
    pub max_awaited_acks: usize,
    /// The longest wait for one.
    pub ack_timeout_ms: u64,
    /// So many may be awaited on behalf of all who ask.
    pub max_asks: usize,
    /// Serves what the protocol's own suites expect, and nothing else.
    pub echo_contract: bool,
}

/// A way in which packets travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SocketIoTransport {
    /// Requests by HTTP.
    Polling,
    /// A WebSocket.
    Websocket,
}

/// The `SameSite` attribute of a cookie with a session's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SocketIoSameSite {
    /// Sent with links from elsewhere.
    Lax,
    /// Sent from our own pages only.
    Strict,
    /// Sent from everywhere; browsers want it `Secure` then.
    None,
}

impl SocketIo {
    /// Whether clients may come by that.
    #[must_use]
    pub fn offers(&self, transport: SocketIoTransport) -> bool {
        self.transports.contains(&transport)
    }

    /// Whether its transport answers at a path.
    #[must_use]
    pub fn is_at(&self, path: &str) -> bool {
        self.enabled && (path == self.path || (self.echo_contract && path == ECHO_PATH))
    }

    pub(super) fn check(&self, checks: &mut Checks) {
        self.check_address(checks);
        self.check_times(checks);
        self.check_sizes(checks);
        self.check_cookie(checks);
    }

    fn check_address(&self, checks: &mut Checks) {
        checks.require(is_path(&self.path), "socketio.path", || {
            format!("{:?} is not a path of its own", self.path)
        });
        checks.require(!self.transports.is_empty(), "socketio.transports", || {
            "nobody could come".to_owned()
        });
        for origin in &self.cors_origins {
            checks.require(
                origin == ANY_ORIGIN || is_origin(origin),
                "socketio.cors_origins",
                || not_an_origin(origin),
            );
        }
    }

    fn check_times(&self, checks: &mut Checks) {
        for (key, value) in [
            ("socketio.ping_interval_ms", self.ping_interval_ms),
            ("socketio.ping_timeout_ms", self.ping_timeout_ms),
            ("socketio.upgrade_timeout_ms", self.upgrade_timeout_ms),
            ("socketio.connect_timeout_ms", self.connect_timeout_ms),
            (
                "socketio.attachments_timeout_ms",
                self.attachments_timeout_ms,
            ),
            ("socketio.close_timeout_ms", self.close_timeout_ms),
            ("socketio.ack_timeout_ms", self.ack_timeout_ms),
        ] {
            checks.range(key, value, 10..=TEN_MINUTES_MS);
        }
    }

    fn check_sizes(&self, checks: &mut Checks) {
        checks.range(
            "socketio.max_http_buffer_size",
            self.max_http_buffer_size,
            1024..=GIB,
        );
        checks.range(
            "socketio.per_message_deflate_threshold_bytes",
            self.per_message_deflate_threshold_bytes,
            0..=GIB,
        );
        checks.range(
            "socketio.http_compression_threshold_bytes",
            self.http_compression_threshold_bytes,
            0..=GIB,
        );
        checks.range("socketio.max_sessions", self.max_sessions, 0..=10_000_000);
        checks.range("socketio.queue_max_bytes", self.queue_max_bytes, 1024..=GIB);
        checks.range(
            "socketio.queue_max_packets",
            self.queue_max_packets,
            1..=1_000_000,
        );
        checks.range("socketio.max_namespaces", self.max_namespaces, 1..=1000);
        checks.range("socketio.max_refusals", self.max_refusals, 1..=1000);
        checks.range(
            "socketio.max_awaited_acks",
            self.max_awaited_acks,
            1..=100_000,
        );
        checks.range("socketio.max_asks", self.max_asks, 1..=10_000);
    }

    fn check_cookie(&self, checks: &mut Checks) {
        checks.require(
            self.cookie.is_empty() || is_name(&self.cookie),
            "socketio.cookie",
            || format!("{:?} is too long or has other characters", self.cookie),
        );
        let is_path = self.cookie_path.starts_with('/')
            && self.cookie_path.len() <= 256
            && self
                .cookie_path
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b";,\"\\".contains(&byte));
        checks.require(is_path, "socketio.cookie_path", || {
            format!("{:?} is not a path", self.cookie_path)
        });
        checks.range(
            "socketio.cookie_max_age_s",
            self.cookie_max_age_s,
            0..=365 * DAY_S,
        );
    }
}

/// Whether a path begins and ends with a slash, has something between, and leaves the node's other
/// addresses alone.
fn is_path(path: &str) -> bool {
    let inner = path
        .strip_prefix('/')
        .and_then(|path| path.strip_suffix('/'));
    inner.is_some_and(|inner| {
        let mut parts = inner.split('/');
        let first = parts.clone().next().unwrap_or_default();
        path.len() <= 64
            && parts.all(|part| {
                !part.is_empty()
                    && part.bytes().any(|byte| byte != b'.')
                    && part
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
            })
            && !["api", "assets", "engine.io", "health", "metrics", "ws"].contains(&first)
    })
}

#[cfg(test)]
mod tests {
    use super::is_path;

    #[test]
    fn paths_stand_for_themselves() {
        for good in ["/socket.io/", "/a/", "/apis/socket.io/", "/v1/socket_io/"] {
            assert!(is_path(good), "{good}");
        }
        for bad in [
            "",
            "/",
            "//",
            "/socket.io",
            "socket.io/",
            "/a//b/",
            "/../",
            "/a b/",
            "/api/",
            "/ws/",
            "/engine.io/",
            "/{id}/",
        ] {
            assert!(!is_path(bad), "{bad}");
        }
    }
}
