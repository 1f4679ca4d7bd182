//! A short history in which everything is as it should be.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::{Case, Violation, all};
use crate::chaos::history::{
    Answer, ClientInfo, ClientNo, History, Record, RoomInfo, What, seq_of,
};
use crate::chaos::model::Model;
use crate::chaos::stored::{Stored, StoredRoom};

pub(super) const ROOM: &str = "0190a5e2-6f0f-7cc3-98c2-3f1d6f0a2b11";
/// The room's owner; the users' ids are the clients' numbers.
pub(super) const ADA: ClientNo = 0;
pub(super) const BOB: ClientNo = 1;

/// A history and the log that belongs to it.
pub(super) struct Story {
    pub(super) history: History,
    pub(super) log: BTreeMap<u64, Value>,
    /// What is stored beside the log, if it is not what the log says.
    state: Option<Model>,
    /// Who gets what happens.
    present: Vec<ClientNo>,
    ops: u64,
}

impl Story {
    /// Bob is added, they talk, Bob is removed, comes back and resumes; a message is edited, one
    /// is reacted to, and one is deleted, so that the log no longer says what it was.
    pub(super) fn sound() -> Self {
        let client = |no: ClientNo| ClientInfo {
            user_id: no.to_string(),
            name: ["Ada", "Bob"][no].to_owned(),
        };
        let room = RoomInfo {
            id: ROOM.to_owned(),
            name: "room".to_owned(),
            epoch: 1,
            owner_id: ADA.to_string(),
            hides_past: false,
        };
        let mut story = Self {
            history: History {
                seed: 0,
                clients: vec![client(ADA), client(BOB)],
                rooms: vec![room],
                ..History::default()
            },
            log: BTreeMap::new(),
            state: None,
            present: Vec::new(),
            ops: 0,
        };
        story.join(ADA, 0);
        story.member(ADA, BOB, "added");
        story.join(BOB, 0);
        let first = story.publish(ADA, "a1", "one");
        story.publish(ADA, "a2", "two");
        story.emit(BOB, "b1");
        story.publish(BOB, "b2", "three");
        story.read_page(ADA);
        let text = json!({ "body": "one, edited" });
        story.change(ADA, "message.edit", first, text);
        story.member(ADA, BOB, "removed");
        story.leave_the_present(BOB);
        let push = json!({ "push": "removed", "room": ROOM });
        story.write(BOB, What::Observed { push });
        story.publish(ADA, "a3", "without Bob");
        story.member(ADA, BOB, "added");
        story.join(BOB, 7);
        story.read_page(BOB);
        let text = json!({ "emoji": "👍", "remove": false });
        story.change(BOB, "message.react", 3, text);
        let last = story.publish(ADA, "a4", "said at 11");
        story.change(ADA, "message.delete", last, json!({}));
        let event = story.log.get_mut(&last).expect("a message");
        event["body"] = json!("");
        event["client_id"] = json!("");
        event["deleted"] = json!(true);
        story.read_pages();
        story.note(What::Settled);
        story
    }

    /// What the verdicts say.
    pub(super) fn violations(&self) -> Vec<Violation> {
        let head = |name: &str| {
            let numbers = self.log.values().filter_map(|event| event[name].as_u64());
            numbers.max().unwrap_or_default()
        };
        let folded = Model::fold(&ADA.to_string(), self.log.values());
        let room = StoredRoom {
            epoch: 1,
            last_seq: head("seq"),
            last_msg_no: head("msg_no"),
            first_seq: if self.log.contains_key(&1) {
                1
            } else {
                *self.log.keys().next().expect("a log")
            },
            log: self.log.clone(),
            state: self.state.clone().unwrap_or(folded),
        };
        let stored = Stored::from([(ROOM.to_owned(), room)]);
        all(&Case::new(&self.history, &stored))
    }

    /// Something that nobody in particular did.
    pub(super) fn note(&mut self, what: What) {
        self.history.records.push(Record {
            at_ms: 0,
            client: None,
            connection: 0,
            what,
        });
    }

    /// The connection on which a client begins is with this node.
    pub(super) fn connect_first(&mut self, client: ClientNo, node: usize) {
        let connection = (self.history.records.iter())
            .find(|record| record.client == Some(client))
            .map_or(1, |record| record.connection);
        let what = What::Connected {
            protocol: "ws",
            node: Some(node),
        };
        let record = Record {
            at_ms: 0,
            client: Some(client),
            connection,
            what,
        };
        self.history.records.insert(0, record);
    }

    /// The state beside the log, to change it.
    pub(super) fn state(&mut self) -> &mut Model {
        let log = &self.log;
        (self.state).get_or_insert_with(|| Model::fold(&ADA.to_string(), log.values()))
    }

    pub(super) fn messages(&self) -> u64 {
        let messages = self.log.values().filter(|it| it["push"] == "message");
        messages.count() as u64
    }

    /// An event is stored and told to everybody who is there; the sender is not told yet.
    pub(super) fn happens(&mut self, event: &Value) {
        let seq = seq_of(event).expect("a seq");
        self.log.insert(seq, event.clone());
        for client in self.present.clone() {
            let push = event.clone();
            self.write(client, What::Observed { push });
        }
    }

    pub(super) fn publish(&mut self, by: ClientNo, key: &str, body: &str) -> u64 {
        let fields = json!({ "room": ROOM, "body": body, "client_id": key });
        let mut event = fields.clone();
        event["push"] = json!("message");
        event["msg_no"] = json!(self.messages() + 1);
        self.does(by, "publish", fields, event)
    }

    fn emit(&mut self, by: ClientNo, key: &str) {
        let fields = json!({ "room": ROOM, "name": "moved", "data": [1], "client_id": key });
        let mut event = fields.clone();
        event["push"] = json!("event");
        self.does(by, "emit", fields, event);
    }

    fn change(&mut self, by: ClientNo, cmd: &'static str, message: u64, mut fields: Value) {
        fields["message_id"] = self.log[&message]["id"].clone();
        fields["room"] = json!(ROOM);
        let mut event = fields.clone();
        event["push"] = json!(cmd);
        if let Some(remove) = fields.get("remove") {
            event["removed"] = remove.clone();
        }
        self.does(by, cmd, fields, event);
    }

    pub(super) fn member(&mut self, by: ClientNo, user: ClientNo, change: &str) {
        let cmd = if change == "added" {
            "members.add"
        } else {
            "members.remove"
        };
        let fields = json!({ "room": ROOM, "user_id": user.to_string() });
        let mut event = json!({ "push": "member", "room": ROOM, "change": change });
        if change == "added" {
            event["role"] = json!("member");
        }
        event["user_id"] = json!(user.to_string());
        let (asked, answered) = self.command(cmd, fields, Answer::Done(Value::Null));
        self.write(by, asked);
        event["seq"] = json!(self.log.len() + 1);
        event["id"] = json!(format!("id{}", self.log.len() + 1));
        self.happens(&event);
        self.write(by, answered);
    }

    fn does(&mut self, by: ClientNo, cmd: &'static str, fields: Value, mut event: Value) -> u64 {
        let seq = self.log.len() as u64 + 1;
        let id = format!("id{seq}");
        let ok = json!({ "seq": seq, "id": id });
        (event["seq"], event["id"]) = (json!(seq), json!(id));
        event["user_id"] = json!(by.to_string());
        let (asked, answered) = self.command(cmd, fields, Answer::Done(ok));
        self.write(by, asked);
        self.happens(&event);
        self.write(by, answered);
        seq
    }

    pub(super) fn join(&mut self, client: ClientNo, since: u64) {
        let head = self.log.len() as u64;
        let fields = json!({ "room": ROOM, "since": since, "epoch": 1 });
        let ok = json!({ "room": ROOM, "epoch": 1, "last_seq": head, "replayed": head - since });
        let (asked, answered) = self.command("join", fields, Answer::Done(ok));
        self.write(client, asked);
        self.write(client, answered);
        for seq in since + 1..=head {
            let push = self.log[&seq].clone();
            self.write(client, What::Observed { push });
        }
        self.present.push(client);
    }

    fn leave_the_present(&mut self, client: ClientNo) {
        self.present.retain(|it| *it != client);
    }

    /// Everybody reads the page of the newest messages.
    pub(super) fn read_pages(&mut self) {
        self.read_page(ADA);
        self.read_page(BOB);
    }

    fn read_page(&mut self, client: ClientNo) {
        let model = Model::fold(&ADA.to_string(), self.log.values());
        let views = model.messages.iter().map(|(number, message)| {
            let mut view = self.log[&message.seq].clone();
            view["msg_no"] = json!(number);
            view["deleted"] = json!(message.is_deleted);
            if let crate::chaos::model::Text::Is(text) = &message.text {
                view["body"] = json!(text);
            }
            if message.is_edited {
                view["edited_at"] = json!("then");
            }
            let reactions = message.reactions.iter();
            let reactions = reactions.map(|(emoji, user)| json!({"emoji": emoji, "users": [user]}));
            view["reactions"] = reactions.collect();
            view
        });
        let page = json!({
            "messages": views.collect::<Vec<_>>(),
            "last_seq": self.log.len(),
        });
        let room = ROOM.to_owned();
        self.write(client, What::Snapshot { room, page });
    }

    /// A command's records.
    pub(super) fn command(
        &mut self,
        cmd: &'static str,
        fields: Value,
        answer: Answer,
    ) -> (What, What) {
        self.ops += 1;
        let op = self.ops;
        (
            What::Asked { op, cmd, fields },
            What::Answered { op, answer },
        )
    }

    pub(super) fn write(&mut self, client: ClientNo, what: What) {
        self.insert(self.history.records.len(), client, what);
    }

    pub(super) fn insert(&mut self, at: usize, client: ClientNo, what: What) {
        let record = Record {
            at_ms: at as u64,
            client: Some(client),
            connection: 1,
            what,
        };
        self.history.records.insert(at, record);
    }

    /// The record of a client's observing an event.
    pub(super) fn observed(&self, client: ClientNo, seq: u64) -> usize {
        self.place(|record| {
            record.client == Some(client)
                && matches!(&record.what, What::Observed { push } if seq_of(push) == Some(seq))
        })
    }

    /// The record of a client's being told that it was removed.
    pub(super) fn removed(&self, client: ClientNo) -> usize {
        self.place(|record| {
            record.client == Some(client)
                && matches!(&record.what, What::Observed { push } if push["push"] == "removed")
        })
    }

    /// The record of a command with this key.
    pub(super) fn asked(&self, key: &str) -> usize {
        self.place(|record| {
            matches!(&record.what, What::Asked { fields, .. } if fields["client_id"] == key)
        })
    }

    fn place(&self, fits: impl Fn(&Record) -> bool) -> usize {
        let place = self.history.records.iter().position(fits);
        place.expect("it is in the story")
    }

    /// A client does not observe an event.
    pub(super) fn remove(&mut self, client: ClientNo, seq: u64) {
        let at = self.observed(client, seq);
        self.history.records.remove(at);
    }

    /// Changes the reply to a client's join at this head.
    pub(super) fn change_join(&mut self, client: ClientNo, head: u64, change: impl Fn(&mut Value)) {
        let replies = self
            .history
            .records
            .iter_mut()
            .filter(|it| it.client == Some(client));
        let mut replies = replies.filter_map(|record| match &mut record.what {
            What::Answered {
                answer: Answer::Done(ok),
                ..
            } if ok["last_seq"] == head => Some(ok),
            _ => None,
        });
        change(replies.next().expect("a reply"));
    }

    /// Changes the last answer to a command.
    pub(super) fn answer_last(&mut self, with: Answer) {
        let records = self.history.records.iter_mut().rev();
        let mut answers = records.filter_map(|record| match &mut record.what {
            What::Answered { answer, .. } => Some(answer),
            _ => None,
        });
        *answers.next().expect("an answer") = with;
    }

    /// Takes out the command of an event, with its answer.
    pub(super) fn forget_command(&mut self, seq: u64) {
        let key = self.log[&seq]["client_id"].clone();
        let at = self.asked(key.as_str().expect("a key"));
        let What::Asked { op: forgotten, .. } = self.history.records.remove(at).what else {
            unreachable!("a command was looked for");
        };
        self.history
            .records
            .retain(|record| !matches!(record.what, What::Answered { op, .. } if op == forgotten));
    }

    /// The first page that shows this head.
    pub(super) fn page_at(&mut self, head: u64) -> &mut Value {
        let mut pages =
            self.history
                .records
                .iter_mut()
                .filter_map(|record| match &mut record.what {
                    What::Snapshot { page, .. } if page["last_seq"] == head => Some(page),
                    _ => None,
                });
        pages.next().expect("a page")
    }
}
