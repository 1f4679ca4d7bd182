//! Subscriptions, as they come out of a history: each from the reply to a `join` to its end, with
//! what was observed in between.

use std::collections::BTreeMap;

use serde_json::Value;

use super::history::{Answer, ClientNo, History, What, room_of, seq_of};

/// One connection in one room.
#[derive(Debug)]
pub(super) struct Subscription<'a> {
    pub(super) client: ClientNo,
    pub(super) room: String,
    /// The records of the `join` and of its reply.
    pub(super) asked_at: usize,
    pub(super) begun_at: usize,
    /// The position that the client showed.
    pub(super) since: Option<u64>,
    pub(super) epoch_shown: Option<u64>,
    pub(super) reply: Joined,
    /// Durable pushes, as they came.
    pub(super) seen: Vec<Seen<'a>>,
    /// None if it lasted until the end of the run.
    pub(super) ended_at: Option<usize>,
    /// A later `join` of the same room was refused: whether this goes on is not told.
    pub(super) is_uncertain: bool,
}

/// A durable push.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    /// Its record.
    pub(super) at: usize,
    pub(super) seq: u64,
    pub(super) push: &'a Value,
}

/// The reply to a `join`.
#[derive(Clone, Debug, Default)]
pub(super) struct Joined {
    pub(super) epoch: u64,
    pub(super) last_seq: u64,
    /// None where the protocol does not tell.
    pub(super) replayed: Option<u64>,
    pub(super) gap: Option<Gap>,
}

/// Events that are missing from the replay, as the client was told.
#[derive(Clone, Debug)]
pub(super) struct Gap {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) reason: String,
}

/// A push of a room that came to a connection that was not in it.
#[derive(Debug)]
pub(super) struct Stray<'a> {
    pub(super) at: usize,
    pub(super) client: ClientNo,
    pub(super) room: &'a str,
    pub(super) push: &'a Value,
}

impl Joined {
    /// Of the reply's fields.
    pub(super) fn of(ok: &Value) -> Self {
        let gap = ok.get("gap").filter(|gap| gap.is_object());
        Self {
            epoch: ok["epoch"].as_u64().unwrap_or_default(),
            last_seq: ok["last_seq"].as_u64().unwrap_or_default(),
            replayed: ok["replayed"].as_u64(),
            gap: gap.map(|gap| Gap {
                from: gap["from"].as_u64().unwrap_or_default(),
                to: gap["to"].as_u64().unwrap_or_default(),
                reason: gap["reason"].as_str().unwrap_or_default().to_owned(),
            }),
        }
    }
}

impl Subscription<'_> {
    /// The first event that it must observe.
    pub(super) fn first_expected(&self) -> u64 {
        match (&self.reply.gap, self.since) {
            (Some(gap), _) if gap.reason == "epoch" => self.reply.last_seq + 1,
            (Some(gap), _) => gap.to + 1,
            (None, Some(since)) => since + 1,
            (None, None) => self.reply.last_seq + 1,
        }
    }

    /// What the client has when it has all that this subscription told.
    pub(super) fn position(&self) -> u64 {
        let seen = self.seen.iter().map(|seen| seen.seq).max();
        seen.unwrap_or(0).max(self.first_expected() - 1)
    }
}

/// All subscriptions, in the order in which they began, and what came outside of any.
pub(super) fn of(history: &History) -> (Vec<Subscription<'_>>, Vec<Stray<'_>>) {
    let mut reader = Reader::default();
    for (at, record) in history.records.iter().enumerate() {
        if let Some(client) = record.client {
            reader.read(at, client, &record.what);
        }
    }
    (reader.subscriptions, reader.strays)
}

#[derive(Default)]
struct Reader<'a> {
    subscriptions: Vec<Subscription<'a>>,
    strays: Vec<Stray<'a>>,
    /// Those that go on, by client and room.
    open: BTreeMap<(ClientNo, String), usize>,
    /// Joins and leaves without an answer yet.
    asked: BTreeMap<u64, (usize, bool, &'a Value)>,
}

impl<'a> Reader<'a> {
    fn read(&mut self, at: usize, client: ClientNo, what: &'a What) {
        match what {
            What::Asked { op, cmd, fields } if *cmd == "join" || *cmd == "leave" => {
                self.asked.insert(*op, (at, *cmd == "join", fields));
            }
            What::Answered { op, answer } => {
                let Some((asked_at, is_join, fields)) = self.asked.remove(op) else {
                    return;
                };
                let room = room_of(fields).unwrap_or_default().to_owned();
                match (is_join, answer) {
                    (true, Answer::Done(ok)) => {
                        self.end(client, &room, at);
                        self.open
                            .insert((client, room.clone()), self.subscriptions.len());
                        self.subscriptions.push(Subscription {
                            client,
                            room,
                            asked_at,
                            begun_at: at,
                            since: fields["since"].as_u64(),
                            epoch_shown: fields["epoch"].as_u64(),
                            reply: Joined::of(ok),
                            seen: Vec::new(),
                            ended_at: None,
                            is_uncertain: false,
                        });
                    }
                    (true, _) => {
                        if let Some(number) = self.open.get(&(client, room)) {
                            self.subscriptions[*number].is_uncertain = true;
                        }
                    }
                    (false, Answer::Done(_)) => self.end(client, &room, at),
                    (false, _) => {}
                }
            }
            What::Observed { push } => self.observed(at, client, push),
            What::Connected { .. } | What::Ended { .. } => {
                let rooms: Vec<String> = (self.open.keys())
                    .filter(|(of, _)| *of == client)
                    .map(|(_, room)| room.clone())
                    .collect();
                for room in rooms {
                    self.end(client, &room, at);
                }
            }
            _ => {}
        }
    }

    fn observed(&mut self, at: usize, client: ClientNo, push: &'a Value) {
        let Some(room) = room_of(push) else {
            return;
        };
        let open = self.open.get(&(client, room.to_owned())).copied();
        if push["push"] == "removed" {
            self.end(client, room, at);
            return;
        }
        match (open, seq_of(push)) {
            (Some(number), Some(seq)) => {
                self.subscriptions[number].seen.push(Seen { at, seq, push });
            }
            (Some(_), None) => {}
            // Tells how a resume went, before the subscription begins.
            (None, _) if push["push"] == "resumed" => {}
            // A read marker is told to the user's own connections, wherever they are.
            (None, _) if push["push"] == "read" => {}
            (None, _) => self.strays.push(Stray {
                at,
                client,
                room,
                push,
            }),
        }
    }

    fn end(&mut self, client: ClientNo, room: &str, at: usize) {
        if let Some(number) = self.open.remove(&(client, room.to_owned())) {
            self.subscriptions[number].ended_at = Some(at);
        }
    }
}
