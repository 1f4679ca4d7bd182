//! WebSocket framing, RFC 6455 (to be written).
