//! The reference: a room is a fold of its events, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::history::seq_of;

/// The state of a room after some of its events.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Model {
    /// By `msg_no`.
    pub(super) messages: BTreeMap<u64, Message>,
    /// Roles by user.
    pub(super) members: BTreeMap<String, String>,
    /// Members who may say nothing.
    pub(super) muted: BTreeSet<String>,
    /// Users who cannot become members.
    pub(super) banned: BTreeSet<String>,
}

/// A message as it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    pub(super) seq: u64,
    pub(super) id: String,
    pub(super) user_id: String,
    pub(super) text: Text,
    pub(super) is_edited: bool,
    pub(super) is_deleted: bool,
    pub(super) is_pinned: bool,
    /// Emoji and who.
    pub(super) reactions: BTreeSet<(String, String)>,
    /// The id of the root that it replies to.
    pub(super) thread: Option<String>,
    pub(super) replies: u64,
    pub(super) mentions: BTreeSet<String>,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Text {
    Is(String),
    /// It was taken out of the log: nobody can know any more what it said.
    Redacted,
}

impl Text {
    /// The `body` of a push or a row.
    pub(super) fn of(value: &Value) -> Self {
        match value["body"].as_str() {
            _ if value["deleted"] == true => Self::Redacted,
            Some(body) if value["encoding"] == "base64" => Self::of_bytes(body),
            Some(body) => Self::Is(body.to_owned()),
            None => Self::Redacted,
        }
    }

    /// What is said in bytes, by their base64.
    pub(super) fn of_bytes(base64: &str) -> Self {
        Self::Is(format!("\0{base64}"))
    }
}

impl Model {
    /// A room before its first event: nothing but its owner.
    pub(super) fn new(owner_id: &str) -> Self {
        let mut model = Self::default();
        model
            .members
            .insert(owner_id.to_owned(), "owner".to_owned());
        model
    }

    /// The room after these events.
    pub(super) fn fold<'a>(owner_id: &str, events: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut model = Self::new(owner_id);
        for event in events {
            model.apply(event);
        }
        model
    }

    /// Carries out an event in the form in which it is pushed. What the reference does not know
    /// changes nothing that it compares.
    pub(super) fn apply(&mut self, event: &Value) {
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        match event["push"].as_str().unwrap_or_default() {
            "message" => {
                let message = Message {
                    seq: seq_of(event).unwrap_or_default(),
                    id: text("id"),
                    user_id: text("user_id"),
                    text: Text::of(event),
                    is_edited: false,
                    is_deleted: false,
                    is_pinned: false,
                    reactions: BTreeSet::new(),
                    thread: event["thread"].as_str().map(str::to_owned),
                    replies: 0,
                    mentions: mentions(event),
                };
                self.reply_to(&message);
                let msg_no = event["msg_no"].as_u64().unwrap_or_default();
                self.messages.insert(msg_no, message);
            }
            "member" => self.member(event),
            "message.edit" => {
                if let Some(message) = self.message(event) {
                    message.text = Text::of(event);
                    message.is_edited = true;
                }
            }
            "message.delete" => {
                if let Some(message) = self.message(event) {
                    message.text = Text::Redacted;
                    message.is_deleted = true;
                    message.is_pinned = false;
                    message.reactions.clear();
                    message.mentions.clear();
                }
            }
            "message.react" => {
                let reaction = (text("emoji"), text("user_id"));
                let removes = event["removed"] == true;
                if let Some(message) = self.message(event) {
                    if removes {
                        message.reactions.remove(&reaction);
                    } else {
                        message.reactions.insert(reaction);
                    }
                }
            }
            "message.pin" => {
                let pinned = event["pinned"] == true;
                if let Some(message) = self.message(event) {
                    message.is_pinned = pinned;
                }
            }
            _ => {}
        }
    }

    fn reply_to(&mut self, message: &Message) {
        let mut messages = self.messages.values_mut();
        if let Some(root) = messages.find(|it| Some(&it.id) == message.thread.as_ref()) {
            root.replies += 1;
        }
    }

    fn message(&mut self, event: &Value) -> Option<&mut Message> {
        let id = event["message_id"].as_str()?;
        self.messages.values_mut().find(|message| message.id == id)
    }

    fn member(&mut self, event: &Value) {
        let user_id = event["user_id"].as_str().unwrap_or_default().to_owned();
        match event["change"].as_str().unwrap_or_default() {
            "banned" => self.banned.insert(user_id.clone()),
            "unbanned" => self.banned.remove(&user_id),
            "muted" => self.muted.insert(user_id.clone()),
            "unmuted" => self.muted.remove(&user_id),
            _ => false,
        };
        match MemberChange::of(event) {
            MemberChange::Ends => {
                // A mute outlasts the membership.
                self.members.remove(&user_id);
            }
            MemberChange::Begins | MemberChange::Role => {
                let role = event["role"].as_str().unwrap_or("member").to_owned();
                self.members.insert(user_id, role);
            }
            MemberChange::Neither => {}
        }
    }
}

/// The users that a message names.
pub(super) fn mentions(message: &Value) -> BTreeSet<String> {
    let mentions = message["mentions"].as_array().into_iter().flatten();
    mentions
        .filter_map(|it| it.as_str().map(str::to_owned))
        .collect()
}

/// What an event does to a membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MemberChange {
    Begins,
    Ends,
    Role,
    Neither,
}

impl MemberChange {
    /// Of any event.
    pub(super) fn of(event: &Value) -> Self {
        if event["push"] != "member" {
            return Self::Neither;
        }
        match event["change"].as_str().unwrap_or_default() {
            "joined" | "added" => Self::Begins,
            // A ban of somebody who is no member ends nothing, and then says the same.
            "left" | "removed" | "banned" => Self::Ends,
            "role" => Self::Role,
            _ => Self::Neither,
        }
    }
}

/// When a user was a member of a room, by its log.
#[derive(Clone, Debug, Default)]
pub(super) struct Membership {
    /// From which `seq` on, and whether: ascending. With the last event of the past that a member
    /// may not see.
    changes: Vec<(u64, Option<u64>)>,
}

impl Membership {
    pub(super) fn of<'a>(
        user_id: &str,
        is_first_owner: bool,
        hides_past: bool,
        log: impl IntoIterator<Item = &'a Value>,
    ) -> Self {
        let mut changes = vec![(0, is_first_owner.then_some(0))];
        let mut hides_past = hides_past;
        for event in log {
            let seq = seq_of(event).unwrap_or_default();
            if event["push"] == "room"
                && let Some(history) = event["history"].as_str()
            {
                hides_past = history == "joined";
            }
            if event["user_id"] != user_id {
                continue;
            }
            match MemberChange::of(event) {
                MemberChange::Begins => {
                    let floor = if hides_past { seq.saturating_sub(1) } else { 0 };
                    changes.push((seq, Some(floor)));
                }
                MemberChange::Ends => changes.push((seq, None)),
                MemberChange::Role | MemberChange::Neither => {}
            }
        }
        Self { changes }
    }

    /// Whether they are a member once `seq` has happened; then with the history's floor.
    pub(super) fn at(&self, seq: u64) -> Option<u64> {
        let before = self.changes.iter().rev();
        before.into_iter().find(|(from, _)| *from <= seq)?.1
    }

    /// The history's floor of the membership that there is once `seq` has happened, or was before.
    pub(super) fn last_floor(&self, seq: u64) -> Option<u64> {
        let mut before = self.changes.iter().rev().filter(|(from, _)| *from <= seq);
        before.find_map(|(_, floor)| *floor)
    }

    /// The end of what has been hidden at any time up to `seq`; none for somebody who never was a
    /// member.
    pub(super) fn lowest_floor(&self, seq: u64) -> Option<u64> {
        let before = self.changes.iter().filter(|(from, _)| *from <= seq);
        before.filter_map(|(_, floor)| *floor).min()
    }

    /// When it last began or ended, up to `seq`; 0 if it never did.
    pub(super) fn changed(&self, seq: u64) -> u64 {
        let mut before = self.changes.iter().rev().map(|(from, _)| *from);
        before.find(|from| *from <= seq).unwrap_or_default()
    }

    /// The first time after `seq` that it ends, or begins.
    pub(super) fn next(&self, seq: u64, begins: bool) -> Option<u64> {
        let mut later = self.changes.iter().filter(|(from, _)| *from > seq);
        later
            .find(|(_, floor)| floor.is_some() == begins)
            .map(|(from, _)| *from)
    }
}
