//! What a client makes of the pushes: the messages as they stand.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// The messages of a room by their ids, made of nothing but pushes.
#[derive(Default)]
pub(super) struct Replica {
    messages: BTreeMap<String, Message>,
    last_seq: u64,
}

struct Message {
    fields: Map<String, Value>,
    replies: u64,
    /// Emoji, user and the event's `seq`.
    reactions: Vec<(String, String, u64)>,
}

fn text(push: &Value, field: &str) -> String {
    let text = push[field].as_str();
    text.unwrap_or_else(|| panic!("no {field} in {push}"))
        .to_owned()
}

impl Replica {
    /// Applies the next push. Those without a `seq` change nothing.
    pub(super) fn apply(&mut self, push: &Value) {
        let Some(seq) = push["seq"].as_u64() else {
            return;
        };
        assert_eq!(seq, self.last_seq + 1, "in order, each once: {push}");
        self.last_seq = seq;
        let name = push["push"].as_str().expect("a name");
        if name == "message" {
            return self.say(push);
        }
        if !name.starts_with("message.") {
            return;
        }
        let target = text(push, "message_id");
        let message = self.messages.get_mut(&target);
        let message = message.unwrap_or_else(|| panic!("{push} is about nothing"));
        let is_deleted = message.fields.contains_key("deleted");
        match name {
            "message.edit" => {
                assert_eq!(push["user_id"], message.fields["user_id"], "{push}");
                message
                    .fields
                    .insert("edited_at".into(), push["created_at"].clone());
                // The replay of what was deleted since has no text.
                assert_eq!(is_deleted, push.get("deleted").is_some(), "{push}");
                message.fields.insert("body".into(), push["body"].clone());
            }
            "message.delete" => message.delete(),
            "message.react" => message.react(push, seq),
            "message.pin" => {
                if push["pinned"] == true {
                    let since = push["created_at"].clone();
                    message.fields.insert("pinned_at".into(), since);
                } else {
                    message.fields.remove("pinned_at");
                }
            }
            _ => panic!("an unknown push: {push}"),
        }
    }

    fn say(&mut self, push: &Value) {
        let mut fields = push.as_object().expect("an object").clone();
        fields.remove("push");
        fields.remove("room");
        if let Some(root) = push.get("thread").and_then(Value::as_str) {
            let root = self.messages.get_mut(root);
            root.expect("the root came before").replies += 1;
        }
        let message = Message {
            fields,
            replies: 0,
            reactions: Vec::new(),
        };
        let twice = self.messages.insert(text(push, "id"), message);
        assert!(twice.is_none(), "{push} is there already");
    }

    /// What a fresh page shows.
    pub(super) fn page(&self) -> Vec<Value> {
        let mut page: Vec<_> = self.messages.values().map(Message::view).collect();
        page.sort_by_key(|message| message["seq"].as_u64());
        page
    }

    pub(super) fn last_seq(&self) -> u64 {
        self.last_seq
    }
}

impl Message {
    fn delete(&mut self) {
        for field in ["mentions", "pinned_at"] {
            self.fields.remove(field);
        }
        for field in ["body", "client_id"] {
            self.fields.insert(field.into(), json!(""));
        }
        self.fields.insert("deleted".into(), json!(true));
        self.reactions.clear();
    }

    fn react(&mut self, push: &Value, seq: u64) {
        let (emoji, user) = (text(push, "emoji"), text(push, "user_id"));
        let is_it = |it: &(String, String, u64)| it.0 == emoji && it.1 == user;
        let was_there = self.reactions.iter().any(is_it);
        assert_eq!(was_there, push["removed"] == true, "{push} changes nothing");
        self.reactions.retain(|it| !is_it(it));
        if push["removed"] == false {
            self.reactions.push((emoji, user, seq));
        }
    }

    fn view(&self) -> Value {
        let mut view = self.fields.clone();
        if self.replies > 0 {
            view.insert("replies".into(), json!(self.replies));
        }
        // In the order of their `seq`, as they came.
        let mut reactions: Vec<(&str, Vec<&str>)> = Vec::new();
        for (emoji, user, _) in &self.reactions {
            match reactions.iter_mut().find(|it| it.0 == emoji) {
                Some((_, users)) => users.push(user),
                None => reactions.push((emoji, vec![user])),
            }
        }
        let reactions: Vec<_> = reactions
            .into_iter()
            .map(|(emoji, users)| {
                let count = users.len();
                let users: Vec<_> = users.into_iter().take(50).collect();
                json!({ "emoji": emoji, "count": count, "users": users })
            })
            .collect();
        if !reactions.is_empty() {
            view.insert("reactions".into(), json!(reactions));
        }
        Value::Object(view)
    }
}
