//! Joining a room, with what was missed.
//!
//! The room itself decides where the replay ends and the live events begin: it registers the
//! connection's thread and hands over the missed events in one message, and whatever it delivers
//! later comes after that message. If its memory does not reach back far enough, the connection
//! first reads the log page by page and asks again from there, until memory does.

mod replay;

use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::commands::timed_out;
use super::context::Context;
use super::pace::{broken_off, patiently};
use super::session::{SessionLimits, admit_room};
use super::{Connection, Flow};
use crate::hub::fanout::{Announcement, Attachment, JoinProgress, Joining, Worker};
use crate::hub::room::Subscribe;
use crate::protocol::close::Disconnect;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::event::{Epoch, Seq};
use crate::protocol::id::{RoomId, RoomRef, UserId};
use crate::protocol::native::request::RequestId;
use crate::protocol::reply::{Gap, GapReason};
use crate::store::rooms::RoomAccess;

/// How often a room that was lost in the middle of a join is asked again.
const ATTEMPTS: u32 = 3;

/// A room to be joined, and how the client is told.
pub(super) struct Wanted {
    pub(super) worker: Rc<Worker>,
    pub(super) attachment: Rc<Attachment>,
    pub(super) limits: SessionLimits,
    pub(super) announcement: Announcement,
    /// Tells this join from the connection's others.
    pub(super) number: u32,
    pub(super) user_id: UserId,
    pub(super) room: RoomRef,
    /// The last event that the client has.
    pub(super) since: Option<Seq>,
    /// The log's life in which it was.
    pub(super) epoch: Option<Epoch>,
}

/// A room was not joined.
pub(super) struct NotJoined {
    pub(super) refusal: Refusal,
    /// It had been announced already, and part of the replay is on its way.
    pub(super) is_announced: bool,
}

/// A join under way.
struct Join {
    worker: Rc<Worker>,
    attachment: Rc<Attachment>,
    announcement: Announcement,
    number: u32,
    room_id: RoomId,
    user_id: UserId,
    /// The head when the membership was checked.
    checked_at: Seq,
    /// Until when the user was muted then.
    muted_until: Option<Timestamp>,
    /// Of which life of the log.
    checked_epoch: Epoch,
    /// The last event that the client has or will have got, if it said so.
    position: Option<Seq>,
    epoch: Option<Epoch>,
    /// What the client cannot have.
    gap: Option<Gap>,
    is_announced: bool,
}

impl Connection {
    pub(super) fn join(
        &mut self,
        id: Option<RequestId>,
        room: RoomRef,
        since: Option<Seq>,
        epoch: Option<Epoch>,
        ctx: &mut Context<Self>,
    ) -> Flow {
        let Some(user_id) = self.attachment.user_id() else {
            return Flow::Continue;
        };
        let wanted = Wanted {
            worker: Rc::clone(&self.worker),
            attachment: Rc::clone(&self.attachment),
            limits: self.session.limits(),
            announcement: Announcement::Reply(id.clone()),
            number: self.next_join(),
            user_id,
            room,
            since,
            epoch,
        };
        let after = move |this: &mut Self, joined: Result<RoomId, NotJoined>| {
            let failed = match joined {
                Ok(room_id) => return this.leave_others(room_id),
                Err(failed) => failed,
            };
            if failed.is_announced {
                // It is too late for a refusal.
                tracing::debug!(refusal = %failed.refusal, "a replay broke off");
                this.worker.close(&this.attachment, Disconnect::Resync);
            } else {
                this.refuse(id.as_ref(), failed.refusal);
            }
        };
        self.beside(enter(wanted), after, ctx)
    }

    pub(super) fn next_join(&mut self) -> u32 {
        self.joins = self.joins.wrapping_add(1);
        self.joins
    }
}

/// Joins a room, and returns when the client is in it and all that it missed is in the outbox.
pub(super) async fn enter(wanted: Wanted) -> Result<RoomId, NotJoined> {
    let mut join = match Join::begin(wanted).await {
        Ok(join) => join,
        Err(refusal) => {
            return Err(NotJoined {
                refusal,
                is_announced: false,
            });
        }
    };
    let was_paced = join.attachment.is_paced.replace(true);
    let joined = join.run().await;
    join.attachment.is_paced.set(was_paced);
    join.attachment.joining.take();
    let room_id = join.room_id;
    joined.map(|()| room_id).map_err(|refusal| NotJoined {
        refusal,
        is_announced: join.is_announced,
    })
}

impl Join {
    async fn begin(wanted: Wanted) -> Result<Self, Refusal> {
        let Wanted {
            worker,
            attachment,
            limits,
            announcement,
            number,
            user_id,
            room,
            since,
            epoch,
        } = wanted;
        let checking = check(&worker, &room, user_id, since.is_some());
        let access = patiently(&worker, &attachment, checking).await?;
        if !attachment.is_in(access.room_id) {
            admit_room(attachment.room_count(), limits)?;
        }
        // A second join of a room starts it afresh.
        worker.unsubscribe(&attachment, access.room_id);
        let mut join = Self {
            worker,
            attachment,
            announcement,
            number,
            room_id: access.room_id,
            user_id,
            checked_at: access.last_seq,
            muted_until: access.muted_until,
            checked_epoch: access.epoch,
            position: since,
            epoch,
            gap: None,
            is_announced: false,
        };
        join.checked(&access)?;
        Ok(join)
    }

    async fn run(&mut self) -> Result<(), Refusal> {
        let mut attempts = 0;
        loop {
            if self.is_over() {
                return Ok(());
            }
            match self.subscribe().await? {
                JoinProgress::Live => return Ok(()),
                JoinProgress::Behind { epoch, head } => {
                    if self.catch_up(epoch, head).await? {
                        attempts = 0;
                        continue;
                    }
                }
                JoinProgress::TooMuch {
                    epoch,
                    head,
                    events,
                } => {
                    self.send_memory(epoch, head, events).await;
                    attempts = 0;
                    self.check_again().await?;
                    continue;
                }
                JoinProgress::Unavailable => {}
            }
            attempts += 1;
            if attempts >= ATTEMPTS {
                return Err(Refusal::new(
                    ErrorCode::Unavailable,
                    "the room cannot be joined now; try again",
                ));
            }
            self.check_again().await?;
        }
    }

    /// Whether there is nobody left to join.
    fn is_over(&self) -> bool {
        self.attachment.outbox.is_over()
    }

    /// Checks the membership again: the room knows only the last departures, and the check must
    /// not be older than those.
    async fn check_again(&mut self) -> Result<(), Refusal> {
        let room = RoomRef::Id(self.room_id);
        let checking = check(&self.worker, &room, self.user_id, true);
        let access = patiently(&self.worker, &self.attachment, checking).await?;
        self.checked(&access)
    }

    /// Goes by what a check of the membership has found.
    fn checked(&mut self, access: &RoomAccess) -> Result<(), Refusal> {
        self.checked_at = access.last_seq;
        self.muted_until = access.muted_until;
        self.checked_epoch = access.epoch;
        let floor = access.history_floor;
        let Some(position) = self.position.filter(|position| *position < floor) else {
            return Ok(());
        };
        if self.is_announced {
            return Err(broken_off("the membership has begun anew meanwhile"));
        }
        self.gap = Some(self.gap_to(position, floor, GapReason::History));
        self.position = Some(floor);
        Ok(())
    }

    /// What is missing up to `to`, together with what is known to be missing before it: the later
    /// reason stands for both.
    fn gap_to(&self, position: Seq, to: Seq, reason: GapReason) -> Gap {
        Gap {
            from: self.gap.map_or(position + 1, |gap| gap.from),
            to,
            reason,
        }
    }

    fn patience(&self) -> Duration {
        patience(&self.worker)
    }

    /// Asks the room.
    async fn subscribe(&self) -> Result<JoinProgress, Refusal> {
        let hub = &self.worker.hub;
        let patience = self.patience();
        let room = tokio::time::timeout(patience, hub.room(self.room_id))
            .await
            .map_err(|_| timed_out())??;
        let (progress, answer) = oneshot::channel();
        self.attachment.joining.replace(Some(Box::new(Joining {
            number: self.number,
            announcement: self.announcement.clone(),
            is_announced: self.is_announced,
            gap: self.gap,
            muted_until: self.muted_until,
            progress,
        })));
        room.subscribe(Subscribe {
            fanout: self.worker.fanout.clone(),
            connection: self.attachment.key,
            join: self.number,
            user_id: self.user_id,
            checked_at: self.checked_at,
            checked_epoch: self.checked_epoch,
            since: self.position,
            epoch: self.epoch,
        });
        match tokio::time::timeout(patience, answer).await {
            Ok(Ok(progress)) => Ok(progress),
            Ok(Err(_)) => Ok(JoinProgress::Unavailable),
            Err(_) => Err(timed_out()),
        }
    }
}

/// What the user is in the room. Those who come back take turns, because they come all at once.
async fn check(
    worker: &Worker,
    room: &RoomRef,
    user: UserId,
    in_turn: bool,
) -> Result<RoomAccess, Refusal> {
    let _turn = if in_turn {
        Some(worker.hub.replays().turn().await?)
    } else {
        None
    };
    let checking = worker.hub.member_access(room, user);
    tokio::time::timeout(patience(worker), checking)
        .await
        .map_err(|_| timed_out())?
}

fn patience(worker: &Worker) -> Duration {
    Duration::from_millis(worker.hub.settings().websocket.command_timeout_ms)
}
