//! Coming to rest: everybody comes back and has everything, every node tells who is there, the last
//! words are said, and once more some break off or leave and come back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_postgres::Client as Database;

use super::client::{Phase, Progress};
use super::history::Recorder;
use super::nemesis::Nemesis;
use super::patience::Patience;
use super::plan::{Entrance, LastWords, Plan};
use super::probes::Probes;
use super::verdict::{Promise, Violation, presence};
use crate::harness::postgres::connect;
use crate::harness::rest::User;

/// How often coming to rest has its time again, while outboxes become shorter.
const SETTLED_AGAIN: usize = 6;

/// Between two rounds of asking who is there.
const ASKED_AGAIN: Duration = Duration::from_millis(50);

/// Coming to rest.
pub(super) struct Rest<'a> {
    pub(super) phase: &'a watch::Sender<Phase>,
    pub(super) progress: &'a mut [watch::Receiver<Progress>],
    pub(super) patience: Patience,
    pub(super) recorder: &'a Recorder,
    pub(super) plan: &'a Plan,
    pub(super) nemesis: &'a Nemesis,
    /// Everybody, as the plan numbers them.
    pub(super) users: &'a [User],
    pub(super) probes: Probes,
    /// How often clients were asked to find out who is there.
    pub(super) asked_who: u64,
}

impl Rest<'_> {
    pub(super) async fn come(mut self) -> Vec<Violation> {
        let database = connect(&self.nemesis.database_url).await;
        self.phase.send_replace(Phase::Settle);
        let nemesis = self.nemesis;
        let settled = self.settled();
        let (late, mut violations) = tokio::join!(settled, nemesis.cluster.has_its_bus());
        if !late.is_empty() {
            let stuck = |no: usize| Violation::new(Promise::Ends, "does not come to rest").of(no);
            violations.extend(late.into_iter().map(stuck));
            return violations;
        }
        self.patience = Patience::of(self.plan.patience);
        let mut asking = 0;
        if self.catch_up(&mut asking, &database).await {
            let wrong = self.presence_comes_right().await;
            if wrong.is_empty() {
                self.recorder.calm();
            }
            violations.extend(wrong);
            self.patience = Patience::of(self.plan.patience);
            violations.extend(self.last_words().await);
            if self.catch_up(&mut asking, &database).await {
                self.phase.send_replace(Phase::Stir);
                self.everybody(|it| it.returns > 0).await;
                self.presence_comes_right().await;
            }
        }
        // What is still missing is said by the verdict.
        self.recorder.settled();
        violations
    }

    /// Waits until all outboxes are empty and everybody is back; gives those for whom it never was.
    async fn settled(&mut self) -> Vec<usize> {
        let mut late = Vec::new();
        for _ in 0..SETTLED_AGAIN {
            let before = self.recorder.outcomes();
            late = self.everybody(|it| it.is_settled).await;
            if late.is_empty() || self.recorder.outcomes() == before {
                break;
            }
            // A machine that has little time gets on nevertheless.
            self.patience = Patience::of(self.plan.patience);
        }
        late
    }

    /// Waits until everybody has everything, and nothing more comes; false if they never have.
    async fn catch_up(&mut self, asking: &mut u64, database: &Database) -> bool {
        let mut heads = heads(database).await;
        loop {
            *asking += 1;
            let now = *asking;
            self.phase
                .send_replace(Phase::CatchUp(now, Arc::new(heads.clone())));
            if !self.everybody(|it| it.caught_up >= now).await.is_empty() {
                return false;
            }
            let later = self::heads(database).await;
            if later == heads {
                return true;
            }
            heads = later;
        }
    }

    /// Waits until every node tells rightly who is in each room: leases and times of grace are over.
    /// What is wrong if they never do.
    async fn presence_comes_right(&mut self) -> Vec<Violation> {
        self.patience = Patience::of(self.plan.patience);
        loop {
            self.asked_who += 1;
            let asked = self.asked_who;
            self.phase.send_replace(Phase::Who(asked));
            let late = self.everybody(|it| it.knows_who >= asked).await;
            let (recorder, cluster) = (self.recorder, &self.nemesis.cluster);
            self.probes.ask(recorder, cluster).await;
            for unheard in presence::unheard(&recorder.history()) {
                let user = &self.users[self.plan.clients[unheard.client]];
                self.probes.add(recorder, cluster, unheard, user).await;
            }
            let wrong = presence::so_far(&recorder.history());
            if wrong.is_empty() || !late.is_empty() || self.patience.is_over() {
                return wrong;
            }
            sleep(ASKED_AGAIN).await;
        }
    }

    /// Somebody says one thing more in each room, on a node that dies of it if that is the plan.
    async fn last_words(&mut self) -> Option<Violation> {
        let (speaker, node) = self.speaker()?;
        let is_deadly = self.plan.last_words == LastWords::AreCommitted;
        let speak = || {
            self.recorder
                .fault(format!("client {speaker} says its last words"));
            self.phase.send_replace(Phase::LastWords(speaker));
        };
        let broken = match node {
            Some(node) if is_deadly => self.nemesis.dies_of(self.plan, node, speak).await.err(),
            _ => {
                speak();
                None
            }
        };
        let heard = self.progress[speaker].wait_for(|it| it.has_spoken);
        // If it is never told that they were heard, it does not catch up either.
        let _ = self.patience.wait_for(heard).await;
        broken
    }

    /// Somebody who is in a room, and their node if they always come back to it: one of those if
    /// there is one.
    fn speaker(&self) -> Option<(usize, Option<usize>)> {
        let mut rng = self.plan.rng(2000);
        let mut speakers: Vec<(usize, Option<usize>)> = (self.plan.entrances.iter().enumerate())
            .filter(|(no, _)| self.progress[*no].borrow().is_in_a_room)
            .map(|(no, entrance)| match entrance {
                Entrance::Node(node) => (no, Some(*node)),
                Entrance::Any | Entrance::Nginx => (no, None),
            })
            .collect();
        if speakers.iter().any(|(_, node)| node.is_some()) {
            speakers.retain(|(_, node)| node.is_some());
        }
        let pick = rng.random_range(0..speakers.len().max(1));
        speakers.get(pick).copied()
    }

    /// Waits until it is so for all; gives those for whom it never was.
    async fn everybody(&mut self, is_so: impl Fn(&Progress) -> bool) -> Vec<usize> {
        let mut late = Vec::new();
        for (no, progress) in self.progress.iter_mut().enumerate() {
            let waited = self.patience.wait_for(progress.wait_for(&is_so)).await;
            if !matches!(waited, Some(Ok(_))) {
                late.push(no);
            }
        }
        late
    }
}

async fn heads(database: &Database) -> BTreeMap<String, u64> {
    let rows = database
        .query("SELECT room_id::text, last_seq FROM room_heads", &[])
        .await
        .expect("the heads can be read");
    rows.iter()
        .map(|row| {
            let head = u64::try_from(row.get::<_, i64>(1)).expect("a seq");
            (row.get(0), head)
        })
        .collect()
}
