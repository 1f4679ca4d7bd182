//! Joining a room, with what was missed.
//!
//! The room itself decides where the replay ends and the live events begin: it registers the
//! connection's thread and hands over the missed events in one message, and whatever it delivers
//! later comes after that message. If its memory does not reach back far enough, the connection
//! first reads the log page by page and asks again from there, until memory does.

use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use jiff::Timestamp;
use tokio::sync::oneshot;

use super::commands::timed_out;
use super::outbox::Class;
use super::session::admit_room;
use super::{Connection, Flow};
use crate::hub::encoded::SharedEvent;
use crate::hub::fanout::{Attachment, JoinProgress, Joining, Worker};
use crate::hub::room::Subscribe;
use crate::protocol::cursor::Position;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::event::{Epoch, Seq};
use crate::protocol::id::{RoomId, RoomRef, UserId};
use crate::protocol::native::request::RequestId;
use crate::protocol::reply::{Gap, GapReason, Joined, Reply};

/// How often a room that was lost in the middle of a join is asked again.
const ATTEMPTS: u32 = 3;

/// A join under way.
struct Join {
    worker: Rc<Worker>,
    attachment: Rc<Attachment>,
    request: Option<RequestId>,
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
    is_replied: bool,
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
        self.joins = self.joins.wrapping_add(1);
        let number = self.joins;
        let worker = Rc::clone(&self.worker);
        let attachment = Rc::clone(&self.attachment);
        let patience = self.patience();
        let request = id.clone();
        let limits = self.session.limits();
        let joining = async move {
            let checking = worker.hub.member_access(&room, user_id);
            let access = tokio::time::timeout(patience, checking)
                .await
                .map_err(|_| timed_out())??;
            if !attachment.is_in(access.room_id) {
                admit_room(attachment.room_count(), limits)?;
            }
            let mut join = Join {
                worker,
                attachment,
                request,
                number,
                room_id: access.room_id,
                user_id,
                checked_at: access.last_seq,
                muted_until: access.muted_until,
                checked_epoch: access.epoch,
                position: since,
                epoch,
                is_replied: false,
            };
            // A second join of a room starts it afresh.
            join.worker.unsubscribe(&join.attachment, join.room_id);
            let joined = join.run().await;
            if let Err(refusal) = &joined
                && join.is_replied
            {
                // It is too late for a refusal: part of the replay is on its way.
                tracing::debug!(%refusal, "a replay broke off");
                join.worker
                    .close(&join.attachment, crate::protocol::close::Disconnect::Resync);
                return Ok(());
            }
            joined
        };
        ctx.wait(joining.into_actor(self).map(move |joined, this, ctx| {
            this.attachment.joining.take();
            if let Err(refusal) = joined {
                this.refuse(id.as_ref(), refusal);
            }
            this.resume(ctx);
        }));
        Flow::Wait
    }
}

impl Join {
    async fn run(&mut self) -> Result<(), Refusal> {
        let mut attempts = 0;
        loop {
            if self.attachment.outbox.closing().is_some() || self.attachment.outbox.is_shut() {
                return Ok(());
            }
            match self.subscribe().await? {
                JoinProgress::Live => return Ok(()),
                JoinProgress::Behind { epoch, head } => {
                    attempts = 0;
                    self.replay_page(epoch, head).await?;
                    self.check_again().await?;
                }
                JoinProgress::Unavailable => {
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
        }
    }

    /// Checks the membership again: the room knows only the last departures, and the check must
    /// not be older than those.
    async fn check_again(&mut self) -> Result<(), Refusal> {
        let room = RoomRef::Id(self.room_id);
        let checking = self.worker.hub.member_access(&room, self.user_id);
        let access = tokio::time::timeout(self.patience(), checking)
            .await
            .map_err(|_| timed_out())??;
        self.checked_at = access.last_seq;
        self.muted_until = access.muted_until;
        self.checked_epoch = access.epoch;
        Ok(())
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(self.worker.hub.settings().websocket.command_timeout_ms)
    }

    /// Asks the room.
    async fn subscribe(&self) -> Result<JoinProgress, Refusal> {
        let hub = &self.worker.hub;
        let patience = self.patience();
        let room = tokio::time::timeout(patience, hub.room(self.room_id))
            .await
            .map_err(|_| timed_out())??;
        let (progress, answer) = oneshot::channel();
        self.attachment.joining.replace(Some(Joining {
            number: self.number,
            request: self.request.clone(),
            is_replied: self.is_replied,
            muted_until: self.muted_until,
            progress,
        }));
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

    /// Sends the next page of what was missed out of Postgres.
    async fn replay_page(&mut self, epoch: Epoch, head: Seq) -> Result<(), Refusal> {
        let hub = self.worker.hub.clone();
        let since = self.position.unwrap_or(head);
        let page = tokio::time::timeout(self.patience(), hub.events_after(self.room_id, since))
            .await
            .map_err(|_| timed_out())??;
        if !self.is_replied {
            let first = page.first().map_or(head + 1, |event| event.seq);
            let gap = (first > since + 1).then_some(Gap {
                from: since + 1,
                to: first - 1,
                reason: GapReason::Retention,
            });
            let reply = Reply::Joined(Joined {
                room: self.room_id,
                epoch,
                last_seq: head,
                replayed: (head + 1).saturating_sub(first),
                gap,
                cursor: self.cursor(epoch, head),
            });
            self.attachment
                .push_reply(self.request.as_ref(), &Ok(reply));
            self.is_replied = true;
        }
        let Some(last) = page.last().map(|event| event.seq) else {
            // The log has nothing more: what the room's memory lacks is not there.
            self.position = Some(head);
            return Ok(());
        };
        for event in page {
            let frame = SharedEvent::new(event, None).frame(self.attachment.format);
            // A replay is paced by its reader: what does not fit waits for what is before it.
            if !self.attachment.outbox.has_room(frame.len()) {
                self.taken().await;
            }
            self.attachment.outbox.push(frame, Class::Durable);
        }
        self.position = Some(last);
        // The next page is read when this one has been taken, so that a slow reader of a long
        // replay costs no memory.
        self.taken().await;
        Ok(())
    }

    /// Waits until the client has taken what it was sent. That counts as being heard of: while a
    /// join is under way nothing is read.
    async fn taken(&self) {
        self.attachment.outbox.flush();
        self.attachment.outbox.drained().await;
        self.attachment.heard(self.worker.now());
    }
}
