//! Joining a room, with what was missed.
//!
//! The room itself decides where the replay ends and the live events begin: it registers the
//! connection's thread and hands over the missed events in one message, and whatever it delivers
//! later comes after that message. If its memory does not reach back far enough, the connection
//! first reads the log page by page and asks again from there, until memory does.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use jiff::Timestamp;
use tokio::sync::oneshot;

use super::commands::timed_out;
use super::pace::{broken_off, patiently, spare_bytes, taken};
use super::session::{SessionLimits, admit_room};
use super::{Connection, Flow};
use crate::hub::encoded::SharedEvent;
use crate::hub::fanout::{Announcement, Attachment, JoinProgress, Joining, Worker};
use crate::hub::replay_pages::ReplayPage;
use crate::hub::room::Subscribe;
use crate::protocol::close::Disconnect;
use crate::protocol::cursor::Position;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::event::{Epoch, Seq};
use crate::protocol::id::{RoomId, RoomRef, UserId};
use crate::protocol::native::request::RequestId;
use crate::protocol::reply::{Gap, GapReason, Joined};
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
        let after = move |this: &mut Self, joined: Result<(), NotJoined>| {
            let Err(failed) = joined else { return };
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
pub(super) async fn enter(wanted: Wanted) -> Result<(), NotJoined> {
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
    joined.map_err(|refusal| NotJoined {
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
                    self.send_memory(epoch, head, &events).await;
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
        let outbox = &self.attachment.outbox;
        outbox.closing().is_some() || outbox.is_shut()
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

    /// Where the client will stand when the replay is over.
    fn cursor(&self, epoch: Epoch, head: Seq) -> Option<String> {
        let position = Position {
            room_id: self.room_id,
            epoch,
            seq: head,
        };
        let table = self.worker.table.borrow();
        table.cursor(&self.attachment, Some(position)).ok()
    }

    /// Sends pages of the log until the room's memory may reach back to the position. False if
    /// the log is not what the room takes it for.
    async fn catch_up(&mut self, epoch: Epoch, head: Seq) -> Result<bool, Refusal> {
        let memory = self.worker.hub.settings().hub.room_memory_events as u64;
        loop {
            let since = self.position.unwrap_or(head);
            let page = self.page(since).await?;
            let first = match page.events.first() {
                Some(event) => event.event.seq,
                // The log has nothing more: what the room's memory lacks is not there.
                None => page.first_seq,
            };
            if page.epoch != epoch || (page.events.is_empty() && first <= since + 1) {
                let room = self.worker.hub.room(self.room_id).await?;
                room.look_again();
                return Ok(false);
            }
            // After the page was read: who is a member now may see all that is in it.
            self.check_again().await?;
            if self.position.unwrap_or(head) > since {
                // The floor has risen.
                continue;
            }
            if first > since + 1 {
                if self.is_announced {
                    return Err(broken_off("retention was faster than the reader"));
                }
                self.gap = Some(self.gap_to(since, first - 1, GapReason::Retention));
            }
            if !self.is_announced {
                self.announce(epoch, head, first);
            }
            self.send(epoch, &page.events).await;
            let position = page.events.last().map_or(first - 1, |last| last.event.seq);
            self.position = Some(position);
            let last_seq = page.last_seq;
            drop(page);
            // The next page is read when this one has been taken, so that a slow reader of a
            // long replay costs no memory.
            taken(&self.worker, &self.attachment, spare_bytes(&self.worker)).await;
            if self.is_over() || last_seq.saturating_sub(position) <= memory {
                return Ok(true);
            }
        }
    }

    fn announce(&mut self, epoch: Epoch, head: Seq, first: Seq) {
        let joined = Joined {
            room: self.room_id,
            epoch,
            last_seq: head,
            replayed: (head + 1).saturating_sub(first),
            gap: self.gap,
            cursor: self.cursor(epoch, head),
        };
        let table = self.worker.table.borrow();
        self.attachment.announce(&table, &self.announcement, joined);
        self.is_announced = true;
        // From here on it is of this life of the log: another one would be noticed.
        self.epoch = Some(epoch);
    }

    /// Sends what a room remembers, where that is more than may wait at once.
    async fn send_memory(&mut self, epoch: Epoch, head: Seq, events: &[Arc<SharedEvent>]) {
        if let Some(first) = events.first()
            && !self.is_announced
        {
            self.announce(epoch, head, first.event.seq);
        }
        self.send(epoch, events).await;
        if let Some(last) = events.last() {
            self.position = Some(last.event.seq);
        }
        taken(&self.worker, &self.attachment, spare_bytes(&self.worker)).await;
    }

    /// A page out of Postgres, when it is its turn.
    async fn page(&self, since: Seq) -> Result<Arc<ReplayPage>, Refusal> {
        let page = self.worker.hub.replays().after(self.room_id, since);
        patiently(&self.worker, &self.attachment, page).await
    }

    async fn send(&self, epoch: Epoch, events: &[Arc<SharedEvent>]) {
        for event in events {
            let bytes = self.attachment.replay_bytes([event]);
            // A replay is paced by its reader: what does not fit waits for what is before it.
            while !self.attachment.outbox.has_room(bytes) {
                let replay_bytes = self.attachment.outbox.replay_bytes();
                let all_but = replay_bytes.saturating_sub(bytes);
                taken(&self.worker, &self.attachment, all_but).await;
            }
            let table = self.worker.table.borrow();
            self.attachment.push_event(&table, event);
            self.attachment.stands_at(Position {
                room_id: self.room_id,
                epoch,
                seq: event.event.seq,
            });
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
