//! Socket.IO, over a WebSocket and by polling, as an official client speaks it: it comes back to its
//! rooms with the cursor behind the last event, by itself if it can.

mod bytes;
mod wire;

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};

use self::bytes::Partial;
use self::wire::{Message, Wire};
use super::{Driver, Incoming};
use crate::chaos::history::{Answer, room_of};
use crate::harness::msgpack;
use crate::harness::rest::User;

/// How long a handshake, or an orderly end, may take.
const HANDSHAKE: Duration = Duration::from_secs(3);

/// The `pid` that each session was given last. It says no more than that it was given one.
static PIDS: LazyLock<Mutex<HashMap<String, String>>> = LazyLock::new(Mutex::default);

pub(in crate::chaos) struct SocketIo<const IS_POLLING: bool> {
    wire: Wire,
    token: String,
    standing: Standing,
    /// What is said when the client is in the namespace.
    waiting: Vec<Message>,
    /// The numbers of commands, by the ids on the wire.
    ops: HashMap<u64, u64>,
    next_id: u64,
    /// A packet whose attachments are on their way.
    partial: Option<Partial>,
    /// The offset of its library.
    cursor: Option<String>,
}

/// How it stands to the namespace.
enum Standing {
    Outside,
    Asked(Option<Recovery>),
    Recovering(Recovery),
    Inside,
}

/// A client that comes back by itself. To the checker that is a `resume` with this number.
struct Recovery {
    op: u64,
    pid: String,
    rooms: usize,
    /// Of them it has heard. Of one it may hear twice: a replay that has begun can fail.
    resumed: BTreeSet<String>,
}

impl Recovery {
    /// The answer that the command would have had.
    fn answer(&self) -> Incoming {
        let resumed = self.resumed.len();
        Incoming::Answer(
            self.op,
            Answer::Done(json!({ "resumed": resumed, "refused": 0 })),
        )
    }
}

impl<const IS_POLLING: bool> Driver for SocketIo<IS_POLLING> {
    const PROTOCOL: &'static str = if IS_POLLING {
        "socket.io by polling"
    } else {
        "socket.io"
    };

    fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    async fn connect(address: &str, user: &User) -> Result<Self, String> {
        let opening = Wire::open(address, IS_POLLING);
        let opened = tokio::time::timeout(HANDSHAKE, opening).await;
        Ok(Self {
            wire: opened.map_err(|late| late.to_string())??,
            token: user.token.clone(),
            standing: Standing::Outside,
            waiting: Vec::new(),
            ops: HashMap::new(),
            next_id: 0,
            partial: None,
            cursor: None,
        })
    }

    async fn command(&mut self, op: u64, cmd: &'static str, fields: &Value) {
        if matches!(self.standing, Standing::Outside) {
            // Who has a cursor can show it at once.
            if cmd == "resume" && self.enter_again(op, fields) {
                return self.send().await;
            }
            self.enter(&json!({ "token": self.token }), None);
        }
        self.next_id += 1;
        self.ops.insert(self.next_id, op);
        let mut fields = fields.clone();
        msgpack::with_bytes(&mut fields);
        let args = json!([cmd, fields]);
        let event = bytes::event(self.next_id, args);
        if matches!(self.standing, Standing::Asked(_)) {
            self.waiting.push(event);
        } else {
            self.wire.put(event);
        }
        self.send().await;
    }

    async fn next(&mut self) -> Incoming {
        loop {
            if let Some(recovery) = self.recovered() {
                return recovery.answer();
            }
            let message = match self.wire.next().await {
                Ok(message) => message,
                Err(why) => return Incoming::End(why),
            };
            if let Some(incoming) = self.take(message) {
                return incoming;
            }
        }
    }

    async fn close(mut self) {
        let ending = async {
            // Nobody hears whether it went well.
            let _ = self.wire.close().await;
        };
        let _ = tokio::time::timeout(HANDSHAKE, ending).await;
    }
}

impl<const IS_POLLING: bool> SocketIo<IS_POLLING> {
    async fn send(&mut self) {
        // What fails here is heard of as the connection's end.
        let _ = self.wire.send().await;
    }

    fn enter(&mut self, auth: &Value, recovery: Option<Recovery>) {
        self.standing = Standing::Asked(recovery);
        self.wire.put(Message::text(format!("0{auth}")));
    }

    /// Comes in as one who was here. False if there is nothing to show.
    fn enter_again(&mut self, op: u64, fields: &Value) -> bool {
        let cursor = fields["cursor"].as_str().unwrap_or_default();
        let rooms = hubbub::protocol::cursor::decode(cursor).map_or(0, |it| it.len());
        let pid = PIDS.lock().get(&self.token).cloned();
        let Some(pid) = pid.filter(|_| rooms > 0) else {
            return false;
        };
        let auth = json!({ "token": self.token, "pid": pid, "offset": cursor });
        let recovery = Recovery {
            op,
            pid,
            rooms,
            resumed: BTreeSet::new(),
        };
        self.enter(&auth, Some(recovery));
        true
    }

    /// The recovery, once it has heard of all of its rooms.
    fn recovered(&mut self) -> Option<Recovery> {
        match std::mem::replace(&mut self.standing, Standing::Inside) {
            Standing::Recovering(recovery) if recovery.resumed.len() >= recovery.rooms => {
                Some(recovery)
            }
            before => {
                self.standing = before;
                None
            }
        }
    }

    fn take(&mut self, message: Message) -> Option<Incoming> {
        let packet = match (message, self.partial.take()) {
            (message, Some(partial)) => partial.goes_on(message),
            (Message::Text(text, _), None) => bytes::packet(&text),
            (Message::Bytes(_), None) => panic!("bytes that belong to no packet"),
        };
        match packet {
            bytes::Packet::Partial(partial) => {
                self.partial = Some(partial);
                None
            }
            bytes::Packet::Connect(told) => self.connected(&told),
            bytes::Packet::Refused(told) => Some(Incoming::End(format!("refused: {told}"))),
            bytes::Packet::Disconnect => Some(Incoming::End("put out".to_owned())),
            bytes::Packet::Event(args) => self.event(args),
            bytes::Packet::Ack(id, mut args) => {
                let op = self.ops.remove(&id);
                let op = op.unwrap_or_else(|| panic!("nobody asked for {id}: {args}"));
                Some(Incoming::Answer(op, answer(args[0].take())))
            }
        }
    }

    /// It is in the namespace.
    fn connected(&mut self, told: &Value) -> Option<Incoming> {
        let pid = told["pid"].as_str().expect("an official client has a pid");
        PIDS.lock().insert(self.token.clone(), pid.to_owned());
        let asked = std::mem::replace(&mut self.standing, Standing::Inside);
        let Standing::Asked(recovery) = asked else {
            panic!("connected without asking: {told}");
        };
        for message in self.waiting.drain(..) {
            self.wire.put(message);
        }
        let recovery = recovery?;
        if recovery.pid == pid {
            self.standing = Standing::Recovering(recovery);
            return None;
        }
        // It is told by `gap`, and joins its rooms anew.
        Some(recovery.answer())
    }

    fn event(&mut self, mut args: Value) -> Option<Incoming> {
        let name = args[0].as_str().expect("a name").to_owned();
        if name == "cursor" {
            self.cursor = args[1].as_str().map(str::to_owned);
            return None;
        }
        if name == "gap" {
            return None;
        }
        assert_ne!(name, "refused", "every command asks for an answer: {args}");
        if let Some(cursor) = args[2].as_str() {
            self.cursor = Some(cursor.to_owned());
        }
        let mut push = args[1].take();
        assert_eq!(push["push"], *name, "{push}");
        if let Standing::Recovering(recovery) = &mut self.standing
            && name == "resumed"
        {
            let room = room_of(&push).expect("it is of a room");
            recovery.resumed.insert(room.to_owned());
        }
        // The history is written in JSON.
        msgpack::with_base64(&mut push);
        Some(Incoming::Push(push))
    }
}

fn answer(mut told: Value) -> Answer {
    if told["err"].is_object() {
        return Answer::Refused {
            code: told["err"]["code"].as_str().unwrap_or_default().to_owned(),
            retry: told["err"]["retry"] == true,
        };
    }
    assert!(told["ok"].is_object(), "neither ok nor err: {told}");
    let messages = told.pointer_mut("/ok/messages");
    if let Some(messages) = messages.and_then(Value::as_array_mut) {
        messages.iter_mut().for_each(msgpack::with_base64);
    }
    Answer::Done(told["ok"].take())
}
