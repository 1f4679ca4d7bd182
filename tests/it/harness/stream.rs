//! A client of event streams, with a parser of its own: what the HTML standard's "Interpreting an
//! event stream" says, line by line.

use std::collections::VecDeque;

use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::http::Request;

use super::DEADLINE;
use super::node::Node;
use super::rest::User;

/// An event as a page would get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamEvent {
    /// The event's type, `message` if none was given.
    pub(crate) name: String,
    pub(crate) data: String,
    /// The last id that the stream gave, with this event or before it.
    pub(crate) last_event_id: String,
}

impl StreamEvent {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The state of an interpretation.
#[derive(Debug, Default)]
pub(crate) struct Interpreter {
    unread: Vec<u8>,
    name: String,
    data: Option<String>,
    last_event_id: String,
    pub(crate) retry_ms: Option<u64>,
    pub(crate) comments: usize,
}

impl Interpreter {
    /// Takes bytes in, and gives the events that they complete.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<StreamEvent> {
        self.unread.extend_from_slice(bytes);
        let mut events = Vec::new();
        loop {
            let Some(end) = self
                .unread
                .iter()
                .position(|it| matches!(it, b'\n' | b'\r'))
            else {
                return events;
            };
            let is_pair = match self.unread[end..] {
                // A line feed may follow.
                [b'\r'] => return events,
                [b'\r', b'\n', ..] => true,
                _ => false,
            };
            let rest = self.unread.split_off(end + 1 + usize::from(is_pair));
            let mut line = std::mem::replace(&mut self.unread, rest);
            line.truncate(end);
            let line = String::from_utf8(line).expect("a stream is UTF-8");
            events.extend(self.line(&line));
        }
    }

    fn line(&mut self, line: &str) -> Option<StreamEvent> {
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => self.comments += 1,
            "event" => value.clone_into(&mut self.name),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "id" if !value.contains('\0') => value.clone_into(&mut self.last_event_id),
            "retry" => self.retry_ms = value.parse().ok().or(self.retry_ms),
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<StreamEvent> {
        let name = std::mem::take(&mut self.name);
        Some(StreamEvent {
            data: self.data.take()?,
            name: if name.is_empty() {
                "message".to_owned()
            } else {
                name
            },
            last_event_id: self.last_event_id.clone(),
        })
    }
}

/// An open stream. It reads only while the test waits for something.
pub(crate) struct EventStream {
    body: Body,
    interpreter: Interpreter,
    events: VecDeque<StreamEvent>,
    has_ended: bool,
}

/// What the events come out of.
enum Body {
    Http1(reqwest::Response),
    Http2(h2::RecvStream),
}

impl Body {
    /// The next bytes; none at the end.
    async fn chunk(&mut self) -> Result<Option<bytes::Bytes>, ()> {
        match self {
            Self::Http1(response) => response.chunk().await.map_err(drop),
            Self::Http2(stream) => {
                let Some(bytes) = stream.data().await.transpose().map_err(drop)? else {
                    return Ok(None);
                };
                let released = stream.flow_control().release_capacity(bytes.len());
                released.map_err(drop)?;
                Ok(Some(bytes))
            }
        }
    }
}

/// A client without a time-out for the whole of an answer, that shares no connection.
fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .pool_max_idle_per_host(0)
        .build()
        .expect("a client can be built")
}

impl EventStream {
    /// Opens a stream with a user's bearer token.
    pub(crate) async fn open(user: &User, path: &str, last_event_id: Option<&str>) -> Self {
        let request = Self::request(user, path);
        let request = match last_event_id {
            Some(id) => request.header("last-event-id", id),
            None => request,
        };
        Self::of(request).await
    }

    /// The request of a stream.
    pub(crate) fn request(user: &User, path: &str) -> RequestBuilder {
        client()
            .request(Method::GET, user.url(path))
            .bearer_auth(&user.token)
    }

    /// Opens what is asked for by way of a proxy, where nobody may be; none then.
    pub(crate) async fn by_proxy(request: RequestBuilder) -> Option<Self> {
        let response = timeout(DEADLINE, request.send()).await.expect("in time");
        let response = response.ok().filter(|it| it.status() == 200)?;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Some(Self::from_body(Body::Http1(response)))
    }

    /// Opens what is asked for.
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        let response = timeout(DEADLINE, request.send()).await;
        let response = response.expect("in time").expect("the node answers");
        assert_eq!(response.status(), 200, "{response:?}");
        let headers = response.headers();
        assert_eq!(headers["content-type"], "text/event-stream");
        assert_eq!(headers["cache-control"], "private, no-cache, no-transform");
        assert_eq!(headers["x-accel-buffering"], "no");
        Self::from_body(Body::Http1(response))
    }

    fn from_body(body: Body) -> Self {
        Self {
            body,
            interpreter: Interpreter::default(),
            events: VecDeque::new(),
            has_ended: false,
        }
    }

    /// Opens streams with a user's bearer token on one connection of HTTP/2.
    pub(crate) async fn open_by_http2(node: &Node, user: &User, paths: &[&str]) -> Vec<Self> {
        let socket = TcpStream::connect(&node.address).await;
        let connecting = h2::client::handshake(socket.expect("the node accepts"));
        let (mut client, connection) = connecting.await.expect("it speaks HTTP/2");
        tokio::spawn(connection);
        let mut streams = Vec::new();
        for path in paths {
            let request = Request::get(node.url(path))
                .header("authorization", format!("Bearer {}", user.token))
                .body(())
                .expect("a request");
            client = client.ready().await.expect("a place for a stream");
            let (response, _) = client.send_request(request, true).expect("it is sent");
            let response = timeout(DEADLINE, response).await.expect("in time");
            let response = response.expect("the node answers");
            assert_eq!(response.status(), 200, "{response:?}");
            assert_eq!(response.headers()["content-type"], "text/event-stream");
            streams.push(Self::from_body(Body::Http2(response.into_body())));
        }
        streams
    }

    /// The next event of that name; those before it stay for later calls.
    #[track_caller]
    pub(crate) fn event(&mut self, name: &str) -> impl Future<Output = StreamEvent> {
        let place = std::panic::Location::caller();
        async move {
            self.find(|event| event.name == name)
                .await
                .unwrap_or_else(|| panic!("{place}: no `{name}`; so far: {:?}", self.events))
        }
    }

    /// The next event that fits; none if the stream ends before.
    pub(crate) async fn find(
        &mut self,
        mut fits: impl FnMut(&StreamEvent) -> bool,
    ) -> Option<StreamEvent> {
        if let Some(place) = self.events.iter().position(&mut fits) {
            return self.events.remove(place);
        }
        let reading = async {
            loop {
                let before = self.events.len();
                if !self.read().await {
                    return None;
                }
                let mut new = self.events.iter().skip(before);
                if let Some(place) = new.position(&mut fits) {
                    return self.events.remove(before + place);
                }
            }
        };
        timeout(DEADLINE, reading)
            .await
            .expect("an event or the end comes in time")
    }

    /// Waits for the end; events before it are kept. False if the body was cut off.
    pub(crate) async fn ended(&mut self) -> bool {
        let reading = async {
            while self.read().await {}
            self.has_ended
        };
        timeout(DEADLINE, reading).await.expect("the end comes")
    }

    /// Waits for the last event, `close`, and the end of the body: its code and reason.
    pub(crate) async fn closed(&mut self) -> (u64, String) {
        assert!(self.ended().await, "cut off; so far: {:?}", self.events);
        let last = self.events.pop_back().expect("a last event");
        assert_eq!(last.name, "close", "{last:?}");
        let close = last.json();
        let reason = close["reason"].as_str().expect("a reason").to_owned();
        (close["code"].as_u64().expect("a code"), reason)
    }

    /// Takes the events that have come so far.
    pub(crate) fn take(&mut self) -> Vec<StreamEvent> {
        self.events.drain(..).collect()
    }

    /// The id to resume from.
    pub(crate) fn last_event_id(&self) -> &str {
        &self.interpreter.last_event_id
    }

    pub(crate) fn retry_ms(&self) -> Option<u64> {
        self.interpreter.retry_ms
    }

    /// Reads until so many comments have come.
    pub(crate) async fn comments(&mut self, count: usize) {
        let reading = async {
            while self.interpreter.comments < count {
                assert!(self.read().await, "the stream ended");
            }
        };
        timeout(DEADLINE, reading).await.expect("comments come");
    }

    /// Reads a chunk; false at the end.
    async fn read(&mut self) -> bool {
        match self.body.chunk().await {
            Ok(Some(bytes)) => {
                self.events.extend(self.interpreter.feed(&bytes));
                true
            }
            Ok(None) => {
                self.has_ended = true;
                false
            }
            Err(()) => false,
        }
    }
}
