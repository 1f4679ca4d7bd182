//! Engine.IO 4 from the client's side: messages by a WebSocket, or by polls and POSTs.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::chaos::driver::websocket::RECEIVE_BUFFER_BYTES;

/// Messages that wait for the client: when it does not read, it does not poll either.
const WAITING: usize = 16;

/// Messages that wait for the POST before them: as many as all of a client's outboxes hold.
const POSTS: usize = 1024;

/// What stands between the packets of a payload.
const SEPARATOR: &str = "\u{1e}";

/// A message; with text go the attachments that follow it.
#[derive(Clone, Debug)]
pub(super) enum Message {
    Text(String, Vec<Vec<u8>>),
    Bytes(Vec<u8>),
}

impl Message {
    pub(super) fn text(text: String) -> Self {
        Self::Text(text, Vec::new())
    }
}

/// A connection.
pub(super) struct Wire {
    way: Way,
    /// Packets that are to be sent.
    out: VecDeque<Packet>,
}

enum Way {
    Socket(Box<WebSocketStream<TcpStream>>),
    Polls {
        posts: mpsc::Sender<String>,
        told: mpsc::Receiver<Result<Message, String>>,
        /// Ended with it.
        _tasks: JoinSet<()>,
    },
}

#[derive(Clone)]
enum Packet {
    /// With what says its type.
    Text(String),
    Bytes(Vec<u8>),
}

impl Wire {
    pub(super) async fn open(address: &str, is_polling: bool) -> Result<Self, String> {
        let way = if is_polling {
            let url = format!("http://{address}/socket.io/?EIO=4&transport=polling");
            poll(url).await?
        } else {
            open_socket(address).await?
        };
        let out = VecDeque::new();
        Ok(Self { way, out })
    }

    /// Something to say. It is sent when something is waited for, at the latest.
    pub(super) fn put(&mut self, message: Message) {
        match message {
            Message::Bytes(bytes) => self.out.push_back(Packet::Bytes(bytes)),
            Message::Text(text, attachments) => {
                self.out.push_back(Packet::Text(format!("4{text}")));
                self.out.extend(attachments.into_iter().map(Packet::Bytes));
            }
        }
    }

    /// Sends what is to be said. If this is given up the rest is sent another time, nothing twice.
    pub(super) async fn send(&mut self) -> Result<(), String> {
        match &mut self.way {
            Way::Socket(socket) => {
                while let Some(packet) = self.out.front() {
                    let frame = match packet.clone() {
                        Packet::Text(text) => Frame::text(text),
                        Packet::Bytes(bytes) => Frame::binary(bytes),
                    };
                    socket.feed(frame).await.map_err(told)?;
                    self.out.pop_front();
                }
                socket.flush().await.map_err(told)
            }
            Way::Polls { posts, .. } => {
                if self.out.is_empty() {
                    return Ok(());
                }
                let place = posts.reserve().await.map_err(told)?;
                let packets = self.out.drain(..).map(|packet| match packet {
                    Packet::Text(text) => text,
                    Packet::Bytes(bytes) => format!("b{}", STANDARD.encode(bytes)),
                });
                let payload: Vec<String> = packets.collect();
                place.send(payload.join(SEPARATOR));
                Ok(())
            }
        }
    }

    /// What comes next. It can be given up and asked for again.
    pub(super) async fn next(&mut self) -> Result<Message, String> {
        loop {
            self.send().await?;
            let socket = match &mut self.way {
                Way::Socket(socket) => socket,
                Way::Polls { told, .. } => return told.recv().await.ok_or("the end")?,
            };
            let frame = socket.next().await.ok_or("the end")?;
            match frame.map_err(told)? {
                Frame::Text(text) => match text.as_str().split_at_checked(1) {
                    // A heartbeat.
                    Some(("2", _)) => self.out.push_back(Packet::Text("3".to_owned())),
                    Some(("4", text)) => return Ok(Message::text(text.to_owned())),
                    Some(("6", _)) => {}
                    _ => return Err(format!("closed: {text}")),
                },
                Frame::Binary(bytes) => return Ok(Message::Bytes(bytes.to_vec())),
                Frame::Close(why) => return Err(format!("closed: {why:?}")),
                _ => {}
            }
        }
    }

    /// Ends it in an orderly way.
    pub(super) async fn close(&mut self) -> Result<(), String> {
        // Out of the namespace.
        self.put(Message::text("1".to_owned()));
        if matches!(self.way, Way::Polls { .. }) {
            self.out.push_back(Packet::Text("1".to_owned()));
        }
        self.send().await?;
        match &mut self.way {
            Way::Socket(socket) => {
                (**socket).close(None).await.map_err(told)?;
                while socket.next().await.is_some_and(|it| it.is_ok()) {}
            }
            Way::Polls { told, .. } => while told.recv().await.is_some_and(|it| it.is_ok()) {},
        }
        Ok(())
    }
}

async fn open_socket(address: &str) -> Result<Way, String> {
    let tcp = TcpSocket::new_v4().map_err(told)?;
    tcp.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)
        .map_err(told)?;
    let stream = tcp
        .connect(address.parse().map_err(told)?)
        .await
        .map_err(told)?;
    let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
    let (mut socket, _) = client_async(url, stream).await.map_err(told)?;
    match socket.next().await {
        Some(Ok(Frame::Text(text))) if text.starts_with('0') => Ok(Way::Socket(Box::new(socket))),
        other => Err(format!("no handshake: {other:?}")),
    }
}

/// Opens a session, and polls it from then on.
async fn poll(url: String) -> Result<Way, String> {
    let http = reqwest::Client::builder()
        .pool_max_idle_per_host(2)
        .build()
        .map_err(told)?;
    let open = ask(http.get(&url)).await?;
    let open: serde_json::Value = serde_json::from_str(open.get(1..).unwrap_or_default())
        .map_err(|error| format!("{error} in {open}"))?;
    let sid = open["sid"].as_str().ok_or("no sid")?;
    let url = format!("{url}&sid={sid}");
    let (posts, mut bodies) = mpsc::channel::<String>(POSTS);
    let (tell, told) = mpsc::channel(WAITING);
    let mut tasks = JoinSet::new();
    let (posting, address, ended) = (http.clone(), url.clone(), tell.clone());
    tasks.spawn(async move {
        // One after the other: two at a time are not allowed.
        while let Some(body) = bodies.recv().await {
            if let Err(why) = ask(posting.post(&address).body(body)).await {
                let _ = ended.send(Err(why)).await;
                return;
            }
        }
    });
    let pongs = posts.clone();
    tasks.spawn(async move {
        for t in 0u64.. {
            // As official clients do: no two requests have the same.
            let url = format!("{url}&t={t}");
            let payload = match ask(http.get(&url)).await {
                Ok(payload) => payload,
                Err(why) => {
                    let _ = tell.send(Err(why)).await;
                    return;
                }
            };
            for packet in payload.split(SEPARATOR) {
                let said = match packet.split_at_checked(1) {
                    Some(("2", _)) => {
                        let _ = pongs.send("3".to_owned()).await;
                        continue;
                    }
                    Some(("6", _)) => continue,
                    Some(("4", text)) => Ok(Message::text(text.to_owned())),
                    Some(("b", base64)) => {
                        Ok(Message::Bytes(STANDARD.decode(base64).expect("base64")))
                    }
                    _ => Err(format!("closed: {packet}")),
                };
                let is_over = said.is_err();
                if tell.send(said).await.is_err() || is_over {
                    return;
                }
            }
        }
    });
    Ok(Way::Polls {
        posts,
        told,
        _tasks: tasks,
    })
}

async fn ask(request: reqwest::RequestBuilder) -> Result<String, String> {
    let answer = request.send().await.map_err(told)?;
    let status = answer.status();
    let text = answer.text().await.map_err(told)?;
    if status.is_success() {
        Ok(text)
    } else {
        Err(format!("{status}: {text}"))
    }
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}
