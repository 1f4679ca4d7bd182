//! How much happened in runs.

use std::fmt;
use std::ops::AddAssign;

use super::history::{Answer, History, What, seq_of};
use super::stored::Stored;

/// Counts of one run, or of several.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    pub(super) runs: u64,
    pub(super) stored: u64,
    pub(super) observed: u64,
    pub(super) acks: u64,
    pub(super) refusals: u64,
    pub(super) unanswered: u64,
    pub(super) connections: u64,
    pub(super) resumes: u64,
    pub(super) cursors: u64,
    pub(super) faults: u64,
}

impl Figures {
    pub(super) fn of(history: &History, stored: &Stored) -> Self {
        let mut figures = Self {
            runs: 1,
            stored: stored.values().map(|room| room.last_seq).sum(),
            ..Self::default()
        };
        for record in &history.records {
            match &record.what {
                What::Observed { push } if seq_of(push).is_some() => figures.observed += 1,
                What::Answered { answer, .. } => match answer {
                    Answer::Done(ok) if seq_of(ok).is_some() => figures.acks += 1,
                    Answer::Done(_) => {}
                    Answer::Refused { .. } => figures.refusals += 1,
                    Answer::Lost => figures.unanswered += 1,
                },
                What::Connected { .. } => figures.connections += 1,
                What::Asked { cmd, fields, .. } if *cmd == "join" && fields["since"].is_u64() => {
                    figures.resumes += 1;
                }
                What::Asked { cmd: "resume", .. } => figures.cursors += 1,
                What::Fault { .. } => figures.faults += 1,
                _ => {}
            }
        }
        figures
    }
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.runs += other.runs;
        self.stored += other.stored;
        self.observed += other.observed;
        self.acks += other.acks;
        self.refusals += other.refusals;
        self.unanswered += other.unanswered;
        self.connections += other.connections;
        self.resumes += other.resumes;
        self.cursors += other.cursors;
        self.faults += other.faults;
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} runs: {} events stored, {} observed, {} acks, {} refusals, {} unanswered, \
             {} connections, {} joins from a position, {} resumes, {} faults",
            self.runs,
            self.stored,
            self.observed,
            self.acks,
            self.refusals,
            self.unanswered,
            self.connections,
            self.resumes,
            self.cursors,
            self.faults
        )
    }
}
