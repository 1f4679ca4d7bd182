//! Event streams: one for each room, or one of all rooms; and REST for what a client says.

mod standing;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::{Driver, Incoming, answer_of};
use crate::chaos::history::Answer;
use crate::harness::rest::User;
use crate::harness::stream::Interpreter;
use standing::Standing;

/// How long a stream may take to begin.
const OPENING: Duration = Duration::from_secs(3);

/// Pushes and answers that may wait for the client: when it does not read, the streams are not
/// read either.
const WAITING: usize = 16;

/// Requests that may wait for those before them: as many as all of a client's outboxes hold. With
/// fewer, a client that says much and does not read meanwhile would wait for itself.
const REQUESTS: usize = 1024;

/// A client of streams, of the one of all rooms if it `IS_WHOLE`.
pub(in crate::chaos) struct Sse<const IS_WHOLE: bool> {
    user: User,
    address: String,
    /// For requests, in the order in which they are made.
    requests: mpsc::Sender<(u64, RequestBuilder)>,
    http: reqwest::Client,
    tell: mpsc::Sender<Told>,
    told: mpsc::Receiver<Told>,
    /// Answers that need no node.
    own: VecDeque<Incoming>,
    streams: HashMap<String, Stream>,
    opened: u64,
    /// The command that opened the stream of all rooms.
    is_opening: Option<u64>,
    /// The id of the last event that was taken from the stream of all rooms.
    last_event_id: Option<String>,
    /// Ended with it.
    tasks: JoinSet<()>,
}

/// The stream of a room.
struct Stream {
    number: u64,
    task: AbortHandle,
    /// The membership has ended: what comes next is the end.
    is_removed: bool,
}

/// What the tasks bring.
enum Told {
    Answer(u64, Answer),
    /// Of the stream with this number, with the id that it leaves.
    Push(u64, Value, String),
    /// An id is not where the client stands.
    Wrong(String),
    End(u64, String),
}

impl<const IS_WHOLE: bool> Driver for Sse<IS_WHOLE> {
    const PROTOCOL: &'static str = if IS_WHOLE { "sse of all rooms" } else { "sse" };

    const IS_WHOLE: bool = IS_WHOLE;

    fn speaks(cmd: &str) -> bool {
        match cmd {
            "join" | "leave" => !IS_WHOLE,
            "resume" => IS_WHOLE,
            _ => cmd == "publish" || cmd.starts_with("message."),
        }
    }

    fn cursor(&self) -> Option<&str> {
        self.last_event_id.as_deref()
    }

    async fn connect(address: &str, user: &User) -> Result<Self, String> {
        let (tell, told) = mpsc::channel(WAITING);
        let (requests, mut next) = mpsc::channel::<(u64, RequestBuilder)>(REQUESTS);
        let mut tasks = JoinSet::new();
        let answers = tell.clone();
        tasks.spawn(async move {
            while let Some((op, request)) = next.recv().await {
                let answer = answer_of(request.timeout(OPENING)).await;
                if answers.send(Told::Answer(op, answer)).await.is_err() {
                    return;
                }
            }
        });
        let http = reqwest::Client::builder().pool_max_idle_per_host(1).build();
        Ok(Self {
            user: user.clone(),
            address: address.to_owned(),
            requests,
            http: http.map_err(|error| error.to_string())?,
            tell,
            told,
            own: VecDeque::new(),
            streams: HashMap::new(),
            opened: 0,
            is_opening: None,
            last_event_id: None,
            tasks,
        })
    }

    async fn command(&mut self, op: u64, cmd: &'static str, fields: &Value) {
        let room = fields["room"].as_str().unwrap_or_default().to_owned();
        match cmd {
            "join" | "resume" => self.open(op, room, fields),
            "leave" => {
                self.shut(&room);
                let answer = Answer::Done(json!({}));
                self.own.push_back(Incoming::Answer(op, answer));
            }
            _ => {
                let request = self.request_of(cmd, &room, fields);
                // The worker lives as long as this.
                let _ = self.requests.send((op, request)).await;
            }
        }
    }

    async fn next(&mut self) -> Incoming {
        if let Some(own) = self.own.pop_front() {
            return own;
        }
        loop {
            let told = self.told.recv().await.expect("this has a sender itself");
            match told {
                Told::Answer(op, answer) => {
                    let is_refused = matches!(answer, Answer::Refused { .. });
                    if answer == Answer::Lost {
                        // The node may be somewhere else by now.
                        let why = "the node does not answer".to_owned();
                        self.own.push_back(Incoming::End(why));
                    } else if is_refused && self.is_opening == Some(op) {
                        let why = "no stream was given".to_owned();
                        self.own.push_back(Incoming::End(why));
                    }
                    return Incoming::Answer(op, answer);
                }
                Told::Wrong(what) => panic!("{what}"),
                Told::Push(number, push, id) => {
                    let mut streams = self.streams.values_mut();
                    // One that was shut or opened anew says nothing more.
                    if let Some(stream) = streams.find(|stream| stream.number == number) {
                        if IS_WHOLE {
                            self.last_event_id = Some(id).filter(|id| !id.is_empty());
                        } else {
                            stream.is_removed |= push["push"] == "removed";
                        }
                        return Incoming::Push(push);
                    }
                }
                Told::End(number, why) => {
                    let stream = self.streams.iter().find(|(_, it)| it.number == number);
                    let Some((room, stream)) = stream else {
                        continue;
                    };
                    if !stream.is_removed {
                        return Incoming::End(why);
                    }
                    let room = room.clone();
                    self.shut(&room);
                }
            }
        }
    }

    async fn close(self) {}
}

impl<const IS_WHOLE: bool> Sse<IS_WHOLE> {
    /// Opens the stream of a room, whose answer is the push `resumed`, or that of all rooms, which
    /// is answered by its beginning.
    fn open(&mut self, op: u64, room: String, fields: &Value) {
        self.shut(&room);
        self.opened += 1;
        let number = self.opened;
        // Of its own connection, so that each stream can stand still by itself.
        let (path, last) = if IS_WHOLE {
            self.is_opening = Some(op);
            let cursor = fields["cursor"].as_str().map(str::to_owned);
            ("/api/events".to_owned(), cursor)
        } else {
            let since = fields["since"].as_u64();
            let last = since.map(|since| format!("{}-{since}", fields["epoch"]));
            (format!("/api/rooms/{room}/events"), last)
        };
        let mut request = self.request(Method::GET, &path);
        if let Some(last) = &last {
            request = request.header("last-event-id", last);
        }
        let standing = if IS_WHOLE {
            Standing::in_all(last.as_deref())
        } else {
            Standing::in_one(fields["epoch"].as_u64())
        };
        let reading = read(request, op, number, standing, self.tell.clone());
        let task = self.tasks.spawn(reading);
        let is_removed = false;
        let stream = Stream {
            number,
            task,
            is_removed,
        };
        self.streams.insert(room, stream);
    }

    fn shut(&mut self, room: &str) {
        if let Some(stream) = self.streams.remove(room) {
            stream.task.abort();
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}{path}", self.address);
        self.http.request(method, url).bearer_auth(&self.user.token)
    }

    /// A command as REST has it.
    fn request_of(&self, cmd: &str, room: &str, fields: &Value) -> RequestBuilder {
        let messages = format!("/api/rooms/{room}/messages");
        let id = fields["message_id"].as_str().unwrap_or_default();
        let message = format!("{messages}/{id}");
        match cmd {
            "publish" => {
                let mut body = fields.clone();
                if let Some(fields) = body.as_object_mut() {
                    fields.remove("room");
                }
                self.request(Method::POST, &messages).json(&body)
            }
            "message.edit" => {
                let body = json!({ "body": fields["body"], "encoding": fields["encoding"] });
                self.request(Method::PATCH, &message).json(&body)
            }
            "message.delete" => self.request(Method::DELETE, &message),
            "message.react" => {
                let method =
                    [Method::PUT, Method::DELETE][usize::from(fields["remove"] == true)].clone();
                let emoji = fields["emoji"].as_str().unwrap_or_default();
                self.request(method, &format!("{message}/reactions/{emoji}"))
            }
            "message.pin" => {
                let method =
                    [Method::DELETE, Method::PUT][usize::from(fields["pinned"] == true)].clone();
                self.request(method, &format!("{message}/pin"))
            }
            other => unreachable!("{other} is not spoken"),
        }
    }
}

/// Reads a stream to its end.
async fn read(
    request: RequestBuilder,
    op: u64,
    number: u64,
    mut standing: Standing,
    tell: mpsc::Sender<Told>,
) {
    let opened = tokio::time::timeout(OPENING, request.send()).await;
    let mut response = match opened {
        Ok(Ok(response)) if response.status().is_success() => response,
        Ok(Ok(response)) => {
            let answer = super::refusal_of(response).await;
            let _ = tell.send(Told::Answer(op, answer)).await;
            return;
        }
        Ok(Err(_)) | Err(_) => {
            let _ = tell.send(Told::Answer(op, Answer::Lost)).await;
            return;
        }
    };
    let mut interpreter = Interpreter::default();
    let mut is_answered = false;
    if standing.is_in_all() {
        is_answered = true;
        let told = Told::Answer(op, Answer::Done(json!({})));
        if tell.send(told).await.is_err() {
            return;
        }
    }
    let mut why = "broken off".to_owned();
    while let Ok(Some(bytes)) = response.chunk().await {
        for event in interpreter.feed(&bytes) {
            let push = event.json();
            let told = match event.name.as_str() {
                "close" => {
                    why = format!("{} {}", push["code"], push["reason"]);
                    continue;
                }
                "resumed" if !is_answered => {
                    is_answered = true;
                    standing.resumed(&push);
                    Told::Answer(op, resumed(push))
                }
                _ => match standing.check(&event, &push) {
                    Ok(()) => Told::Push(number, push, event.last_event_id),
                    Err(what) => Told::Wrong(what),
                },
            };
            if tell.send(told).await.is_err() {
                return;
            }
        }
    }
    if !is_answered {
        let _ = tell.send(Told::Answer(op, Answer::Lost)).await;
    }
    let _ = tell.send(Told::End(number, why)).await;
}

/// The push `resumed` is to a stream what its reply is to a `join`.
fn resumed(push: Value) -> Answer {
    match push.get("err") {
        Some(err) => Answer::Refused {
            code: err["code"].as_str().unwrap_or_default().to_owned(),
            retry: err["retry"] == true,
        },
        None => Answer::Done(push),
    }
}
