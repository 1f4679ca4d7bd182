//! What the log is told of a replica: each change once, and nothing of one that comes and goes all the time.

use super::replica::Doubt;

/// What was told of one.
#[derive(Debug)]
pub(super) struct Told {
    number: usize,
    place: String,
    /// That it is asked.
    asked: bool,
    /// Why it is not.
    why: Option<String>,
}

impl Told {
    pub(super) fn new(number: usize, place: String) -> Self {
        Self {
            number,
            place,
            asked: false,
            why: None,
        }
    }

    /// It is fit.
    pub(super) fn is_asked(&mut self) {
        if !std::mem::replace(&mut self.asked, true) {
            let Self { number, place, .. } = self;
            tracing::info!(
                replica = number,
                server = place,
                "a replica of the database is asked for pages of messages"
            );
        }
    }

    /// It is not asked for now.
    pub(super) fn is_not_asked(&mut self, doubt: &Doubt) {
        let why = doubt.in_full();
        if self.why.as_ref() != Some(&why) {
            tracing::warn!(
                replica = self.number,
                server = self.place,
                why,
                "a replica of the database is not asked; the primary is, in its place"
            );
            self.asked = false;
            self.why = Some(why);
        }
    }

    /// It was fit for a while: what goes wrong now is news.
    pub(super) fn has_lasted(&mut self) {
        self.why = None;
    }
}
