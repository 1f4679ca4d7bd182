//! The handshake: what an open packet tells the client.

use std::time::Duration;

use serde::Serialize;

use super::packet::Packet;
use super::{Revision, Transport};

/// What the client is told when its session begins.
#[derive(Clone, Copy, Debug)]
pub struct Open<'a> {
    /// The session's id, which all further requests carry.
    pub sid: &'a str,
    /// Whether it may change to a WebSocket.
    pub may_upgrade: bool,
    /// How often there is a heartbeat.
    pub ping_interval: Duration,
    /// How long to wait for the other side's.
    pub ping_timeout: Duration,
    /// At most so many bytes fit into a request, or into a message of a WebSocket.
    pub max_payload_bytes: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    sid: &'a str,
    upgrades: &'a [&'a str],
    ping_interval: u128,
    ping_timeout: u128,
    /// Revision 3 does not know of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_payload: Option<usize>,
}

impl Open<'_> {
    /// The packet.
    #[must_use]
    pub fn packet(&self, revision: Revision) -> Packet<'static> {
        let wire = Wire {
            sid: self.sid,
            upgrades: if self.may_upgrade {
                &[Transport::Websocket.name()]
            } else {
                &[]
            },
            ping_interval: self.ping_interval.as_millis(),
            ping_timeout: self.ping_timeout.as_millis(),
            max_payload: (revision == Revision::V4).then_some(self.max_payload_bytes),
        };
        // Strings and numbers always have a form in JSON.
        Packet::Open(serde_json::to_string(&wire).unwrap_or_default().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Open<'static> = Open {
        sid: "lv_VI97HAXpY6yYWAAAC",
        may_upgrade: true,
        ping_interval: Duration::from_secs(25),
        ping_timeout: Duration::from_secs(20),
        max_payload_bytes: 1_000_000,
    };

    fn json(packet: Packet<'_>) -> String {
        let Packet::Open(json) = packet else {
            panic!("{packet:?}")
        };
        json.into()
    }

    /// "it MUST respond with an `open` packet with the following JSON-encoded payload".
    #[test]
    fn a_session_begins_with_what_the_client_must_know() {
        assert_eq!(
            json(OPEN.packet(Revision::V4)),
            r#"{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#
        );
        assert_eq!(
            json(OPEN.packet(Revision::V3)),
            r#"{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000}"#
        );
    }

    #[test]
    fn a_websocket_cannot_become_something_better() {
        let open = Open {
            may_upgrade: false,
            ..OPEN
        };
        assert!(json(open.packet(Revision::V4)).contains(r#""upgrades":[],"#));
    }
}
