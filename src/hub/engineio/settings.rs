//! The settings of sessions, as those without I/O have them.

use std::time::Duration;

use crate::config;
use crate::protocol::engineio::session::Settings;
use crate::protocol::socketio;

/// What sessions of Engine.IO go by.
pub(super) fn engine_settings(config: &config::Config) -> Settings {
    let config::SocketIo {
        ping_interval_ms,
        ping_timeout_ms,
        upgrade_timeout_ms,
        close_timeout_ms,
        max_http_buffer_size,
        queue_max_packets,
        queue_max_bytes,
        ..
    } = config.socketio;
    Settings {
        ping_interval: Duration::from_millis(ping_interval_ms),
        ping_timeout: Duration::from_millis(ping_timeout_ms),
        upgrade_timeout: Duration::from_millis(upgrade_timeout_ms),
        close_timeout: Duration::from_millis(close_timeout_ms),
        may_upgrade: config.socketio.offers(config::SocketIoTransport::Websocket),
        max_payload_bytes: max_http_buffer_size,
        // What is bounded by the outbox comes here in one piece.
        queue_bytes: 2 * queue_max_bytes.max(config.websocket.outbox_max_bytes),
        queue_packets: queue_max_packets,
    }
}

/// What those of Socket.IO above them go by.
pub(super) fn socketio_settings(config: &config::SocketIo) -> socketio::session::Settings {
    socketio::session::Settings {
        connect_timeout: Duration::from_millis(config.connect_timeout_ms),
        attachments_timeout: Duration::from_millis(config.attachments_timeout_ms),
        packet_bytes: config.max_http_buffer_size,
        namespaces: config.max_namespaces,
        refusals: config.max_refusals,
        awaited: config.max_awaited_acks,
    }
}
