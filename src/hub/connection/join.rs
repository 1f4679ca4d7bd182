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
use tokio::sync::oneshot;

use super::commands::timed_out;
use super::session::admit_room;
use super::{Connection, Flow};
use crate::hub::encoded::SharedEvent;
use crate::hub::fanout::{Announcement, Attachment, JoinProgress, Joining, Worker};
use crate::hub::room::Subscribe;
use crate::hub::room_not_found;
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

/// A room that a connection is to join.
#[derive(Debug)]
pub(crate) struct Entrance {
    /// The room, and that the user is a member of it.
    pub(crate) access: RoomAccess,
    /// The last event that the client has, if it said so.
    pub(crate) since: Option<Seq>,
    /// The log's life in which that was, if it said so.
    pub(crate) epoch: Option<Epoch>,
    /// How it is told.
    pub(crate) announcement: Announcement,
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
    /// The last event that the client has or will have got, if it said so.
    position: Option<Seq>,
    epoch: Option<Epoch>,
}

/// Joins a room: tells so, replays what was missed at the reader's pace, and passes into the live
/// events. One join of a connection at a time. An error means that nothing was told; what fails
/// later closes the connection with [`Disconnect::Resync`].
pub(crate) async fn join_room(
    worker: &Rc<Worker>,
    attachment: &Rc<Attachment>,
    entrance: Entrance,
) -> Result<(), Refusal> {
    let Some(user_id) = attachment.user_id() else {
        return Ok(());
    };
    let Entrance {
        access,
        since,
        epoch,
        announcement,
    } = entrance;
    let mut join = Join {
        worker: Rc::clone(worker),
        attachment: Rc::clone(attachment),
        announcement,
        number: worker.next_join(),
        room_id: access.room_id,
        user_id,
        checked_at: access.last_seq,
        position: since,
        epoch,
    };
    // A second join of a room starts it afresh.
    worker.unsubscribe(attachment, access.room_id);
    let joined = join.run().await;
    attachment.joining.take();
    if let Err(refusal) = &joined
        && matches!(join.announcement, Announcement::Made)
    {
        // It is too late for a refusal: part of the replay is on its way.
        tracing::debug!(%refusal, "a replay broke off");
        worker.close(attachment, Disconnect::Resync);
        return Ok(());
    }
    joined
}

/// Joins a room as a part of a resume, from a position or, without one, from now on: the push
/// `resumed` is told before what was missed. An error means that nothing was told.
pub(crate) async fn resume_room(
    worker: &Rc<Worker>,
    attachment: &Rc<Attachment>,
    access: RoomAccess,
    position: Option<Position>,
) -> Result<(), Refusal> {
    let entrance = Entrance {
        access,
        since: position.map(|it| it.seq),
        epoch: position.map(|it| it.epoch),
        announcement: Announcement::Resumed,
    };
    join_room(worker, attachment, entrance).await
}

/// The room, if the connection's user is a member of it, within the time that a command may take.
pub(crate) async fn check_access(
    worker: &Worker,
    attachment: &Attachment,
    room: &RoomRef,
) -> Result<RoomAccess, Refusal> {
    let Some(user_id) = attachment.user_id() else {
        return Err(room_not_found());
    };
    let checking = worker.hub.member_access(room, user_id);
    tokio::time::timeout(patience(worker), checking)
        .await
        .unwrap_or_else(|_| Err(timed_out()))
}

fn patience(worker: &Worker) -> Duration {
    Duration::from_millis(worker.hub.settings().websocket.command_timeout_ms)
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
        let worker = Rc::clone(&self.worker);
        let attachment = Rc::clone(&self.attachment);
        let announcement = Announcement::Reply(id.clone());
        let limits = self.session.limits();
        let joining = async move {
            let access = check_access(&worker, &attachment, &room).await?;
            if !attachment.is_in(access.room_id) {
                admit_room(attachment.room_count(), limits)?;
            }
            let entrance = Entrance {
                access,
                since,
                epoch,
                announcement,
            };
            join_room(&worker, &attachment, entrance).await
        };
        ctx.wait(joining.into_actor(self).map(move |joined, this, ctx| {
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
                JoinProgress::TooMuch {
                    epoch,
                    head,
                    events,
                } => {
                    attempts = 0;
                    self.replay(epoch, head, &events).await?;
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
        let access = check_access(&self.worker, &self.attachment, &room).await?;
        self.checked_at = access.last_seq;
        Ok(())
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
        self.attachment.joining.replace(Some(Joining {
            number: self.number,
            announcement: self.announcement.clone(),
            progress,
        }));
        room.subscribe(Subscribe {
            fanout: self.worker.fanout.clone(),
            connection: self.attachment.key,
            join: self.number,
            user_id: self.user_id,
            checked_at: self.checked_at,
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
        let shared = |event| SharedEvent::new(event, None);
        let events: Vec<_> = page.into_iter().map(shared).collect();
        self.replay(epoch, head, &events).await
    }

    /// Sends a part of what was missed, at the pace at which the client takes it. The first one
    /// goes behind the announcement.
    async fn replay(
        &mut self,
        epoch: Epoch,
        head: Seq,
        events: &[Arc<SharedEvent>],
    ) -> Result<(), Refusal> {
        let since = self.position.unwrap_or(head);
        let first = events.first().map_or(head + 1, |event| event.event.seq);
        let gap = (first > since + 1).then_some(Gap {
            from: since + 1,
            to: first - 1,
            reason: GapReason::Retention,
        });
        if matches!(self.announcement, Announcement::Made) {
            if gap.is_some() {
                // It can be told at the beginning of a replay only.
                return Err(Refusal::new(
                    ErrorCode::Unavailable,
                    "a part of the log was removed during its replay",
                ));
            }
        } else {
            let joined = Joined {
                room: self.room_id,
                epoch,
                last_seq: head,
                replayed: (head + 1).saturating_sub(first),
                gap,
                cursor: self.cursor(epoch, head),
            };
            let announcement = std::mem::replace(&mut self.announcement, Announcement::Made);
            let table = self.worker.table.borrow();
            self.attachment.announce(&table, &announcement, joined);
        }
        // What is replayed from here on is of this life of the log; a position in another is
        // judged when the room is asked again.
        self.epoch = Some(epoch);
        let Some(last) = events.last().map(|event| event.event.seq) else {
            // The log has nothing more: what the room's memory lacks is not there.
            self.position = Some(head);
            return Ok(());
        };
        for event in events {
            // A replay is paced by its reader: what does not fit waits for what is before it.
            let bytes = self.attachment.replay_bytes([event]);
            if !self.attachment.outbox.has_room(bytes) {
                self.taken().await;
            }
            let table = self.worker.table.borrow();
            self.attachment.push_event(&table, event);
            self.attachment.stands_at(Position {
                room_id: self.room_id,
                epoch,
                seq: event.event.seq,
            });
        }
        self.position = Some(last);
        // The next part is read when this one has been taken, so that a slow reader of a long
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
