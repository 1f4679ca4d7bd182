//! What happened, as the clients know it: what each of them sent, was told and observed.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use serde_json::Value;

/// A client of the run, by its place in [`History::clients`].
pub(super) type ClientNo = usize;

/// What was recorded, with what the generator made up before the first step.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    pub(super) seed: u64,
    pub(super) clients: Vec<ClientInfo>,
    pub(super) rooms: Vec<RoomInfo>,
    /// What is to break, by its name.
    pub(super) strikes: Vec<&'static str>,
    /// As many events must be acknowledged, or nothing was tried.
    pub(super) acks_min: u64,
    /// As many nodes there are when all is at rest.
    pub(super) nodes: usize,
    /// In the order in which they were written down, which for one connection is the order in
    /// which things happened.
    pub(super) records: Vec<Record>,
}

/// A client: a user with, at each moment, at most one connection. Several clients may be one user.
#[derive(Clone, Debug)]
pub(super) struct ClientInfo {
    pub(super) user_id: String,
    pub(super) name: String,
}

/// A room.
#[derive(Clone, Debug)]
pub(super) struct RoomInfo {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) epoch: u64,
    /// Its first owner, who is a member before the first event.
    pub(super) owner_id: String,
    /// Whether new members see only what comes after them, at the room's beginning.
    pub(super) hides_past: bool,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// Since the beginning of the run, milliseconds.
    pub(super) at_ms: u64,
    /// None for what was done to nodes and to what they need.
    pub(super) client: Option<ClientNo>,
    /// Counts the client's connections from 1.
    pub(super) connection: u32,
    pub(super) what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    /// A connection was opened.
    Connected {
        protocol: &'static str,
        /// The node's number; none if nginx has chosen it.
        node: Option<usize>,
    },
    /// It ended.
    Ended { why: String },
    /// A command was sent, on the connection or by REST.
    Asked {
        /// Its number, unique in the run.
        op: u64,
        cmd: &'static str,
        fields: Value,
    },
    /// What the client was told of a command.
    Answered { op: u64, answer: Answer },
    /// A push came.
    Observed { push: Value },
    /// A page of the room's newest messages was read over REST.
    Snapshot { room: String, page: Value },
    /// A node was asked who is in a room, by none of the clients.
    Told {
        node: usize,
        room: String,
        answer: Value,
    },
    /// What was planned to break has broken.
    Struck {
        /// Its place in [`History::strikes`].
        strike: usize,
        kind: &'static str,
        what: String,
    },
    /// Something that belongs to it, such as its end.
    Fault { what: String },
    /// From here on nothing is broken, and clients come to rest.
    Mended,
    /// Every node tells rightly who is there. From here on nothing breaks but the node that last words
    /// may be said on.
    Calm,
    /// From here on nobody asks for anything and nothing is broken.
    Settled,
}

/// What a client was told of a command.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    Done(Value),
    Refused {
        code: String,
        retry: bool,
    },
    /// The connection ended first, or nothing came in time.
    Lost,
}

impl Answer {
    /// Whether it leaves open what became of the command.
    pub(super) fn is_unsure(&self) -> bool {
        match self {
            Self::Lost => true,
            Self::Refused { code, .. } => code == "unknown" || code == "internal",
            Self::Done(_) => false,
        }
    }

    /// Whether it acknowledges an event.
    pub(super) fn is_of_an_event(&self) -> bool {
        matches!(self, Self::Done(ok) if seq_of(ok).is_some())
    }

    /// Whether the same command should be sent again.
    pub(super) fn wants_retry(&self) -> bool {
        matches!(self, Self::Lost | Self::Refused { retry: true, .. })
    }
}

/// The pen. Everybody writes with it, so that the records have one order.
#[derive(Clone, Debug)]
pub(super) struct Recorder(Arc<Mutex<Book>>);

#[derive(Debug)]
struct Book {
    started: Instant,
    next_op: u64,
    /// Events that were acknowledged.
    acks: u64,
    /// Commands that were refused for good.
    refused: u64,
    history: History,
}

impl Recorder {
    pub(super) fn new(history: History) -> Self {
        Self(Arc::new(Mutex::new(Book {
            started: Instant::now(),
            next_op: 0,
            acks: 0,
            refused: 0,
            history,
        })))
    }

    /// Writes down what a client did or saw.
    pub(super) fn of(&self, client: ClientNo, connection: u32, what: What) {
        self.write(Some(client), connection, what);
    }

    /// Writes down that something has broken which was to break.
    pub(super) fn struck(&self, strike: usize, kind: &'static str, what: String) {
        self.write(None, 0, What::Struck { strike, kind, what });
    }

    /// Writes down what else was done to nodes and to what they need.
    pub(super) fn fault(&self, what: impl Into<String>) {
        self.write(None, 0, What::Fault { what: what.into() });
    }

    pub(super) fn mended(&self) {
        self.write(None, 0, What::Mended);
    }

    pub(super) fn calm(&self) {
        self.write(None, 0, What::Calm);
    }

    pub(super) fn settled(&self) {
        self.write(None, 0, What::Settled);
    }

    /// A node has told who is in a room.
    pub(super) fn told(&self, node: usize, room: &str, answer: Value) {
        let room = room.to_owned();
        self.write(None, 0, What::Told { node, room, answer });
    }

    fn write(&self, client: Option<ClientNo>, connection: u32, what: What) {
        let mut book = self.0.lock();
        if let What::Answered { answer, .. } = &what {
            book.acks += u64::from(answer.is_of_an_event());
            book.refused += u64::from(matches!(answer, Answer::Refused { retry: false, .. }));
        }
        let at_ms = u64::try_from(book.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        book.history.records.push(Record {
            at_ms,
            client,
            connection,
            what,
        });
    }

    /// How many events were acknowledged so far.
    pub(super) fn acks(&self) -> u64 {
        self.0.lock().acks
    }

    /// What is over of what was to be stored: it grows for as long as outboxes become shorter.
    pub(super) fn outcomes(&self) -> u64 {
        let book = self.0.lock();
        book.acks + book.refused
    }

    /// Who and what there is.
    pub(super) fn begin(&self, clients: Vec<ClientInfo>, rooms: Vec<RoomInfo>) {
        let mut book = self.0.lock();
        (book.history.clients, book.history.rooms) = (clients, rooms);
    }

    /// A number for a command.
    pub(super) fn op(&self) -> u64 {
        let mut book = self.0.lock();
        book.next_op += 1;
        book.next_op
    }

    /// What has been written so far.
    pub(super) fn history(&self) -> History {
        self.0.lock().history.clone()
    }
}

/// The room of a push, or of a command's fields.
pub(super) fn room_of(value: &Value) -> Option<&str> {
    value["room"].as_str()
}

/// The place of a durable push; ephemeral ones have none.
pub(super) fn seq_of(push: &Value) -> Option<u64> {
    push["seq"].as_u64()
}
