//! A client of Socket.IO as official ones are, by a WebSocket.

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::harness::engineio::{Place, RawSocket};
use crate::harness::rest::{Room, User, text};

/// One in the main namespace, or on its way there.
pub(super) struct Client {
    pub(super) socket: RawSocket,
    next_ack: u64,
    /// What it was given to recover by.
    pub(super) pid: Option<String>,
    /// The last argument of the last event that ended in a string.
    pub(super) offset: Option<String>,
    /// Events that came while something else was waited for: name and arguments.
    events: VecDeque<Vec<Value>>,
    revision: u8,
}

/// What came.
#[derive(Debug)]
pub(super) enum Came {
    Event(Vec<Value>),
    Ack(u64, Value),
    Accepted(Value),
    Refused(Value),
    PutOut,
    Closed,
}

impl Client {
    /// Opens a WebSocket, and says nothing yet.
    pub(super) async fn open(place: &Place) -> Self {
        let (socket, _) = place.open_socket().await;
        Self::on(socket, place.revision)
    }

    pub(super) fn on(socket: RawSocket, revision: u8) -> Self {
        Self {
            socket,
            next_ack: 0,
            pid: None,
            offset: None,
            events: VecDeque::new(),
            revision,
        }
    }

    /// Connects as a user.
    pub(super) async fn connect(place: &Place, user: &User) -> Self {
        let mut client = Self::open(place).await;
        client.enter(&json!({ "token": user.token })).await;
        client
    }

    /// Connects as a user, and joins a room.
    pub(super) async fn in_room(place: &Place, user: &User, room: &Room) -> Self {
        let mut client = Self::connect(place, user).await;
        client.join(room).await;
        client
    }

    /// Joins a room. Gives what it was answered.
    pub(super) async fn join(&mut self, room: &Room) -> Value {
        self.done("join", &json!({ "room": room.id })).await
    }

    /// Comes into the main namespace. Gives what it was answered.
    pub(super) async fn enter(&mut self, auth: &Value) -> Value {
        match self.ask_to_enter(auth).await {
            Came::Accepted(data) => data,
            other => panic!("not accepted: {other:?}"),
        }
    }

    pub(super) async fn ask_to_enter(&mut self, auth: &Value) -> Came {
        self.socket.send(&format!("40{auth}")).await;
        let came = loop {
            match self.came().await {
                // Said before it left the namespace.
                Came::Event(_) => {}
                came => break came,
            }
        };
        if let Came::Accepted(data) = &came {
            self.pid = data["pid"].as_str().map(str::to_owned);
        }
        came
    }

    /// Says something that asks for an acknowledgement, and waits for that.
    pub(super) async fn ask(&mut self, event: &str, arg: &Value) -> Value {
        let id = self.next_ack;
        self.next_ack += 1;
        let packet = format!("42{id}{}", json!([event, arg]));
        self.socket.send(&packet).await;
        loop {
            match self.came().await {
                Came::Ack(acked, answer) if acked == id => return answer,
                Came::Event(event) => self.events.push_back(event),
                other => panic!("no acknowledgement of {packet}: {other:?}"),
            }
        }
    }

    /// The same, which must be done.
    pub(super) async fn done(&mut self, event: &str, arg: &Value) -> Value {
        let answer = self.ask(event, arg).await;
        assert!(answer["ok"].is_object(), "{event} {arg}: {answer}");
        answer["ok"].clone()
    }

    /// The next event of a name; those before it of others are passed over.
    pub(super) async fn event(&mut self, name: &str) -> Value {
        self.event_args(name).await.remove(0)
    }

    /// Its arguments.
    pub(super) async fn event_args(&mut self, name: &str) -> Vec<Value> {
        loop {
            let mut event = match self.events.pop_front() {
                Some(event) => event,
                None => match self.came().await {
                    Came::Event(event) => event,
                    other => panic!("no {name}: {other:?}"),
                },
            };
            if event.remove(0) == name {
                return event;
            }
        }
    }

    /// The bodies of the next messages.
    pub(super) async fn bodies(&mut self, count: usize) -> Vec<String> {
        let mut bodies = Vec::new();
        for _ in 0..count {
            bodies.push(text(&self.event("message").await["body"]));
        }
        bodies
    }

    /// The next packet but heartbeats.
    pub(super) async fn came(&mut self) -> Came {
        loop {
            let Some(message) = self.socket.message().await else {
                return Came::Closed;
            };
            let packet = message.into_text().expect("text");
            if packet.as_str() == "2" && self.revision == 4 {
                self.socket.send("3").await;
                continue;
            }
            let packet = packet.strip_prefix('4').expect("a message");
            return self.read(packet);
        }
    }

    fn read(&mut self, packet: &str) -> Came {
        let json = |text: &str| match text {
            "" => Value::Null,
            text => serde_json::from_str(text).expect(text),
        };
        let (kind, rest) = packet.split_at(1);
        match kind {
            "0" => Came::Accepted(json(rest)),
            "1" => Came::PutOut,
            "2" => {
                let event: Vec<Value> = serde_json::from_str(rest).expect(rest);
                // As official clients do it: the name counts as one.
                if let Some(Value::String(offset)) = event.last() {
                    self.offset = Some(offset.clone());
                }
                Came::Event(event)
            }
            "3" => {
                let digits = rest.find('[').expect("a list");
                let (id, args) = rest.split_at(digits);
                let mut args: Vec<Value> = serde_json::from_str(args).expect(args);
                assert_eq!(args.len(), 1, "{packet}");
                Came::Ack(id.parse().expect("an id"), args.remove(0))
            }
            "4" => Came::Refused(json(rest)),
            _ => panic!("a packet of no known kind: {packet}"),
        }
    }
}
