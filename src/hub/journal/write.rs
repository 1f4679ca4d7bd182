//! Writing a batch, whatever it takes: in halves when the database refuses something in it, and
//! without the rooms whose heads are locked when somebody holds them.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use super::entry::{Content, Entry, unavailable, unknown};
use super::flight::{FlightError, Link, Locking, Place, Verdict};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::id::{RoomId, UserId};

/// What became of an entry of a batch.
#[derive(Debug)]
pub(super) enum Fate {
    /// It is in the log, since this batch.
    Committed(Place),
    /// It was in the log already, or changes nothing (none).
    Known(Option<Place>),
    /// It is not in the log, or for [`ErrorCode::Unknown`] perhaps.
    Failed(Refusal),
    /// Its room's head is locked; nothing was tried.
    Held,
}

/// What became of a batch, in its order as far as a room is concerned.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) settled: Vec<(Entry, Fate)>,
    /// The connection is of no more use.
    pub(super) link_lost: bool,
    /// Senders whose later publishes in the room must not overtake the one that failed.
    pub(super) failed_senders: HashSet<(RoomId, UserId)>,
}

/// What a lane does about locked heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Gives their entries back as [`Fate::Held`].
    HandOver,
    /// Has waited long enough: their entries fail.
    GiveUp,
}

/// Writes a batch.
pub(super) async fn write(
    link: Rc<Link>,
    batch: Vec<Entry>,
    patience: Patience,
    timeout: Duration,
) -> Written {
    let mut written = Written::default();
    let mut held = HashSet::new();
    // Parts still to be written; the next one is at the end.
    let mut parts = vec![(batch, Locking::Wait)];
    while let Some((part, locking)) = parts.pop() {
        let part = written.sort_out(part, &held);
        if part.is_empty() {
            continue;
        }
        match link.fly(&part, locking, timeout).await {
            Ok(verdicts) => written.settle(part, verdicts, patience, &mut held),
            Err(FlightError::Locked) if locking == Locking::Wait => {
                parts.push((part, Locking::SkipLocked));
            }
            Err(FlightError::Refused(error)) if part.len() == 1 => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the database refuses an event"
                );
                written.fail(part, &rejected());
            }
            Err(FlightError::Encode(error)) if part.len() == 1 => {
                tracing::warn!(%error, "an event cannot be encoded");
                written.fail(part, &rejected());
            }
            Err(FlightError::Refused(_) | FlightError::Encode(_)) => {
                halve(part, Locking::Wait, &mut parts);
            }
            Err(FlightError::Locked) if part.iter().any(is_membership) => {
                // Free heads are not waited for: what is locked is the control log's head. What
                // does not need it goes on, the rest waits on the patient lane.
                let (changes, rest) = part.into_iter().partition(is_membership);
                written.hold(changes, patience, &mut held);
                parts.push((rest, Locking::SkipLocked));
            }
            // Not a head: some row that one of them needs. The others must not fail with it.
            Err(FlightError::Locked) if part.len() > 1 => {
                halve(part, Locking::SkipLocked, &mut parts);
            }
            Err(error @ (FlightError::Unavailable(_) | FlightError::Locked)) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    events = part.len(),
                    "a batch was not stored"
                );
                written.fail(part, &unavailable());
            }
            Err(error @ (FlightError::Lost(_) | FlightError::TimedOut)) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    events = part.len(),
                    "the fate of a batch is unknown"
                );
                written.fail(part, &unknown());
                written.link_lost = true;
                for (rest, _) in parts.drain(..).rev() {
                    let rest = written.sort_out(rest, &held);
                    written.fail(rest, &unavailable());
                }
            }
        }
    }
    written
}

/// Puts the halves of a part where the first is tried next.
fn halve(part: Vec<Entry>, locking: Locking, parts: &mut Vec<(Vec<Entry>, Locking)>) {
    let mut head = part;
    let tail = head.split_off(head.len() / 2);
    parts.push((tail, locking));
    parts.push((head, locking));
}

impl Written {
    /// Takes out of a part what must not be tried any more: later publishes of a sender that
    /// failed, and what follows a held entry in its room.
    fn sort_out(&mut self, part: Vec<Entry>, held: &HashSet<RoomId>) -> Vec<Entry> {
        if self.failed_senders.is_empty() && held.is_empty() {
            return part;
        }
        let mut rest = Vec::with_capacity(part.len());
        for entry in part {
            if self
                .failed_senders
                .contains(&(entry.room_id, entry.user_id))
            {
                self.settled.push((entry, Fate::Failed(earlier_failed())));
            } else if held.contains(&entry.room_id) {
                self.settled.push((entry, Fate::Held));
            } else {
                rest.push(entry);
            }
        }
        rest
    }

    fn fail(&mut self, part: Vec<Entry>, refusal: &Refusal) {
        for entry in part {
            self.failed_senders.insert((entry.room_id, entry.user_id));
            self.settled.push((entry, Fate::Failed(refusal.clone())));
        }
    }

    /// Gives back entries that wait for a lock, or fails them if they have waited long enough.
    fn hold(&mut self, part: Vec<Entry>, patience: Patience, held: &mut HashSet<RoomId>) {
        match patience {
            Patience::GiveUp => self.fail(part, &unavailable()),
            Patience::HandOver => {
                held.extend(part.iter().map(|entry| entry.room_id));
                let part = part.into_iter().map(|entry| (entry, Fate::Held));
                self.settled.extend(part);
            }
        }
    }

    fn settle(
        &mut self,
        part: Vec<Entry>,
        verdicts: Vec<Verdict>,
        patience: Patience,
        held: &mut HashSet<RoomId>,
    ) {
        debug_assert_eq!(part.len(), verdicts.len(), "one verdict for each entry");
        for (entry, verdict) in part.into_iter().zip(verdicts) {
            let fate = match verdict {
                Verdict::Accepted(place) => Fate::Committed(place),
                Verdict::Duplicate(place) => Fate::Known(Some(place)),
                Verdict::Unchanged => Fate::Known(None),
                Verdict::Forbidden(code) => Fate::Failed(forbidden(code)),
                Verdict::Locked if patience == Patience::HandOver => {
                    held.insert(entry.room_id);
                    Fate::Held
                }
                Verdict::Locked => {
                    self.failed_senders.insert((entry.room_id, entry.user_id));
                    Fate::Failed(unavailable())
                }
            };
            self.settled.push((entry, fate));
        }
    }
}

/// Whether its statement takes the lock of the control log's head.
fn is_membership(entry: &Entry) -> bool {
    matches!(entry.content, Content::Membership(_))
}

/// The refusal of what follows a publish that failed.
pub(super) fn earlier_failed() -> Refusal {
    Refusal::new(
        ErrorCode::EarlierFailed,
        "an earlier publish of yours in this room failed; send both again, in their order",
    )
}

fn rejected() -> Refusal {
    Refusal::new(ErrorCode::Rejected, "the database refuses this event")
}

fn forbidden(code: ErrorCode) -> Refusal {
    let message = match code {
        ErrorCode::ClientIdReused => "this client_id was used for another body in this room",
        ErrorCode::RoomNotFound => "no such room",
        ErrorCode::UserNotFound => "no such user",
        ErrorCode::NotAMember => "you are not a member of this room",
        ErrorCode::Muted => "you are muted in this room",
        ErrorCode::MessageNotFound => {
            "no such message in this room, or, as the root of a thread, a reply itself"
        }
        ErrorCode::MessageDeleted => "the message was deleted",
        ErrorCode::TooManyReactions => "the message has as many different reactions as it may",
        ErrorCode::TooManyPins => "the room has as many pinned messages as it may",
        ErrorCode::LastOwner => {
            "a room with members needs an owner: make another member owner first"
        }
        ErrorCode::Banned => "banned from this room",
        ErrorCode::InvitationNotFound => "no such invitation, or none that is good any more",
        ErrorCode::InvitationUsed => "this invitation has been used",
        ErrorCode::InvitationExpired => "this invitation has expired",
        ErrorCode::Unavailable => "somebody else has just changed it; look again",
        _ => "your role in this room does not allow it",
    };
    Refusal::new(code, message)
}
