//! What can be measured of accepting connections.

use std::sync::LazyLock;

use prometheus::{Histogram, IntCounterVec, IntGauge};

use crate::metric;

/// TCP connections that are open, of whatever kind.
pub(super) static TCP_CONNECTIONS: LazyLock<IntGauge> =
    LazyLock::new(|| metric::gauge("http_open_connections", "TCP connections that are open"));

/// Connections that were turned away or cut off before their first request, by `reason`: `total`
/// and `address` (as many as may be), `sockets` (a socket or stream too many), `silent` (nothing
/// was sent), `handshake_timeout`, `handshake_failed`, `not_tls`.
pub(super) static REFUSED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metric::counters(
        "http_connections_refused_total",
        "Connections turned away or cut off before their first request",
        &["reason"],
    )
});

/// Connections that were cut off by `reason`: `not_reading` (the peer took nothing of an answer for
/// `http.write_timeout_ms`), `read_ahead` (it sent too much beside an event stream), `streams` (more
/// than twice `http.http2_max_streams` requests at once), `head` (over HTTP/2 a request's head of more
/// than `http.max_head_bytes`).
pub(super) static CUT: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metric::counters(
        "http_connections_cut_total",
        "Connections cut off after their first request",
        &["reason"],
    )
});

/// TLS handshakes that were completed, by `kind`: `full`, `resumed`.
pub(super) static TLS_HANDSHAKES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metric::counters(
        "tls_handshakes_total",
        "TLS handshakes that were completed",
        &["kind"],
    )
});

/// From a connection's first byte to the end of its TLS handshake, seconds.
pub(super) static TLS_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    metric::histogram(
        "tls_handshake_seconds",
        "Time from a connection's first byte to the end of its TLS handshake",
        &[
            0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
        ],
    )
});

/// Requests of Socket.IO, by `request` (`open`, `poll`, `post`, `upgrade`), `way` (`here`, `passed_on`
/// to another node) and `outcome`: `ok`, or why not.
pub(super) static SOCKETIO_REQUESTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metric::counters(
        "socketio_requests_total",
        "Requests of Socket.IO",
        &["request", "way", "outcome"],
    )
});

/// Sockets of Socket.IO whose bytes this node carries to and from another one.
pub(super) static SOCKETIO_TUNNELS: LazyLock<IntGauge> = LazyLock::new(|| {
    metric::gauge(
        "socketio_tunnels",
        "WebSockets of Socket.IO that are carried to another node",
    )
});
