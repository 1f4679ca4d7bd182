//! What a client keeps until it is acknowledged: per room, in order.

use std::collections::VecDeque;

use serde_json::Value;

use super::history::Answer;

/// Publishes and durable emits of one client in one room.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    items: VecDeque<Item>,
}

#[derive(Debug)]
struct Item {
    cmd: &'static str,
    fields: Value,
    /// The command under way; none while it waits to be sent.
    op: Option<u64>,
}

impl Outbox {
    pub(super) fn add(&mut self, cmd: &'static str, fields: Value) {
        let op = None;
        self.items.push_back(Item { cmd, fields, op });
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// The next one to send, under this number. While something is under way that was sent after
    /// one that failed, it waits: sent now, it could overtake.
    pub(super) fn send(&mut self, op: u64) -> Option<(&'static str, Value)> {
        let first = self.items.iter().position(|item| item.op.is_none())?;
        if self.items.range(first..).any(|item| item.op.is_some()) {
            return None;
        }
        let item = &mut self.items[first];
        item.op = Some(op);
        Some((item.cmd, item.fields.clone()))
    }

    /// What became of one.
    pub(super) fn answered(&mut self, op: u64, answer: &Answer) {
        let Some(place) = self.items.iter().position(|item| item.op == Some(op)) else {
            return;
        };
        if answer.wants_retry() {
            self.items[place].op = None;
        } else {
            self.items.remove(place);
        }
    }

    /// The connection has ended: nothing is under way any more.
    pub(super) fn lost(&mut self) {
        for item in &mut self.items {
            item.op = None;
        }
    }
}
