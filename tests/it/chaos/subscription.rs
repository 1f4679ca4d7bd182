//! Subscriptions, as they come out of a history: each from the reply to a `join` to its end, with
//! what was observed in between.

use std::collections::{BTreeMap, VecDeque};

use hubbub::protocol::cursor;
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

/// A cursor that says more than its client was told.
#[derive(Debug)]
pub(super) struct Boast {
    pub(super) at: usize,
    pub(super) client: ClientNo,
    pub(super) room: String,
    /// What the cursor says.
    pub(super) seq: u64,
    /// What the client has; none if it is not in the room.
    pub(super) has: Option<u64>,
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

/// All that a history tells of subscriptions.
#[derive(Default)]
pub(super) struct Told<'a> {
    /// In the order in which they began.
    pub(super) subscriptions: Vec<Subscription<'a>>,
    /// What came outside of any.
    pub(super) strays: Vec<Stray<'a>>,
    pub(super) boasts: Vec<Boast>,
}

/// Reads a history.
pub(super) fn of(history: &History) -> Told<'_> {
    let mut reader = Reader::default();
    for (at, record) in history.records.iter().enumerate() {
        if let Some(client) = record.client {
            reader.read(at, client, &record.what);
        }
    }
    reader.told
}

#[derive(Default)]
struct Reader<'a> {
    told: Told<'a>,
    /// Those that go on, by client and room.
    open: BTreeMap<(ClientNo, String), usize>,
    /// Joins and leaves without an answer yet.
    asked: BTreeMap<(ClientNo, u64), (usize, bool, &'a Value)>,
    /// Resumes without an answer yet, by client, in the order in which they were asked.
    resumes: BTreeMap<ClientNo, VecDeque<Resume>>,
}

/// A `resume` under way.
struct Resume {
    op: u64,
    asked_at: usize,
    /// Rooms of its cursor that were not told yet, with epoch and position.
    rooms: BTreeMap<String, (u64, u64)>,
}

impl<'a> Reader<'a> {
    fn read(&mut self, at: usize, client: ClientNo, what: &'a What) {
        match what {
            What::Asked { op, cmd, fields } if *cmd == "join" || *cmd == "leave" => {
                self.asked
                    .insert((client, *op), (at, *cmd == "join", fields));
            }
            What::Asked { op, cmd, fields } if *cmd == "resume" => {
                let resume = Resume {
                    op: *op,
                    asked_at: at,
                    rooms: positions(&fields["cursor"]),
                };
                self.resumes.entry(client).or_default().push_back(resume);
            }
            What::Answered { op, answer } => {
                // The reply to a `resume` comes when all is told; a stream only begins with it.
                let is_over = |ok: &Value| ok["resumed"].is_u64();
                if let Some(resumes) = self.resumes.get_mut(&client)
                    && !matches!(answer, Answer::Done(ok) if !is_over(ok))
                {
                    resumes.retain(|resume| resume.op != *op);
                }
                if let Some((asked_at, is_join, fields)) = self.asked.remove(&(client, *op)) {
                    self.answered(at, client, answer, (asked_at, is_join, fields));
                }
                if let Answer::Done(ok) = answer {
                    self.cursor(at, client, ok);
                }
            }
            What::Observed { push } if push["push"] == "drain" => self.cursor(at, client, push),
            What::Observed { push } => self.observed(at, client, push),
            What::Connected { .. } | What::Ended { .. } => {
                self.resumes.remove(&client);
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

    /// What became of a `join` or `leave`.
    fn answered(
        &mut self,
        at: usize,
        client: ClientNo,
        answer: &'a Answer,
        (asked_at, is_join, fields): (usize, bool, &'a Value),
    ) {
        let room = room_of(fields).unwrap_or_default().to_owned();
        match (is_join, answer) {
            (true, Answer::Done(ok)) => {
                self.begin(Subscription {
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
            (true, _) => self.uncertain(client, &room),
            (false, Answer::Done(_)) => self.end(client, &room, at),
            (false, _) => {}
        }
    }

    fn observed(&mut self, at: usize, client: ClientNo, push: &'a Value) {
        let Some(room) = room_of(push) else {
            return;
        };
        let open = self.open.get(&(client, room.to_owned())).copied();
        match push["push"].as_str() {
            Some("removed") => return self.end(client, room, at),
            Some("resumed") => return self.resumed(at, client, room, push),
            _ => {}
        }
        match (open, seq_of(push)) {
            (Some(number), Some(seq)) => {
                (self.told.subscriptions[number].seen).push(Seen { at, seq, push });
            }
            (Some(_), None) => {}
            // A read marker is told to the user's own connections, wherever they are.
            (None, _) if push["push"] == "read" => {}
            (None, _) => self.told.strays.push(Stray {
                at,
                client,
                room,
                push,
            }),
        }
    }

    /// How a resume went for one room: other than for a join, before what was missed.
    fn resumed(&mut self, at: usize, client: ClientNo, room: &'a str, push: &'a Value) {
        let resumes = self.resumes.entry(client).or_default();
        // A room that a stream takes in later: whatever is told may have been on its way since it
        // was opened, however slowly it is read.
        let opened_at = resumes.front().map_or(at, |it| it.asked_at);
        // Commands are run one after the other: what is told belongs to the first. Once its replay
        // has begun, an error is a second word about the same room, and says nothing of the next.
        let first = resumes.front_mut();
        let shown = first.and_then(|it| Some((it.asked_at, it.rooms.remove(room)?)));
        let (asked_at, position) = match shown {
            Some((asked_at, position)) => (asked_at, Some(position)),
            None => (opened_at, None),
        };
        if push["err"].is_object() {
            return self.uncertain(client, room);
        }
        // Of a room in which the connection is already, the stream may not leave anything out.
        let open = self.open.get(&(client, room.to_owned()));
        let position = position.or_else(|| {
            let before = &self.told.subscriptions[*open?];
            Some((before.reply.epoch, before.position()))
        });
        self.begin(Subscription {
            client,
            room: room.to_owned(),
            asked_at,
            begun_at: at,
            since: position.map(|(_, seq)| seq),
            epoch_shown: position.map(|(epoch, _)| epoch),
            reply: Joined::of(push),
            seen: Vec::new(),
            ended_at: None,
            is_uncertain: false,
        });
    }

    fn begin(&mut self, subscription: Subscription<'a>) {
        let (client, room) = (subscription.client, subscription.room.clone());
        self.end(client, &room, subscription.begun_at);
        let number = self.told.subscriptions.len();
        self.open.insert((client, room), number);
        self.told.subscriptions.push(subscription);
    }

    fn uncertain(&mut self, client: ClientNo, room: &str) {
        if let Some(number) = self.open.get(&(client, room.to_owned())) {
            self.told.subscriptions[*number].is_uncertain = true;
        }
    }

    /// Looks at a cursor: whoever comes back with it is not given again what it says.
    fn cursor(&mut self, at: usize, client: ClientNo, told: &Value) {
        for (room, (_, seq)) in positions(&told["cursor"]) {
            let open = self.open.get(&(client, room.clone()));
            let has = open.map(|number| {
                let subscription = &self.told.subscriptions[*number];
                // What is still to be replayed counts.
                subscription.position().max(subscription.reply.last_seq)
            });
            // A room that is still to be joined or resumed stays where the client said that it stands.
            let mut resumes = self.resumes.get(&client).into_iter().flatten();
            let shown = || resumes.find_map(|it| it.rooms.get(&room).map(|(_, seq)| *seq));
            let joining = self.asked.range((client, 0)..=(client, u64::MAX));
            let joining = joining
                .filter(|(_, (_, is_join, fields))| *is_join && room_of(fields) == Some(&room))
                .filter_map(|(_, (_, _, fields))| fields["since"].as_u64())
                .max();
            let has = has.or_else(shown).max(joining);
            if has.is_none_or(|has| seq > has) {
                let boast = Boast {
                    at,
                    client,
                    room,
                    seq,
                    has,
                };
                self.told.boasts.push(boast);
            }
        }
    }

    fn end(&mut self, client: ClientNo, room: &str, at: usize) {
        if let Some(number) = self.open.remove(&(client, room.to_owned())) {
            self.told.subscriptions[number].ended_at = Some(at);
        }
    }
}

/// The rooms of a cursor, with epoch and position; none if there is no cursor.
fn positions(cursor: &Value) -> BTreeMap<String, (u64, u64)> {
    let Some(cursor) = cursor.as_str() else {
        return BTreeMap::new();
    };
    let positions = cursor::decode(cursor).unwrap_or_else(|error| panic!("{cursor}: {error}"));
    let room = positions.iter().map(|it| {
        let epoch = u64::try_from(it.epoch.0).unwrap_or_default();
        (it.room_id.0.to_string(), (epoch, it.seq))
    });
    room.collect()
}
