//! Packets of Socket.IO as JSON with attachments. Bytes are `{"$bin":"<base64>"}` in that JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::wire::Message;
use crate::harness::msgpack::bin;

/// What the node says.
#[derive(Debug)]
pub(super) enum Packet {
    Connect(Value),
    Refused(Value),
    Disconnect,
    /// Name and arguments.
    Event(Value),
    Ack(u64, Value),
    /// Attachments are to come.
    Partial(Partial),
}

/// A packet without all of its attachments.
#[derive(Debug)]
pub(super) struct Partial {
    id: Option<u64>,
    data: Value,
    attachments: Vec<Value>,
    count: usize,
}

impl Partial {
    pub(super) fn goes_on(mut self, message: Message) -> Packet {
        let Message::Bytes(bytes) = message else {
            panic!("no attachment: {message:?}");
        };
        self.attachments.push(bin(&bytes));
        if self.attachments.len() < self.count {
            return Packet::Partial(self);
        }
        put_back(&mut self.data, &self.attachments);
        match self.id {
            Some(id) => Packet::Ack(id, self.data),
            None => Packet::Event(self.data),
        }
    }
}

/// Reads a packet.
pub(super) fn packet(text: &str) -> Packet {
    let (kind, rest) = text.split_at(1);
    let json = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    let (count, rest) = match (kind, rest.split_once('-')) {
        ("5" | "6", Some((count, rest))) => (count.parse().expect("a number"), rest),
        _ => (0, rest),
    };
    let digits = rest.find(|digit: char| !digit.is_ascii_digit());
    let (id, data) = rest.split_at(digits.unwrap_or(rest.len()));
    let id = id.parse().ok();
    match (kind, id) {
        ("0", _) => Packet::Connect(json(data)),
        ("1", _) => Packet::Disconnect,
        ("2", None) => Packet::Event(json(data)),
        ("3", Some(id)) => Packet::Ack(id, json(data)),
        ("4", _) => Packet::Refused(json(data)),
        ("5", None) | ("6", Some(_)) => Packet::Partial(Partial {
            id,
            data: json(data),
            attachments: Vec::new(),
            count,
        }),
        _ => panic!("no packet: {text}"),
    }
}

/// An event that asks for an acknowledgement.
pub(super) fn event(id: u64, mut args: Value) -> Message {
    let mut attachments = Vec::new();
    take_out(&mut args, &mut attachments);
    let head = match attachments.len() {
        0 => "2".to_owned(),
        some => format!("5{some}-"),
    };
    Message::Text(format!("{head}{id}{args}"), attachments)
}

fn take_out(value: &mut Value, attachments: &mut Vec<Vec<u8>>) {
    if let Some(base64) = value["$bin"].as_str() {
        let bytes = STANDARD.decode(base64).expect("base64");
        *value = json!({ "_placeholder": true, "num": attachments.len() });
        attachments.push(bytes);
        return;
    }
    each(value, |value| take_out(value, attachments));
}

fn put_back(value: &mut Value, attachments: &[Value]) {
    if value["_placeholder"] == true {
        let number = value["num"].as_u64().expect("a number");
        let number = usize::try_from(number).expect("a small one");
        *value = attachments[number].clone();
        return;
    }
    each(value, |value| put_back(value, attachments));
}

fn each(value: &mut Value, mut what: impl FnMut(&mut Value)) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(what),
        Value::Object(fields) => fields.values_mut().for_each(&mut what),
        _ => {}
    }
}
