//! How much happened in runs.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;

use super::history::{Answer, History, Record, What, seq_of};
use super::plan::{BusPlan, Plan};
use super::stored::Stored;

/// Counts of one run, or of several.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    pub(super) runs: u64,
    pub(super) nodes: usize,
    /// Runs with Redis.
    pub(super) redis: u64,
    /// Runs in which some clients come through nginx.
    pub(super) nginx: u64,
    pub(super) stored: u64,
    pub(super) observed: u64,
    pub(super) acks: u64,
    pub(super) refusals: u64,
    pub(super) unanswered: u64,
    pub(super) connections: u64,
    pub(super) resumes: u64,
    pub(super) cursors: u64,
    /// Answers to who is in a room, and pushes of who came and went.
    pub(super) presence: u64,
    /// What broke, by its kind.
    pub(super) faults: BTreeMap<&'static str, u64>,
    /// From the last mending until everybody had everything, milliseconds: of one run each.
    pub(super) rests_ms: Vec<u64>,
}

impl Figures {
    pub(super) fn of(history: &History, stored: &Stored, plan: &Plan) -> Self {
        let at = |what: &What| {
            let is_it = |record: &&Record| record.what == *what;
            history.records.iter().find(is_it).map(|it| it.at_ms)
        };
        let rest_ms = at(&What::Mended).zip(at(&What::Settled));
        let mut figures = Self {
            runs: 1,
            nodes: plan.nodes,
            redis: u64::from(plan.bus != BusPlan::None),
            nginx: u64::from(plan.has_nginx()),
            stored: stored.values().map(|room| room.last_seq).sum(),
            rests_ms: rest_ms.iter().map(|(from, to)| to - from).collect(),
            ..Self::default()
        };
        for record in &history.records {
            match &record.what {
                What::Observed { push } if seq_of(push).is_some() => figures.observed += 1,
                What::Observed { push } if push["push"] == "presence" => figures.presence += 1,
                What::Told { .. } => figures.presence += 1,
                What::Answered { answer, .. } => match answer {
                    Answer::Done(_) if answer.is_of_an_event() => figures.acks += 1,
                    Answer::Done(ok) if ok["users"].is_array() => figures.presence += 1,
                    Answer::Done(_) => {}
                    Answer::Refused { .. } => figures.refusals += 1,
                    Answer::Lost => figures.unanswered += 1,
                },
                What::Connected { .. } => figures.connections += 1,
                What::Asked { cmd, fields, .. } if *cmd == "join" && fields["since"].is_u64() => {
                    figures.resumes += 1;
                }
                What::Asked { cmd: "resume", .. } => figures.cursors += 1,
                What::Struck { kind, .. } => *figures.faults.entry(kind).or_default() += 1,
                _ => {}
            }
        }
        figures
    }
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.runs += other.runs;
        self.nodes += other.nodes;
        self.redis += other.redis;
        self.nginx += other.nginx;
        self.stored += other.stored;
        self.observed += other.observed;
        self.acks += other.acks;
        self.refusals += other.refusals;
        self.unanswered += other.unanswered;
        self.connections += other.connections;
        self.resumes += other.resumes;
        self.cursors += other.cursors;
        self.presence += other.presence;
        for (kind, count) in other.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        self.rests_ms.extend(other.rests_ms);
        self.rests_ms.sort_unstable();
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} runs, {} nodes, {} with Redis, {} with nginx: {} events stored, {} acks, {} observed, {} refusals, \
             {} unanswered, {} connections, {} joins from a position, {} resumes, {} words of presence",
            self.runs,
            self.nodes,
            self.redis,
            self.nginx,
            self.stored,
            self.acks,
            self.observed,
            self.refusals,
            self.unanswered,
            self.connections,
            self.resumes,
            self.cursors,
            self.presence,
        )?;
        let rests = &self.rests_ms;
        if let (Some(median), Some(longest)) = (rests.get(rests.len() / 2), rests.last()) {
            write!(f, "; at rest after {median} ms")?;
            if rests.len() > 1 {
                write!(f, " (median; longest {longest})")?;
            }
        }
        write!(f, "; {} faults", self.faults.values().sum::<u64>())?;
        for (place, (kind, count)) in self.faults.iter().enumerate() {
            write!(f, "{}{count} {kind}", if place == 0 { ": " } else { ", " })?;
        }
        Ok(())
    }
}
