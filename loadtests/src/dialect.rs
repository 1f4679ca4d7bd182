//! How each kind of server is spoken to: the handshake, joining, publishing, and what it says
//! besides deliveries, which are known by their [`crate::marker`] alone.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::frames::{BINARY, Frame, TEXT, from_client};

/// The key of every handshake, and what a server must answer to it (RFC 6455, section 1.3).
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A protocol over WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Dialect {
    /// Hubbub's own at `/ws`, as JSON.
    Native,
    /// The same as MessagePack.
    NativeMsgpack,
    /// A server that sends each frame to everybody in `/?room=`, as it came.
    Relay,
    /// Socket.IO 5 over Engine.IO 4, WebSocket only, to a server that broadcasts.
    SocketIo,
    /// The same to Hubbub.
    HubSocketIo {
        /// As a client of a library that recovers by offsets (PROTOCOL.md).
        offsets: bool,
    },
}

/// What a client says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity<'a> {
    pub(crate) host: &'a str,
    pub(crate) token: &'a str,
    pub(crate) room: &'a str,
    /// Whether permessage-deflate is offered.
    pub(crate) deflate: bool,
}

/// What a server has said that is no delivery.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It answered what was asked.
    Reply,
    /// It wants this said.
    Answer(Vec<u8>),
    /// It refused.
    Refused(String),
    /// Something that a load does not care about.
    Aside,
}

impl Dialect {
    pub(crate) fn handshake(self, identity: &Identity<'_>) -> String {
        let Identity {
            host,
            token,
            room,
            deflate,
        } = identity;
        let path = match self {
            Self::Native | Self::NativeMsgpack => "/ws".to_owned(),
            Self::Relay => format!("/?room={room}"),
            Self::SocketIo | Self::HubSocketIo { offsets: true } => {
                "/socket.io/?EIO=4&transport=websocket".to_owned()
            }
            // The order by which a library without offsets is known.
            Self::HubSocketIo { offsets: false } => {
                "/socket.io/?transport=websocket&EIO=4".to_owned()
            }
        };
        let mut request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"
        );
        if !token.is_empty() {
            request += "Authorization: Bearer ";
            request += token;
            request += "\r\n";
        }
        if self == Self::NativeMsgpack {
            request += "Sec-WebSocket-Protocol: hubbub.msgpack.v1\r\n";
        }
        if *deflate {
            request += "Sec-WebSocket-Extensions: permessage-deflate; \
                        server_no_context_takeover; client_no_context_takeover\r\n";
        }
        request + "\r\n"
    }

    /// How many bytes the answer to the handshake has; nothing if it is not there whole.
    pub(crate) fn accepted(self, bytes: &[u8]) -> Result<Option<usize>, String> {
        let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = &bytes[..end];
        let protocol = b"hubbub.msgpack.v1";
        let spoken = self != Self::NativeMsgpack || memchr::memmem::find(head, protocol).is_some();
        let accepted = memchr::memmem::find(head, ACCEPT).is_some();
        if !head.starts_with(b"HTTP/1.1 101") || !accepted || !spoken {
            return Err(String::from_utf8_lossy(bytes).into_owned());
        }
        Ok(Some(end + 4))
    }

    /// How many replies come before the connection is open.
    pub(crate) fn greetings(self) -> u32 {
        match self {
            Self::SocketIo | Self::HubSocketIo { .. } => 1,
            _ => 0,
        }
    }

    /// What is sent to come into a room; nothing where the handshake has done it.
    pub(crate) fn join(self, room: &str) -> Option<Vec<u8>> {
        match self {
            Self::Native | Self::NativeMsgpack => {
                Some(self.command(&json!({ "id": 1, "cmd": "join", "room": room })))
            }
            Self::Relay => None,
            Self::SocketIo => Some(text(&format!("420{}", json!(["join", room])))),
            Self::HubSocketIo { .. } => {
                Some(text(&format!("420{}", json!(["join", { "room": room }]))))
            }
        }
    }

    /// A message to everybody in a room. `key` is one of its own.
    pub(crate) fn publish(self, room: &str, body: &str, key: &str, durable: bool) -> Vec<u8> {
        match self {
            Self::Native | Self::NativeMsgpack if durable => self.command(
                &json!({ "cmd": "publish", "room": room, "body": body, "client_id": key }),
            ),
            Self::Native | Self::NativeMsgpack => self.command(
                &json!({ "cmd": "emit", "room": room, "name": "load", "data": body, "volatile": true }),
            ),
            Self::Relay => text(body),
            Self::SocketIo => {
                let event = json!(["publish", { "room": room, "body": body }]);
                text(&format!("42{event}"))
            }
            Self::HubSocketIo { .. } if durable => {
                let command = json!({ "room": room, "body": body, "client_id": key });
                text(&format!("42{}", json!(["publish", command])))
            }
            Self::HubSocketIo { .. } => {
                let command =
                    json!({ "room": room, "name": "load", "data": body, "volatile": true });
                text(&format!("42{}", json!(["emit", command])))
            }
        }
    }

    /// Something that is answered at once.
    pub(crate) fn probe(self) -> Vec<u8> {
        match self {
            Self::Native | Self::NativeMsgpack => self.command(&json!({ "id": 1, "cmd": "ping" })),
            // It comes back, as its sender is in the room.
            Self::Relay => text("probe"),
            Self::SocketIo => text("420[\"join\",\"probe\"]"),
            Self::HubSocketIo { .. } => text("420[\"ping\",{}]"),
        }
    }

    /// What a frame is that is no delivery.
    pub(crate) fn hear(self, frame: &Frame<'_>) -> Heard {
        match self {
            Self::Native => hear_native(frame.payload),
            Self::NativeMsgpack => hear_msgpack(frame.payload),
            Self::Relay => Heard::Reply,
            Self::SocketIo => hear_socket_io(frame.payload),
            Self::HubSocketIo { .. } => hear_hub_socket_io(frame.payload),
        }
    }

    /// Whether a delivery is what it should be, looked at as a whole: it has this body.
    pub(crate) fn verify(self, frame: &Frame<'_>, body: &str) -> bool {
        let payload = frame.payload;
        let is = |value: &Value, field: &str| value[field] == body;
        match self {
            Self::Native => serde_json::from_slice::<Value>(payload)
                .is_ok_and(|push| is(&push, "body") || is(&push, "data")),
            Self::NativeMsgpack => rmp_serde::from_slice::<Value>(payload)
                .is_ok_and(|push| is(&push, "body") || is(&push, "data")),
            Self::Relay => payload == body.as_bytes(),
            Self::SocketIo => payload
                .strip_prefix(b"42")
                .and_then(|event| serde_json::from_slice::<Value>(event).ok())
                .is_some_and(|event| event[0] == "message" && is(&event[1], "body")),
            Self::HubSocketIo { .. } => payload
                .strip_prefix(b"42")
                .and_then(|event| serde_json::from_slice::<Value>(event).ok())
                .is_some_and(|event| is(&event[1], "body") || is(&event[1], "data")),
        }
    }

    fn command(self, command: &Value) -> Vec<u8> {
        if self == Self::NativeMsgpack {
            // An object of strings and numbers can be written.
            let packed = rmp_serde::to_vec_named(command).unwrap_or_default();
            return from_client(BINARY, &packed);
        }
        text(&command.to_string())
    }
}

fn text(payload: &str) -> Vec<u8> {
    from_client(TEXT, payload.as_bytes())
}

fn hear_native(payload: &[u8]) -> Heard {
    if payload.starts_with(br#"{"push""#) {
        return Heard::Aside;
    }
    if memchr::memmem::find(payload, br#""err":"#).is_some() {
        return refused(payload);
    }
    if payload.starts_with(br#"{"id""#) {
        return Heard::Reply;
    }
    Heard::Aside
}

fn hear_msgpack(payload: &[u8]) -> Heard {
    let message = rmp_serde::from_slice::<Value>(payload).unwrap_or_default();
    if message["push"].is_string() {
        Heard::Aside
    } else if message["err"].is_object() {
        Heard::Refused(message.to_string())
    } else if message["ok"].is_object() {
        Heard::Reply
    } else {
        refused(payload)
    }
}

fn hear_socket_io(payload: &[u8]) -> Heard {
    match payload {
        // Engine.IO is open: connect to the main namespace.
        [b'0', ..] => Heard::Answer(text("40")),
        [b'2'] => Heard::Answer(text("3")),
        [b'4', b'0' | b'3', ..] => Heard::Reply,
        [b'4', b'4', ..] | [b'1', ..] => refused(payload),
        _ => Heard::Aside,
    }
}

fn hear_hub_socket_io(payload: &[u8]) -> Heard {
    let is_refusal = match payload {
        [b'4', b'3', ..] => memchr::memmem::find(payload, br#"[{"err":"#).is_some(),
        _ => payload.starts_with(br#"42["refused""#),
    };
    if is_refusal {
        return refused(payload);
    }
    hear_socket_io(payload)
}

fn refused(payload: &[u8]) -> Heard {
    Heard::Refused(String::from_utf8_lossy(payload).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(dialect: Dialect, payload: &[u8]) -> Heard {
        dialect.hear(&Frame {
            opcode: TEXT,
            compressed: false,
            payload,
        })
    }

    #[test]
    fn replies_are_told_from_refusals_and_from_what_goes_by() {
        let native = |text: &str| heard(Dialect::Native, text.as_bytes());
        assert_eq!(native(r#"{"id":1,"ok":{"room":"r"}}"#), Heard::Reply);
        assert_eq!(native(r#"{"push":"presence","room":"r"}"#), Heard::Aside);
        let text = r#"{"err":{"code":"muted"}}"#;
        assert_eq!(native(text), Heard::Refused(text.to_owned()));

        let packed = |value: Value| {
            heard(
                Dialect::NativeMsgpack,
                &rmp_serde::to_vec_named(&value).unwrap(),
            )
        };
        assert_eq!(packed(json!({ "id": 1, "ok": {} })), Heard::Reply);
        assert_eq!(packed(json!({ "push": "typing" })), Heard::Aside);
        assert!(matches!(packed(json!({ "err": {} })), Heard::Refused(_)));

        let socket_io = |text: &str| heard(Dialect::SocketIo, text.as_bytes());
        assert!(matches!(socket_io("0{}"), Heard::Answer(_)));
        assert!(matches!(socket_io("2"), Heard::Answer(_)));
        assert_eq!(socket_io("40{\"sid\":\"x\"}"), Heard::Reply);
        assert_eq!(socket_io("430[]"), Heard::Reply);
        assert!(matches!(socket_io("44{}"), Heard::Refused(_)));

        let hub = |text: &str| heard(Dialect::HubSocketIo { offsets: true }, text.as_bytes());
        assert_eq!(hub(r#"430[{"ok":{"room":"r"}}]"#), Heard::Reply);
        assert_eq!(hub(r#"42["cursor","x"]"#), Heard::Aside);
        for refusal in [r#"430[{"err":{}}]"#, r#"42["refused",{"cmd":"emit"}]"#] {
            assert_eq!(hub(refusal), Heard::Refused(refusal.to_owned()));
        }
    }

    #[test]
    fn a_handshake_is_accepted_when_it_is_there_whole_and_right() {
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: \
                       s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81\x00";
        for cut in 0..answer.len() - 2 {
            assert_eq!(Dialect::Relay.accepted(&answer[..cut]), Ok(None));
        }
        let end = answer.len() - 2;
        assert_eq!(Dialect::Relay.accepted(answer), Ok(Some(end)));
        assert!(Dialect::NativeMsgpack.accepted(answer).is_err());
        assert!(Dialect::Relay.accepted(b"HTTP/1.1 503 No\r\n\r\n").is_err());
    }

    #[test]
    fn a_delivery_is_verified_as_a_whole() {
        let frame = |payload: &'static [u8]| Frame {
            opcode: TEXT,
            compressed: false,
            payload,
        };
        let event = frame(br#"{"push":"event","data":"hi"}"#);
        assert!(Dialect::Native.verify(&event, "hi"));
        assert!(!Dialect::Native.verify(&event, "ho"));
        let event = frame(br#"42["message",{"room":"r","body":"hi"}]"#);
        assert!(Dialect::SocketIo.verify(&event, "hi"));
        assert!(!Dialect::Relay.verify(&event, "hi"));
        let event = frame(br#"42["event",{"push":"event","data":"hi"}]"#);
        assert!(Dialect::HubSocketIo { offsets: false }.verify(&event, "hi"));
        let event = frame(br#"42["message",{"push":"message","body":"hi"},"cursor"]"#);
        assert!(Dialect::HubSocketIo { offsets: true }.verify(&event, "hi"));
    }
}
