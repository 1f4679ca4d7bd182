//! A WebSocket client of the native protocol.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::node::Node;
use super::rest::User;
use super::{DEADLINE, deflate, msgpack};

/// The header of a client that compresses all that it sends.
pub(crate) const DEFLATED: (&str, &str) = ("sec-websocket-extensions", deflate::OFFER);

/// One connection. It reads only while the test waits for something.
pub(crate) struct Socket {
    stream: WebSocketStream<Box<dyn Wire>>,
    next_id: u64,
    pushes: VecDeque<Value>,
    end: Option<End>,
    /// It speaks MessagePack. What the test gives and gets is JSON all the same: bytes are
    /// [`bin`](super::msgpack::bin).
    is_packed: bool,
}

/// The header that asks for MessagePack.
pub(crate) const PACKED: (&str, &str) = ("sec-websocket-protocol", "hubbub.msgpack.v1");

/// What a connection goes over.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Wire for T {}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With a close frame.
    Closed { code: u16, reason: String },
    /// Without a word.
    Broken(String),
}

/// A handshake that was refused.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

/// Why a request has no answer.
#[derive(Debug)]
pub(crate) struct Ended(pub(crate) End);

impl Socket {
    /// Connects with a user's bearer token.
    pub(crate) async fn connect(node: &Node, user: &User) -> Self {
        let authorization = format!("Bearer {}", user.token);
        let opened = Self::open(node, "/ws", &[("authorization", &authorization)]).await;
        opened.expect("the handshake is accepted")
    }

    /// As [`Socket::connect`], in MessagePack.
    pub(crate) async fn connect_packed(node: &Node, user: &User) -> Self {
        let authorization = format!("Bearer {}", user.token);
        let headers = [("authorization", authorization.as_str()), PACKED];
        let opened = Self::open(node, "/ws", &headers).await;
        opened.expect("the handshake is accepted")
    }

    /// As [`Socket::connect`], with the address of a node alone.
    pub(crate) async fn connect_to(address: &str, user: &User) -> Self {
        let opened = Self::try_connect_to(address, user).await;
        opened.expect("the handshake is accepted")
    }

    /// The same, where nobody may be.
    pub(crate) async fn try_connect_to(address: &str, user: &User) -> Result<Self, Error> {
        let authorization = format!("Bearer {}", user.token);
        let headers = [("authorization", authorization.as_str())];
        Self::open_at(address, "/ws", &headers).await
    }

    /// Connects without credentials.
    pub(crate) async fn anonymous(node: &Node) -> Self {
        let opened = Self::open(node, "/ws", &[]).await;
        opened.expect("the handshake is accepted")
    }

    /// Connects with these headers.
    pub(crate) async fn open(
        node: &Node,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, Refused> {
        match Self::try_open(node, path, headers).await {
            Ok(socket) => Ok(socket),
            Err(Error::Http(response)) => Err(refused(*response)),
            Err(error) => panic!("the handshake broke: {error}"),
        }
    }

    /// Connects with these headers; for nodes that may be away.
    pub(crate) async fn try_open(
        node: &Node,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, Error> {
        Self::open_at(&node.address, path, headers).await
    }

    async fn open_at(address: &str, path: &str, headers: &[(&str, &str)]) -> Result<Self, Error> {
        let handshake = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Self::over(stream, path, headers).await
        };
        let opened = timeout(DEADLINE, handshake).await;
        opened.expect("the handshake is answered in time")
    }

    /// Connects with a user's bearer token, and compresses all that it sends.
    pub(crate) async fn deflated(node: &Node, user: &User) -> Self {
        let authorization = format!("Bearer {}", user.token);
        let headers = [("authorization", authorization.as_str()), DEFLATED];
        let opened = Self::open(node, "/ws", &headers).await;
        opened.expect("the handshake is accepted")
    }

    /// Connects over a stream that the test has made.
    pub(crate) async fn over(
        stream: TcpStream,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, Error> {
        let mut request = format!("ws://{}{path}", stream.peer_addr()?).into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().insert(
                HeaderName::from_bytes(name.as_bytes()).expect("a header's name"),
                HeaderValue::from_str(value).expect("a header's value"),
            );
        }
        let deflates = headers.contains(&DEFLATED);
        let wire: Box<dyn Wire> = if deflates {
            Box::new(deflate::deflating(stream))
        } else {
            Box::new(stream)
        };
        let (stream, answer) = client_async(request, wire).await?;
        let agreed = answer.headers().get("sec-websocket-extensions");
        let agreed = agreed.map(|it| it.to_str().expect("text"));
        assert_eq!(agreed, deflates.then_some(deflate::ACCEPTED));
        Ok(Self {
            stream,
            next_id: 0,
            pushes: VecDeque::new(),
            end: None,
            is_packed: headers.contains(&PACKED),
        })
    }

    /// Sends a command and waits for its reply: `{"ok": …}` or `{"err": …}`.
    pub(crate) async fn request(&mut self, cmd: &str, fields: Value) -> Value {
        self.try_request(cmd, fields)
            .await
            .unwrap_or_else(|ended| panic!("`{cmd}` has no reply: {ended:?}"))
    }

    /// As [`Socket::request`], for connections that may end.
    pub(crate) async fn try_request(&mut self, cmd: &str, fields: Value) -> Result<Value, Ended> {
        let id = self.send_command(cmd, fields).await;
        self.reply_to(id).await
    }

    /// Sends a command and gives its id.
    pub(crate) async fn send_command(&mut self, cmd: &str, fields: Value) -> u64 {
        self.next_id += 1;
        let mut request = json!({ "id": self.next_id, "cmd": cmd });
        let fields = fields.as_object().expect("fields are an object").clone();
        request.as_object_mut().expect("an object").extend(fields);
        if self.is_packed {
            self.send_bytes(msgpack::pack(&request)).await;
        } else {
            self.send_text(&request.to_string()).await;
        }
        self.next_id
    }

    /// Waits for the reply with this id. Replies may come in any order, but no other may be
    /// outstanding.
    pub(crate) async fn reply_to(&mut self, id: u64) -> Result<Value, Ended> {
        let reply = self.reply().await?;
        assert_eq!(
            reply["id"], id,
            "the reply carries the request's id: {reply}"
        );
        Ok(reply)
    }

    /// Waits for the next reply, whatever its id.
    pub(crate) async fn reply(&mut self) -> Result<Value, Ended> {
        let reply = timeout(DEADLINE, self.read_reply()).await;
        reply.unwrap_or_else(|_| panic!("no reply; pushes so far: {:?}", self.pushes))
    }

    async fn read_reply(&mut self) -> Result<Value, Ended> {
        loop {
            let value = self.read().await.map_err(Ended)?;
            if value.get("push").is_some() {
                self.pushes.push_back(value);
            } else {
                let (ok, err) = (value.get("ok").is_some(), value.get("err").is_some());
                assert!(ok != err, "neither push nor reply: {value}");
                return Ok(value);
            }
        }
    }

    /// Sends a command that must succeed.
    #[track_caller]
    pub(crate) fn ok(&mut self, cmd: &str, fields: Value) -> impl Future<Output = Value> {
        let place = std::panic::Location::caller();
        async move {
            let reply = self.request(cmd, fields).await;
            let ok = reply.get("ok").cloned();
            ok.unwrap_or_else(|| panic!("{place}: `{cmd}` was refused: {reply}"))
        }
    }

    /// Sends a command that must be refused, and gives the error after checking its form.
    #[track_caller]
    pub(crate) fn err(&mut self, cmd: &str, fields: Value) -> impl Future<Output = Value> {
        let place = std::panic::Location::caller();
        async move {
            let reply = self.request(cmd, fields).await;
            refusal(&reply).unwrap_or_else(|| panic!("{place}: `{cmd}` was not refused: {reply}"))
        }
    }

    /// Joins a room.
    pub(crate) async fn join(&mut self, room: &str) -> Value {
        self.ok("join", json!({ "room": room })).await
    }

    /// Publishes a message and waits for the ack.
    pub(crate) async fn publish(&mut self, room: &str, body: &str, client_id: &str) -> Value {
        let fields = json!({ "room": room, "body": body, "client_id": client_id });
        self.ok("publish", fields).await
    }

    /// The next push, in the order in which they came, that has this name; those before it with
    /// other names stay for later calls.
    pub(crate) async fn push(&mut self, name: &str) -> Value {
        self.next_push(name, |push| push["push"] == name).await
    }

    /// The next push that fits; `what` is for the failure.
    pub(crate) async fn next_push(
        &mut self,
        what: &str,
        mut fits: impl FnMut(&Value) -> bool,
    ) -> Value {
        if let Some(place) = self.pushes.iter().position(&mut fits) {
            return self.pushes.remove(place).expect("it is there");
        }
        match timeout(DEADLINE, self.read_push(fits)).await {
            Ok(Ok(push)) => push,
            Ok(Err(end)) => panic!(
                "waiting for the push `{what}`: {end:?}; pushes so far: {:?}",
                self.pushes
            ),
            Err(late) => panic!(
                "no push `{what}` ({late}); pushes so far: {:?}",
                self.pushes
            ),
        }
    }

    async fn read_push(&mut self, mut fits: impl FnMut(&Value) -> bool) -> Result<Value, End> {
        loop {
            let value = self.read().await?;
            assert!(value.get("push").is_some(), "an unasked reply: {value}");
            if fits(&value) {
                return Ok(value);
            }
            self.pushes.push_back(value);
        }
    }

    /// Takes the pushes that have come so far.
    pub(crate) fn take_pushes(&mut self) -> Vec<Value> {
        self.pushes.drain(..).collect()
    }

    /// Makes sure that everything that the hub sent before has been read.
    pub(crate) async fn ping(&mut self) {
        self.ok("ping", json!({})).await;
    }

    /// Waits for the end of the connection; pushes before it are kept.
    pub(crate) async fn closed(&mut self) -> End {
        let end = timeout(DEADLINE, self.read_to_the_end()).await;
        end.unwrap_or_else(|_| panic!("still open; pushes so far: {:?}", self.pushes))
    }

    async fn read_to_the_end(&mut self) -> End {
        loop {
            match self.read().await {
                Ok(value) => self.pushes.push_back(value),
                Err(end) => return end,
            }
        }
    }

    /// As [`Socket::closed`]: the close code and the reason.
    pub(crate) async fn close_code(&mut self) -> (u16, String) {
        match self.closed().await {
            End::Closed { code, reason } => (code, reason),
            End::Broken(why) => panic!("closed without a close frame: {why}"),
        }
    }

    /// Sends a text message as it is.
    pub(crate) async fn send_text(&mut self, text: &str) {
        // A connection that has ended says so when the reply is waited for.
        let _ = self.stream.send(Message::text(text)).await;
    }

    /// Sends a message of bytes as it is.
    pub(crate) async fn send_bytes(&mut self, bytes: impl Into<Vec<u8>>) {
        let _ = self.stream.send(Message::binary(bytes.into())).await;
    }

    /// Closes the connection and waits for the hub's close frame.
    pub(crate) async fn close(mut self) -> End {
        let frame = CloseFrame {
            code: 1000.into(),
            reason: "".into(),
        };
        let _ = self.stream.close(Some(frame)).await;
        self.closed().await
    }

    /// Reads for so long, and keeps what comes. For tests that show that something does *not*
    /// happen.
    pub(crate) async fn read_for(&mut self, time: Duration) -> Option<End> {
        timeout(time, self.read_to_the_end()).await.ok()
    }

    /// What comes next, push or reply, in the order of the wire. It can be given up and asked for
    /// again.
    pub(crate) async fn next_message(&mut self) -> Result<Value, End> {
        if let Some(push) = self.pushes.pop_front() {
            return Ok(push);
        }
        self.read().await
    }

    /// The next message.
    async fn read(&mut self) -> Result<Value, End> {
        if let Some(end) = &self.end {
            return Err(end.clone());
        }
        loop {
            let end = match self.stream.next().await {
                Some(Ok(Message::Text(text))) => {
                    assert!(!self.is_packed, "text in MessagePack: {text}");
                    let value = serde_json::from_str(&text);
                    return Ok(value.expect("every text message is JSON"));
                }
                Some(Ok(Message::Close(Some(frame)))) => End::Closed {
                    code: frame.code.into(),
                    reason: frame.reason.to_string(),
                },
                Some(Ok(Message::Binary(bytes))) => {
                    assert!(self.is_packed, "a binary message on a text protocol");
                    return Ok(msgpack::unpack(&bytes));
                }
                Some(Ok(Message::Close(None))) => End::Closed {
                    code: 1005,
                    reason: String::new(),
                },
                Some(Ok(_)) => continue,
                Some(Err(error)) => End::Broken(error.to_string()),
                None => End::Broken("end of stream".to_owned()),
            };
            self.end = Some(end.clone());
            // Lets the answer to a close frame go out.
            let _ = self.stream.flush().await;
            return Err(end);
        }
    }
}

/// The error of a reply, after checking that it has the form that is promised.
pub(crate) fn refusal(reply: &Value) -> Option<Value> {
    let err = reply.get("err")?;
    assert!(err["code"].is_string(), "{reply}");
    assert!(err["message"].is_string(), "{reply}");
    assert!(err["retry"].is_boolean(), "{reply}");
    Some(err.clone())
}

fn refused(response: Response<Option<Vec<u8>>>) -> Refused {
    let status = response.status().as_u16();
    let body = response.into_body().unwrap_or_default();
    Refused {
        status,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    }
}
