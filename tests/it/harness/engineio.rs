//! Clients of Engine.IO that say whatever they like: polling requests, and messages of a WebSocket.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::DEADLINE;
use super::rest::http;

/// What stands between the packets of a payload.
pub(crate) const SEPARATOR: &str = "\u{1e}";

/// An answer to a polling request.
#[derive(Debug)]
pub(crate) struct Polled {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Polled {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body, which must be text.
    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        let text = std::str::from_utf8(&self.body);
        text.unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The body of a good answer.
    #[track_caller]
    pub(crate) fn ok(&self) -> &str {
        assert_eq!(self.status, 200, "{self:?}");
        self.text()
    }

    /// Asserts that it is one of the protocol's errors.
    #[track_caller]
    pub(crate) fn error(&self, status: u16, code: u8, message: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        let body = format!(r#"{{"code":{code},"message":"{message}"}}"#);
        assert_eq!(self.text(), body);
    }

    /// Asserts that it says that there is no such session.
    #[track_caller]
    pub(crate) fn unknown_session(&self) {
        self.error(400, 1, "Session ID unknown");
    }
}

/// Where a server of Engine.IO is, and which revision is spoken.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Of a node, or of a proxy before some.
    pub(crate) address: String,
    /// With its slashes.
    pub(crate) path: &'static str,
    /// 3 or 4.
    pub(crate) revision: u8,
}

impl Place {
    pub(crate) fn new(address: &str, path: &'static str, revision: u8) -> Self {
        Self {
            address: address.to_owned(),
            path,
            revision,
        }
    }

    /// An address with this query.
    pub(crate) fn url(&self, query: &str) -> String {
        format!("http://{}{}?{query}", self.address, self.path)
    }

    /// An address of polling; `more` follows the query.
    pub(crate) fn polling(&self, more: &str) -> String {
        self.url(&format!("EIO={}&transport=polling{more}", self.revision))
    }

    /// Sends a request with this query, and waits for its answer.
    pub(crate) async fn ask(&self, method: Method, query: &str) -> Polled {
        polled(http().request(method, self.url(query))).await
    }

    /// Asks from a page of this origin.
    pub(crate) async fn ask_from(&self, origin: &str, query: &str) -> Polled {
        polled(http().get(self.url(query)).header("origin", origin)).await
    }

    /// Opens a session by polling.
    pub(crate) async fn open(&self) -> Polling {
        self.open_with(|request| request).await
    }

    /// As [`Place::open`], with more in the request.
    pub(crate) async fn open_with(
        &self,
        more: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Polling {
        let http = http();
        let answer = polled(more(http.get(self.polling("&b64=1")))).await;
        let text = answer.ok();
        let packet = match self.revision {
            // The length, in characters.
            3 => {
                let (length, packet) = text.split_once(':').expect("a length");
                let units = packet.encode_utf16().count();
                assert_eq!(length, units.to_string(), "{answer:?}");
                packet
            }
            _ => text,
        };
        let json = packet.strip_prefix('0').expect("an open packet");
        let handshake: Value = serde_json::from_str(json).expect("JSON");
        Polling {
            sid: super::rest::text(&handshake["sid"]),
            place: self.clone(),
            http,
            handshake,
        }
    }

    /// Opens a session by a WebSocket, and reads its handshake.
    pub(crate) async fn open_socket(&self) -> (RawSocket, Value) {
        let mut socket = self.socket("", &[]).await.expect("the upgrade is given");
        let open = socket.text().await;
        let json = open.strip_prefix('0').expect("an open packet");
        (socket, serde_json::from_str(json).expect("JSON"))
    }

    /// Asks for a WebSocket; `more` follows the query.
    pub(crate) async fn socket(
        &self,
        more: &str,
        headers: &[(&str, &str)],
    ) -> Result<RawSocket, Error> {
        let query = format!("EIO={}&transport=websocket{more}", self.revision);
        self.socket_by(&query, headers).await
    }

    /// Asks for a WebSocket with this query.
    pub(crate) async fn socket_by(
        &self,
        query: &str,
        headers: &[(&str, &str)],
    ) -> Result<RawSocket, Error> {
        let url = self.url(query).replacen("http", "ws", 1);
        let mut request = url.into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().insert(
                HeaderName::from_bytes(name.as_bytes()).expect("a header's name"),
                HeaderValue::from_str(value).expect("a header's value"),
            );
        }
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let opened = timeout(DEADLINE, client_async(request, stream)).await;
        let (socket, _) = opened.expect("the handshake is answered in time")?;
        Ok(RawSocket(socket))
    }

    /// Asks for a WebSocket that must be refused, and gives the answer.
    pub(crate) async fn refused_socket(&self, query: &str) -> Polled {
        match self.socket_by(query, &[]).await {
            Err(Error::Http(response)) => Polled {
                status: response.status().as_u16(),
                headers: (response.headers().iter())
                    .filter_map(|(name, value)| {
                        let name = reqwest::header::HeaderName::from_bytes(name.as_ref()).ok()?;
                        let value = reqwest::header::HeaderValue::from_bytes(value.as_bytes());
                        Some((name, value.ok()?))
                    })
                    .collect(),
                body: response.into_body().unwrap_or_default(),
            },
            Err(error) => panic!("the handshake broke: {error}"),
            Ok(_) => panic!("the upgrade was given"),
        }
    }
}

/// Sends a request and waits for its answer.
pub(crate) async fn polled(request: RequestBuilder) -> Polled {
    try_polled(request).await.expect("the node answers")
}

async fn try_polled(request: RequestBuilder) -> Result<Polled, reqwest::Error> {
    let response = request.send().await?;
    Ok(Polled {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: response.bytes().await?.to_vec(),
    })
}

/// A session by polling.
#[derive(Clone, Debug)]
pub(crate) struct Polling {
    pub(crate) sid: String,
    /// What the open packet said.
    pub(crate) handshake: Value,
    place: Place,
    http: reqwest::Client,
}

impl Polling {
    /// The same session, by way of another node.
    pub(crate) fn by_way_of(&self, address: &str) -> Self {
        let mut other = self.clone();
        address.clone_into(&mut other.place.address);
        other
    }

    /// Waits for packets.
    pub(crate) async fn get(&self) -> Polled {
        polled(self.get_request()).await
    }

    /// The request that waits for packets.
    pub(crate) fn get_request(&self) -> RequestBuilder {
        let more = format!("&b64=1&sid={}", self.sid);
        self.http.get(self.place.polling(&more))
    }

    /// Waits for packets, as clients do: by a `t` that they make up for each request.
    pub(crate) async fn get_stamped(&self, t: &str) -> Polled {
        let polled = self.try_get_stamped(t).await;
        polled.expect("the node answers")
    }

    /// The same of a node that may not answer.
    pub(crate) async fn try_get_stamped(&self, t: &str) -> Result<Polled, reqwest::Error> {
        let more = format!("&b64=1&sid={}&t={t}", self.sid);
        try_polled(self.http.get(self.place.polling(&more))).await
    }

    /// Waits for packets, of which some may be bytes in revision 3.
    pub(crate) async fn get_bytes(&self) -> Polled {
        let more = format!("&sid={}", self.sid);
        polled(self.http.get(self.place.polling(&more))).await
    }

    /// Brings packets as text.
    pub(crate) async fn post(&self, body: impl Into<String>) -> Polled {
        polled(self.post_request().body(body.into())).await
    }

    /// The request that brings packets, without a body.
    pub(crate) fn post_request(&self) -> RequestBuilder {
        let more = format!("&sid={}", self.sid);
        let request = self.http.post(self.place.polling(&more));
        request.header("content-type", "text/plain;charset=UTF-8")
    }

    /// Brings packets as bytes.
    pub(crate) async fn post_bytes(&self, body: Vec<u8>) -> Polled {
        let more = format!("&sid={}", self.sid);
        let request = self.http.post(self.place.polling(&more)).body(body);
        polled(request.header("content-type", "application/octet-stream")).await
    }

    /// Asks for a WebSocket for it.
    pub(crate) async fn socket(&self) -> RawSocket {
        let socket = self.place.socket(&format!("&sid={}", self.sid), &[]).await;
        socket.expect("the upgrade is given")
    }

    /// Changes to a WebSocket, by the book.
    pub(crate) async fn upgrade(&self) -> RawSocket {
        let mut socket = self.socket().await;
        socket.send("2probe").await;
        assert_eq!(socket.text().await, "3probe");
        socket.send("5").await;
        socket
    }
}

/// A WebSocket.
pub(crate) struct RawSocket(WebSocketStream<TcpStream>);

impl RawSocket {
    pub(crate) async fn send(&mut self, text: &str) {
        let sent = self.0.send(Message::text(text)).await;
        sent.expect("the socket takes it");
    }

    /// Sends to a server that may have closed it.
    pub(crate) async fn send_or_lose(&mut self, text: &str) {
        let _ = self.0.send(Message::text(text)).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        let sent = self.0.send(Message::binary(bytes.to_vec())).await;
        sent.expect("the socket takes it");
    }

    /// The next message of text; heartbeats that are not waited for are answered by the test.
    #[track_caller]
    pub(crate) fn text(&mut self) -> impl Future<Output = String> {
        let place = std::panic::Location::caller();
        async move {
            match self.message().await {
                Some(Message::Text(text)) => text.as_str().to_owned(),
                other => panic!("{place}: no text: {other:?}"),
            }
        }
    }

    /// The next message of bytes.
    #[track_caller]
    pub(crate) fn bytes(&mut self) -> impl Future<Output = Vec<u8>> {
        let place = std::panic::Location::caller();
        async move {
            match self.message().await {
                Some(Message::Binary(bytes)) => bytes.to_vec(),
                other => panic!("{place}: no bytes: {other:?}"),
            }
        }
    }

    /// The next message; none at the end.
    pub(crate) async fn message(&mut self) -> Option<Message> {
        let next = async {
            loop {
                match self.0.next().await? {
                    Ok(Message::Close(_)) | Err(_) => return None,
                    Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                    Ok(message) => return Some(message),
                }
            }
        };
        let next = timeout(DEADLINE, next).await;
        next.expect("a message or the end comes in time")
    }

    /// Waits for its end, whatever comes before.
    pub(crate) async fn closed(&mut self) {
        while self.message().await.is_some() {}
    }

    /// Waits until the server says that it has heard what breaks the rules (RFC 6455, section 7.4.1:
    /// 1002). A missed heartbeat would end it, too, but later and otherwise.
    pub(crate) async fn refused(&mut self) {
        let end = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Close(frame))) => return frame,
                    Some(Ok(_)) => {}
                    other => panic!("no close frame: {other:?}"),
                }
            }
        };
        let frame = timeout(DEADLINE, end).await.expect("it is refused");
        let code = frame.expect("a code").code;
        assert_eq!(u16::from(code), 1002);
    }

    /// Whether nothing comes for so long.
    pub(crate) async fn is_silent_for(&mut self, time: Duration) -> bool {
        timeout(time, self.0.next()).await.is_err()
    }
}
