//! Connections: sizes, queues and waits.

use serde::{Deserialize, Serialize};

use super::check::{Checks, DAY_S, GIB, TEN_MINUTES_MS};

/// The section `websocket`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebSocket {
    /// Largest message from a client.
    pub max_message_bytes: usize,
    /// Whether messages may be compressed (permessage-deflate).
    pub deflate: bool,
    /// Messages that are shorter are sent as they are.
    pub deflate_threshold_bytes: usize,
    /// Messages that are longer are sent as they are.
    pub deflate_max_bytes: usize,
    /// How much trouble is taken to make messages short.
    pub deflate_level: u32,
    /// Rooms that one connection may be in.
    pub max_rooms: usize,
    /// Commands of one connection that may wait for their reply.
    pub max_inflight: usize,
    /// Bytes that may wait for one client.
    pub outbox_max_bytes: usize,
    /// Fill of the outbox above which ephemeral pushes are dropped.
    pub ephemeral_max_bytes: usize,
    /// What has waited for longer makes its client a slow one.
    pub outbox_max_age_ms: u64,
    /// A client whose outbox is full and takes nothing for longer is a slow one.
    pub outbox_max_stall_ms: u64,
    /// A room sends to its clients at most once in this time.
    pub coalesce_ms: u64,
    /// `TCP_NOTSENT_LOWAT` of a socket; 0 leaves it to the kernel.
    pub notsent_lowat_bytes: u32,
    /// `SO_SNDBUF` of a socket; 0 leaves it to the kernel.
    pub send_buffer_bytes: usize,
    /// Time between pings.
    pub ping_interval_s: u64,
    /// Longest wait for the answer to a ping.
    pub ping_timeout_s: u64,
    /// A connection without credentials is closed after this time.
    pub auth_timeout_s: u64,
    /// A connection in no room and without commands is closed after this time.
    pub idle_timeout_s: u64,
    /// Longest wait for the answer to a close frame.
    pub close_timeout_ms: u64,
    /// Longest time for one command.
    pub command_timeout_ms: u64,
    /// Opens `/ws/echo`.
    pub echo_contract: bool,
    /// Largest message that is given back there.
    pub echo_max_message_bytes: usize,
}

impl WebSocket {
    pub(super) fn check(&self, checks: &mut Checks) {
        checks.range(
            "websocket.max_message_bytes",
            self.max_message_bytes,
            1024..=GIB,
        );
        checks.range(
            "websocket.deflate_threshold_bytes",
            self.deflate_threshold_bytes,
            0..=GIB,
        );
        checks.range(
            "websocket.deflate_max_bytes",
            self.deflate_max_bytes,
            0..=GIB,
        );
        checks.range("websocket.deflate_level", self.deflate_level, 1..=9);
        checks.range("websocket.max_rooms", self.max_rooms, 1..=100_000);
        checks.range("websocket.max_inflight", self.max_inflight, 1..=100_000);
        checks.range(
            "websocket.outbox_max_bytes",
            self.outbox_max_bytes,
            1024..=GIB,
        );
        checks.at_least(
            ("websocket.outbox_max_bytes", self.outbox_max_bytes),
            ("websocket.max_message_bytes", self.max_message_bytes),
        );
        checks.range(
            "websocket.ephemeral_max_bytes",
            self.ephemeral_max_bytes,
            0..=GIB,
        );
        checks.at_most(
            ("websocket.ephemeral_max_bytes", self.ephemeral_max_bytes),
            ("websocket.outbox_max_bytes", self.outbox_max_bytes),
        );
        checks.range(
            "websocket.outbox_max_age_ms",
            self.outbox_max_age_ms,
            1..=TEN_MINUTES_MS,
        );
        checks.range(
            "websocket.outbox_max_stall_ms",
            self.outbox_max_stall_ms,
            1..=TEN_MINUTES_MS,
        );
        checks.range("websocket.coalesce_ms", self.coalesce_ms, 0..=1000);
        if self.notsent_lowat_bytes != 0 {
            checks.range(
                "websocket.notsent_lowat_bytes",
                self.notsent_lowat_bytes,
                1024..=1_073_741_824,
            );
        }
        if self.send_buffer_bytes != 0 {
            checks.range(
                "websocket.send_buffer_bytes",
                self.send_buffer_bytes,
                4096..=GIB,
            );
        }
        for (key, value) in [
            ("websocket.ping_interval_s", self.ping_interval_s),
            ("websocket.ping_timeout_s", self.ping_timeout_s),
            ("websocket.auth_timeout_s", self.auth_timeout_s),
        ] {
            checks.range(key, value, 1..=3600);
        }
        checks.range("websocket.idle_timeout_s", self.idle_timeout_s, 1..=DAY_S);
        checks.range(
            "websocket.close_timeout_ms",
            self.close_timeout_ms,
            1..=60_000,
        );
        checks.range(
            "websocket.command_timeout_ms",
            self.command_timeout_ms,
            1..=TEN_MINUTES_MS,
        );
        checks.range(
            "websocket.echo_max_message_bytes",
            self.echo_max_message_bytes,
            1024..=GIB,
        );
    }
}
