//! What a client hears: pushes, answers, the end of its connection.

use std::time::Duration;

use rand::RngExt as _;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::{Client, Driver, Joined, Known, Pending, REMEMBERED};
use crate::chaos::driver::Incoming;
use crate::chaos::history::{Answer, What, room_of, seq_of};

impl<D: Driver> Client<D> {
    /// Takes in what comes, for so long.
    pub(super) async fn read_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let Some(driver) = &mut self.driver {
            let Ok(incoming) = timeout_at(end, driver.next()).await else {
                return;
            };
            self.take_in(incoming);
            if Instant::now() >= end {
                return;
            }
        }
    }

    fn take_in(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Push(push) => {
                if let Some(cursor) = self.driver.as_ref().and_then(D::cursor) {
                    self.cursor = Some(cursor.to_owned());
                }
                self.observe(&push);
                self.record(What::Observed { push });
            }
            Incoming::Answer(op, answer) => {
                self.failures = 0;
                if let Some(pending) = self.pending.remove(&op) {
                    self.answered(op, pending, &answer);
                }
                self.record(What::Answered { op, answer });
            }
            Incoming::End(why) => {
                self.driver = None;
                self.ended(why);
            }
        }
    }

    fn observe(&mut self, push: &Value) {
        match push["push"].as_str() {
            Some("resumed") => return self.resumed(push),
            Some("drain") => self.keep_cursor(push),
            _ => {}
        }
        let room = (self.rooms.iter_mut()).find(|room| Some(room.id.as_str()) == room_of(push));
        let Some(room) = room else {
            return;
        };
        if push["push"] == "removed" {
            room.joined = Joined::No;
        }
        if let Some(seq) = seq_of(push) {
            // Only pushes move a position.
            room.position = room.position.max(Some(seq));
            room.told = Some(seq);
        }
        if push["push"] == "message"
            && let Some(id) = push["id"].as_str()
        {
            room.messages.push_back(Known {
                id: id.to_owned(),
                msg_no: push["msg_no"].as_u64().unwrap_or_default(),
                is_own: push["user_id"] == self.user.id,
            });
            if room.messages.len() > REMEMBERED {
                room.messages.pop_front();
            }
        }
    }

    fn answered(&mut self, op: u64, pending: Pending, answer: &Answer) {
        if let Answer::Done(ok) = answer {
            self.keep_cursor(ok);
        }
        let room = &mut self.rooms[pending.place];
        match (pending.cmd, answer) {
            ("resume", _) => self.resume_answered(op),
            ("join", Answer::Done(ok)) => room.joined(ok, pending.since),
            ("join", Answer::Refused { retry: false, .. }) => room.joined = Joined::Never,
            ("join", _) | ("leave", Answer::Done(_)) => room.joined = Joined::No,
            ("publish" | "emit", _) => {
                room.outbox.answered(op, answer);
                if matches!(answer, Answer::Refused { retry: true, .. }) {
                    // Clients that ask again without a pause keep a busy machine so busy that they
                    // are refused.
                    let pause = Duration::from_millis(self.rng.random_range(10..60));
                    self.sends_at = Instant::now() + pause;
                }
            }
            _ => {}
        }
    }

    fn keep_cursor(&mut self, told: &Value) {
        if let Some(cursor) = told["cursor"].as_str() {
            self.cursor = Some(cursor.to_owned());
        }
    }

    /// The connection has ended; what was under way has no answer.
    pub(super) fn ended(&mut self, why: String) {
        self.resuming.clear();
        let mut lost: Vec<u64> = self.pending.drain().map(|(op, _)| op).collect();
        lost.sort_unstable();
        for op in lost {
            let answer = Answer::Lost;
            self.record(What::Answered { op, answer });
        }
        for room in &mut self.rooms {
            room.outbox.lost();
            if room.joined != Joined::Never {
                room.joined = Joined::No;
            }
        }
        self.record(What::Ended { why });
    }
}
