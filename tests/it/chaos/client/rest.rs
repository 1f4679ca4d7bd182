//! How a client comes to rest, finds out who is there, and says its last words.

use std::time::Duration;

use rand::RngExt as _;
use serde_json::json;

use super::{Client, Driver, Joined, Phase};
use crate::chaos::plan::Step;

impl<D: Driver> Client<D> {
    /// One round of coming to rest.
    pub(super) async fn settle(&mut self, phase: &Phase) {
        if self.driver.is_none() && !self.connect().await {
            return;
        }
        let caught_up = self.progress.borrow().caught_up;
        if matches!(phase, Phase::CatchUp(asking, _) if caught_up >= *asking) {
            // It has everything. To come back once more would have it without the last events again
            // just when the others have them, too.
            return self.read_for(Duration::from_millis(20)).await;
        }
        let away = |place: &usize| self.rooms[*place].joined == Joined::No;
        self.come_back((0..self.rooms.len()).filter(away).collect())
            .await;
        self.speak(phase);
        self.send_waiting().await;
        self.read_for(Duration::from_millis(20)).await;
        if D::IS_WHOLE {
            self.look_for_rooms().await;
        }
        let is_settled = self.pending.is_empty()
            && (self.rooms.iter()).all(|room| {
                room.outbox.len() == 0 && matches!(room.joined, Joined::Yes | Joined::Never)
            });
        let mut progress = *self.progress.borrow();
        progress.is_settled = is_settled;
        progress.is_in_a_room = (self.rooms.iter()).any(|room| room.joined == Joined::Yes);
        progress.has_spoken = self.has_begun_to_speak && is_settled;
        if let Phase::CatchUp(asking, heads) = phase
            && is_settled
            && (self.rooms.iter()).all(|room| {
                room.joined == Joined::Never || room.told >= heads.get(&room.id).copied()
            })
        {
            if progress.caught_up < *asking {
                for place in 0..self.rooms.len() {
                    self.snapshot(place).await;
                }
            }
            progress.caught_up = *asking;
        }
        self.progress.send_replace(progress);
    }

    /// Asks who is in its rooms, and has asked when all is answered.
    pub(super) async fn find_out_who(&mut self, phase: &Phase, asking: u64) {
        self.settle(phase).await;
        let mut progress = *self.progress.borrow();
        if !progress.is_settled || progress.knows_who >= asking {
            return;
        }
        if self.asked_who < asking {
            self.asked_who = asking;
            for place in 0..self.rooms.len() {
                if D::speaks("presence") && self.rooms[place].joined == Joined::Yes {
                    let fields = json!({ "room": self.rooms[place].id });
                    self.command("presence", fields, place).await;
                }
            }
        } else {
            progress.knows_who = asking;
            self.progress.send_replace(progress);
        }
    }

    /// Half of all stay; the others go in one way or another. Then everybody comes back.
    pub(super) async fn stir(&mut self, phase: &Phase) {
        if !self.has_begun_to_stir {
            self.has_begun_to_stir = true;
            let ways = [Step::Close, Step::BreakOff, Step::Leave];
            if let Some(way) = ways.get(self.rng.random_range(0..ways.len() * 2)) {
                self.step(*way).await;
            }
        }
        self.settle(phase).await;
        let mut progress = *self.progress.borrow();
        progress.returns = u64::from(progress.is_settled);
        self.progress.send_replace(progress);
    }

    /// Says its last words, once.
    fn speak(&mut self, phase: &Phase) {
        if !matches!(phase, Phase::LastWords(speaker) if *speaker == self.no)
            || self.has_begun_to_speak
        {
            return;
        }
        self.has_begun_to_speak = true;
        for place in 0..self.rooms.len() {
            if self.rooms[place].joined == Joined::Yes {
                self.publish(place);
            }
        }
    }
}
