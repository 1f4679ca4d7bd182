//! Shutting out, silencing and inviting.

use rand::RngExt as _;
use reqwest::Method;
use serde_json::json;

use super::{Client, Driver};
use crate::chaos::history::Answer;
use crate::chaos::plan::Step;

impl<D: Driver> Client<D> {
    pub(super) async fn moderate(&mut self, step: Step, place: usize) {
        let room = &self.rooms[place].id;
        let somebody = self.users[self.rng.random_range(0..self.users.len())].clone();
        let bans = format!("/api/rooms/{room}/bans");
        let mute = format!("/api/rooms/{room}/members/{somebody}/mute");
        let (cmd, method, path) = match step {
            Step::Ban => ("members.ban", Method::POST, bans),
            Step::Unban => {
                let path = format!("{bans}/{somebody}");
                ("members.unban", Method::DELETE, path)
            }
            Step::Mute => ("members.mute", Method::POST, mute),
            _ => ("members.unmute", Method::DELETE, mute),
        };
        let fields = json!({ "user_id": somebody });
        self.rest(cmd, method, &path, fields, place).await;
    }

    pub(super) async fn invite(&mut self, place: usize) {
        let path = format!("/api/rooms/{}/invitations", self.rooms[place].id);
        let fields = json!({ "role": "member" });
        let answer = self
            .rest("members.invite", Method::POST, &path, fields, place)
            .await;
        if let Answer::Done(made) = answer
            && let Some(token) = made["token"].as_str()
        {
            self.invitations.lock().push((place, token.to_owned()));
        }
    }

    /// Takes an invitation: each is good for one, and the second who tries is refused.
    pub(super) async fn accept_invitation(&mut self) {
        let pick = self.rng.random_range(0..64);
        let invitation = {
            let invitations = self.invitations.lock();
            let newest = invitations.iter().rev();
            newest.cycle().nth(pick % 3).cloned()
        };
        let Some((place, token)) = invitation else {
            return;
        };
        let fields = json!({ "token": token });
        let path = "/api/invitations/accept";
        let answer = self
            .rest("members.accept", Method::POST, path, fields, place)
            .await;
        self.became_member(place, &answer);
    }
}
