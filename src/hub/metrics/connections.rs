//! What is counted of connections of whatever kind: how many there are, and more of those of
//! Socket.IO.

use std::sync::LazyLock;

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec};

use crate::metric::{counters, gauge, gauges};

/// Open WebSocket connections, and sessions of Engine.IO.
pub(crate) static CONNECTIONS: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge(
        "websocket_active_connections",
        "Open WebSocket connections, sessions of Engine.IO that poll among them",
    )
});

/// Open event streams.
pub(crate) static STREAMS: LazyLock<IntGauge> =
    LazyLock::new(|| gauge("sse_active_streams", "Open event streams"));

/// Sessions, by what they go by.
pub(crate) static SOCKETIO_SESSIONS: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    gauges(
        "socketio_sessions",
        "Sessions of Engine.IO, by what they go by now",
        &["transport"],
    )
});

/// Sessions that have ended, by why: those that were reaped as `ping_timeout`.
pub(crate) static SOCKETIO_ENDED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "socketio_sessions_ended_total",
        "Sessions of Engine.IO that have ended, by why; ping_timeout: the client was gone",
        &["reason"],
    )
});

/// Requests and sessions that were refused, by why.
pub(crate) static SOCKETIO_REFUSED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "socketio_refused_total",
        "Requests of Engine.IO that were refused by a session or for want of one, by why",
        &["reason"],
    )
});

/// Events that clients of this node were to acknowledge, by what became of it.
pub(crate) static SOCKETIO_ASKED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "socketio_asked_total",
        "Events that clients of this node were to acknowledge, by what became of it; late: \
         acknowledgements for which nobody waited any longer",
        &["outcome"],
    )
});

/// Clients that came back, by whether they recovered what they had missed.
pub(crate) static SOCKETIO_RECOVERIES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "socketio_recoveries_total",
        "Clients of Socket.IO that came back, by whether they recovered what they had missed",
        &["outcome"],
    )
});
