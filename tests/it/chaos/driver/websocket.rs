//! The native protocol over `/ws`, in either codec, compressed and not.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpSocket;

use super::{Driver, Incoming};
use crate::chaos::history::Answer;
use crate::harness::msgpack;
use crate::harness::rest::User;
use crate::harness::socket::{DEFLATED, End, PACKED, Socket};

/// How long a handshake may take before the client tries anew.
const HANDSHAKE: Duration = Duration::from_secs(3);

/// The kernel's receive buffer: small, so that a client which does not read is soon felt.
pub(super) const RECEIVE_BUFFER_BYTES: u32 = 8192;

pub(in crate::chaos) struct WebSocket<const IS_PACKED: bool, const IS_DEFLATED: bool> {
    socket: Socket,
    /// The numbers of commands, by the ids on the wire.
    ops: HashMap<u64, u64>,
}

impl<const IS_PACKED: bool, const IS_DEFLATED: bool> Driver for WebSocket<IS_PACKED, IS_DEFLATED> {
    const PROTOCOL: &'static str = match (IS_PACKED, IS_DEFLATED) {
        (false, false) => "ws",
        (false, true) => "ws, compressed",
        (true, false) => "ws in MessagePack",
        (true, true) => "ws in MessagePack, compressed",
    };

    async fn connect(address: &str, user: &User) -> Result<Self, String> {
        let authorization = format!("Bearer {}", user.token);
        let mut headers = vec![("authorization", authorization.as_str())];
        if IS_PACKED {
            headers.push(PACKED);
        }
        if IS_DEFLATED {
            headers.push(DEFLATED);
        }
        let opening = async {
            let tcp = TcpSocket::new_v4()?;
            tcp.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
            let address = address.parse().map_err(std::io::Error::other)?;
            let stream = tcp.connect(address).await?;
            Socket::over(stream, "/ws", &headers).await
        };
        match tokio::time::timeout(HANDSHAKE, opening).await {
            Ok(Ok(socket)) => Ok(Self {
                socket,
                ops: HashMap::new(),
            }),
            Ok(Err(error)) => Err(error.to_string()),
            Err(late) => Err(late.to_string()),
        }
    }

    async fn command(&mut self, op: u64, cmd: &'static str, fields: &Value) {
        let mut fields = fields.clone();
        if IS_PACKED {
            msgpack::with_bytes(&mut fields);
        }
        let id = self.socket.send_command(cmd, fields).await;
        self.ops.insert(id, op);
    }

    async fn next(&mut self) -> Incoming {
        let mut value = match self.socket.next_message().await {
            Ok(value) => value,
            Err(End::Closed { code, reason }) => return Incoming::End(format!("{code} {reason}")),
            Err(End::Broken(why)) => return Incoming::End(why),
        };
        // The history is written in JSON.
        msgpack::with_base64(&mut value);
        let messages = value.pointer_mut("/ok/messages");
        if let Some(messages) = messages.and_then(Value::as_array_mut) {
            messages.iter_mut().for_each(msgpack::with_base64);
        }
        if value.get("push").is_some() {
            return Incoming::Push(value);
        }
        let op = value["id"].as_u64().and_then(|id| self.ops.remove(&id));
        let op = op.unwrap_or_else(|| panic!("nobody asked for {value}"));
        let answer = match (value.get("ok"), value.get("err")) {
            (Some(ok), None) => Answer::Done(ok.clone()),
            (None, Some(err)) => Answer::Refused {
                code: err["code"].as_str().unwrap_or_default().to_owned(),
                retry: err["retry"] == true,
            },
            _ => panic!("neither push nor reply: {value}"),
        };
        Incoming::Answer(op, answer)
    }

    async fn close(self) {
        // Reads to the end of what was sent: a slow client takes a while, a frozen node for ever.
        let _ = tokio::time::timeout(HANDSHAKE, self.socket.close()).await;
    }
}
