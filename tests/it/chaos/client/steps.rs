//! A client's steps.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::RngExt as _;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Client, Driver, Joined};
use crate::chaos::driver::answer_of;
use crate::chaos::history::{Answer, What};
use crate::chaos::plan::Step;

/// A client does not keep more than this for a room: it waits until some are acknowledged.
const OUTBOX_MAX: usize = 64;

impl<D: Driver> Client<D> {
    pub(super) async fn step(&mut self, step: Step) {
        let place = self.rng.random_range(0..self.rooms.len());
        match step {
            Step::Publish(count) => {
                for _ in 0..count {
                    self.publish(place);
                }
            }
            Step::EmitDurable if !D::speaks("emit") => self.publish(place),
            Step::EmitDurable => {
                let key = self.key();
                let bytes = STANDARD.encode([0, self.rng.random()]);
                let x = self.rng.random_range(0..100);
                let data = json!({ "key": key, "x": x, "at": { "$bin": bytes } });
                let fields = json!({ "name": "moved", "data": data, "client_id": key });
                self.keep(place, "emit", fields);
            }
            Step::EmitVolatile => {
                let fields = json!({ "name": "cursor", "data": [1, 2], "volatile": true });
                self.command("emit", self.in_room(place, fields), place)
                    .await;
            }
            Step::Typing => {
                let fields = self.in_room(place, json!({}));
                self.command("typing", fields, place).await;
            }
            Step::AskWho => {
                let fields = self.in_room(place, json!({}));
                self.command("presence", fields, place).await;
            }
            Step::Edit | Step::Delete | Step::React | Step::Pin | Step::Read => {
                self.change(step, place).await;
            }
            Step::Join | Step::JoinEarlier(_) | Step::JoinNow => self.join_step(step, place).await,
            Step::Resume if D::speaks("resume") && !D::IS_WHOLE => {
                self.resume((0..self.rooms.len()).collect()).await;
            }
            Step::Resume => {}
            Step::Leave => {
                let fields = self.in_room(place, json!({}));
                if self.rooms[place].joined == Joined::Yes {
                    self.command("leave", fields, place).await;
                }
            }
            Step::BecomeMember
            | Step::GiveUpMembership
            | Step::AddMember
            | Step::RemoveMember
            | Step::ChangeRole => self.membership(step, place).await,
            Step::Ban | Step::Unban | Step::Mute | Step::Unmute => {
                self.moderate(step, place).await;
            }
            Step::Invite => self.invite(place).await,
            Step::AcceptInvitation => self.accept_invitation().await,
            Step::Snapshot => self.snapshot(place).await,
            Step::Close => {
                if let Some(driver) = self.driver.take() {
                    driver.close().await;
                    self.ended("closed by the client".to_owned());
                }
            }
            Step::BreakOff => {
                self.driver = None;
                self.ended("broken off by the client".to_owned());
            }
            Step::Stall(ms) => sleep(Duration::from_millis(ms)).await,
        }
    }

    fn in_room(&self, place: usize, mut fields: Value) -> Value {
        fields["room"] = self.rooms[place].id.clone().into();
        fields
    }

    /// A key that only this client gives, in the order of its numbers.
    fn key(&mut self) -> String {
        self.next_key += 1;
        format!("c{}-{}", self.no, self.next_key)
    }

    pub(super) fn publish(&mut self, place: usize) {
        let key = self.key();
        let filler = match self.rng.random_range(0..10) {
            0 => self.rng.random_range(500..1500),
            _ => self.rng.random_range(0..40),
        };
        let text = format!("{key} {}", "x".repeat(filler));
        let mut fields = self.body(text);
        fields["client_id"] = key.into();
        let known = self.rooms[place].messages.len();
        if known > 0 && self.rng.random_bool(0.15) {
            // Some are replies themselves, and some were deleted: those are refused.
            let root = &self.rooms[place].messages[self.rng.random_range(0..known)];
            fields["thread"] = root.id.clone().into();
        }
        if self.rng.random_bool(0.1) {
            let count = self.rng.random_range(1..=self.users.len());
            fields["mentions"] = self.users[..count].into();
        }
        self.keep(place, "publish", fields);
    }

    /// The text, or bytes instead: some messages say bytes.
    fn body(&mut self, text: String) -> Value {
        if self.rng.random_bool(0.8) {
            return json!({ "body": text });
        }
        let mut bytes = text.into_bytes();
        bytes.iter_mut().skip(12).for_each(|byte| *byte ^= 0xff);
        json!({ "body": STANDARD.encode(bytes), "encoding": "base64" })
    }

    fn keep(&mut self, place: usize, cmd: &'static str, fields: Value) {
        let fields = self.in_room(place, fields);
        let outbox = &mut self.rooms[place].outbox;
        if outbox.len() < OUTBOX_MAX {
            outbox.add(cmd, fields);
        }
    }

    /// Changes a message that the client knows of: mostly one that it may.
    async fn change(&mut self, step: Step, place: usize) {
        let key = self.key();
        let is_rude = self.rng.random_bool(0.1);
        let pick = self.rng.random_range(0..super::REMEMBERED);
        let known = self.rooms[place].messages.iter().rev();
        let mut fitting = known.filter(|it| is_rude || it.is_own || step == Step::React);
        let Some(known) = fitting.nth(pick / 4) else {
            return;
        };
        let (id, msg_no) = (known.id.clone(), known.msg_no);
        let emoji = ["👍", "🎉"][self.rng.random_range(0..2)];
        let flag = self.rng.random_bool(0.3);
        let (cmd, fields) = match step {
            Step::Edit => {
                let mut fields = self.body(format!("edited by {key}"));
                fields["message_id"] = id.into();
                fields["client_id"] = key.into();
                ("message.edit", fields)
            }
            Step::Delete => (
                "message.delete",
                json!({ "message_id": id, "client_id": key }),
            ),
            Step::React => {
                let fields =
                    json!({ "message_id": id, "emoji": emoji, "remove": flag, "client_id": key });
                ("message.react", fields)
            }
            Step::Pin => {
                let fields = json!({ "message_id": id, "pinned": !flag, "client_id": key });
                ("message.pin", fields)
            }
            _ => ("read", json!({ "msg_no": msg_no })),
        };
        self.command(cmd, self.in_room(place, fields), place).await;
    }

    async fn join_step(&mut self, step: Step, place: usize) {
        let room = &self.rooms[place];
        if room.joined == Joined::Asked {
            return;
        }
        let since = match step {
            Step::JoinNow => None,
            Step::JoinEarlier(events) => Some(room.position.unwrap_or(0).saturating_sub(events)),
            _ => Some(room.position.unwrap_or(0)),
        };
        self.join(place, since).await;
    }

    async fn membership(&mut self, step: Step, place: usize) {
        let room = self.rooms[place].id.clone();
        let somebody = self.users[self.rng.random_range(0..self.users.len())].clone();
        let role = ["member", "member", "moderator"][self.rng.random_range(0..3)];
        let members = format!("/api/rooms/{room}/members");
        let (cmd, method, path, fields) = match step {
            Step::BecomeMember => {
                let path = format!("/api/rooms/{room}/join");
                ("members.join", Method::POST, path, json!({}))
            }
            Step::GiveUpMembership => {
                let path = format!("/api/rooms/{room}/leave");
                ("members.leave", Method::POST, path, json!({}))
            }
            Step::AddMember => {
                let fields = json!({ "user_id": somebody, "role": "member" });
                ("members.add", Method::POST, members, fields)
            }
            Step::RemoveMember => {
                let path = format!("{members}/{somebody}");
                let fields = json!({ "user_id": somebody });
                ("members.remove", Method::DELETE, path, fields)
            }
            _ => {
                let fields = json!({ "user_id": somebody, "role": role });
                ("members.role", Method::POST, members, fields)
            }
        };
        let answer = self.rest(cmd, method, &path, fields, place).await;
        if step == Step::BecomeMember {
            self.became_member(place, &answer);
        }
    }

    pub(super) fn became_member(&mut self, place: usize, answer: &Answer) {
        if matches!(answer, Answer::Done(_)) && self.rooms[place].joined == Joined::Never {
            self.rooms[place].joined = Joined::No;
        }
    }

    /// Sends a command over REST to any node and waits for its answer.
    pub(super) async fn rest(
        &mut self,
        cmd: &'static str,
        method: Method,
        path: &str,
        fields: Value,
        place: usize,
    ) -> Answer {
        let Some((_, address)) = self.a_node(None) else {
            return Answer::Lost;
        };
        let op = self.recorder.op();
        let body = fields.clone();
        let fields = self.in_room(place, fields);
        self.record(What::Asked { op, cmd, fields });
        let request = (self.http)
            .request(method, format!("http://{address}{path}"))
            .bearer_auth(&self.user.token)
            .json(&body);
        let answer = answer_of(request).await;
        let told = answer.clone();
        self.record(What::Answered { op, answer: told });
        answer
    }

    /// Reads the page of the newest messages.
    pub(super) async fn snapshot(&mut self, place: usize) {
        let room = self.rooms[place].id.clone();
        if let Answer::Done(page) = self.page(place).await {
            self.record(What::Snapshot { room, page });
        }
    }

    /// The page of the newest messages, from any node.
    pub(super) async fn page(&mut self, place: usize) -> Answer {
        let Some((_, address)) = self.a_node(None) else {
            return Answer::Lost;
        };
        let room = &self.rooms[place].id;
        let request = (self.http)
            .get(format!(
                "http://{address}/api/rooms/{room}/messages?limit=100"
            ))
            .bearer_auth(&self.user.token);
        answer_of(request).await
    }
}
