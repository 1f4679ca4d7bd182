//! How a room comes right again: holes in what it was given, threads that stand behind it, and a
//! log that is not the one that it knew.

use std::time::Duration;

use actix::prelude::*;

use super::log::RoomLog;
use super::{Room, deliver};
use crate::hub::encoded::SharedEvent;
use crate::hub::fanout::{FanoutHandle, FanoutMessage};
use crate::hub::metrics::{BEHIND, GAPS, HINTED_READS, HISTORY_LOST};
use crate::protocol::event::{Epoch, Event, Seq};
use crate::store::{StoreError, room_events};

/// Postgres is asked again after this if it could not answer.
const RETRY: Duration = Duration::from_secs(1);

/// Where a thread's connections in a room stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The log's life.
    pub(crate) epoch: Epoch,
    /// The last event that they have.
    pub(crate) position: Seq,
}

/// What is being done about a hole.
#[derive(Debug, Default)]
pub(super) struct Healing {
    /// Somebody else may still fill it until this timer runs out.
    timer: Option<SpawnHandle>,
    /// The log is being read.
    is_reading: bool,
    /// The heads were compared since the log was last read for a hole.
    is_compared: bool,
    /// What other nodes have told of.
    hint: Hint,
    /// The head is going to be read again.
    is_load_planned: bool,
    /// Threads for whom a page of the log is being read, for all of their connections or for late
    /// ones: one of each at a time.
    reading_for: Vec<(usize, bool)>,
}

/// The last event that another node has told of. Unlike what this node knows to be committed it is
/// believed only when the log has it.
#[derive(Debug, Default)]
struct Hint {
    seq: Seq,
    /// It was told since the log was last begun to be read.
    is_new: bool,
}

impl Healing {
    /// The head was compared with the log's.
    pub(super) fn compared(&mut self) {
        self.is_compared = true;
    }
}

impl Room {
    /// Fills a hole, if there is one and nobody else fills it in time.
    pub(super) fn heal(&mut self, ctx: &mut Context<Self>) {
        if self.healing.timer.is_none() && !self.healing.is_reading && self.has_gap() {
            let wait = self.settings.gap_wait;
            self.healing.timer = Some(ctx.run_later(wait, Self::fill));
        } else if self.healing.timer.is_none() {
            self.healing.is_compared = false;
        }
    }

    /// Another node says that the log has come to `seq`: reads on, at once or after what the bus may
    /// take to bring it.
    pub(super) fn hinted(&mut self, seq: Seq, has_bus: bool, ctx: &mut Context<Self>) {
        // While the head is not known it will be read, after this was committed.
        if self.log.is_none() {
            return;
        }
        self.healing.hint.seq = seq.max(self.healing.hint.seq);
        self.healing.hint.is_new = true;
        if !has_bus {
            self.fill(ctx);
        } else if self.healing.timer.is_none() && !self.healing.is_reading && self.is_hinted() {
            let wait = self.settings.gap_wait;
            self.healing.timer = Some(ctx.run_later(wait, Self::fill));
        }
    }

    fn is_hinted(&self) -> bool {
        self.log
            .as_ref()
            .is_some_and(|log| log.delivered() < self.healing.hint.seq)
    }

    fn has_gap(&self) -> bool {
        self.log
            .as_ref()
            .is_some_and(|log| log.has_gap() || log.delivered() < self.shared.committed())
    }

    /// Reads what is missing, without waiting for anybody else.
    pub(super) fn fill(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.healing.timer.take() {
            ctx.cancel_future(timer);
        }
        let has_gap = self.has_gap();
        if self.healing.is_reading || !(has_gap || self.is_hinted()) {
            return;
        }
        let Some(delivered) = self.log.as_ref().map(RoomLog::delivered) else {
            return;
        };
        self.healing.is_reading = true;
        self.healing.hint.is_new = false;
        if has_gap {
            GAPS.inc();
        } else {
            HINTED_READS.inc();
        }
        if std::mem::take(&mut self.healing.is_compared) {
            BEHIND.inc();
        }
        let (store, id, page) = (self.store.clone(), self.id, self.settings.page_events);
        let reading = async move { room_events::after(&store, id, delivered, page).await };
        let read = reading.into_actor(self);
        ctx.spawn(read.map(move |read, this, ctx| this.filled(delivered, has_gap, read, ctx)));
    }

    /// The log has been read after `from`, where there was known to be more or was not.
    fn filled(
        &mut self,
        from: Seq,
        had_gap: bool,
        read: Result<Vec<Event>, StoreError>,
        ctx: &mut Context<Self>,
    ) {
        self.healing.is_reading = false;
        let events = match read {
            Ok(events) => events,
            Err(error) => {
                tracing::warn!(room = %self.id, %error, "a hole cannot be filled yet");
                self.healing.timer = Some(ctx.run_later(RETRY, Self::fill));
                return;
            }
        };
        let stands_there = self.log.as_ref().is_some_and(|log| log.delivered() == from);
        let is_next = events.first().is_some_and(|event| event.seq == from + 1);
        if had_gap && stands_there && !is_next && self.has_gap() {
            tracing::error!(room = %self.id, after = from, "events that were announced are not in the log");
            // Somebody has seen their numbers, which will be given to other events.
            return self.lose_history(self.shared.committed(), ctx);
        }
        if events.is_empty() && !self.healing.hint.is_new {
            // What was told is not so, or has been delivered meanwhile.
            self.healing.hint.seq = 0;
        }
        let shared = |event| SharedEvent::new(event, None);
        self.accept(events.into_iter().map(shared).collect(), ctx);
        // The rest is in the log, too: nobody else need be waited for.
        self.fill(ctx);
    }

    /// Looks where the log's head is.
    pub(super) fn look(&self, ctx: &mut Context<Self>) {
        let Some(delivered) = self.log.as_ref().map(RoomLog::delivered) else {
            return;
        };
        let (store, id) = (self.store.clone(), self.id);
        let reading = async move { room_events::head(&store, id).await };
        let read = reading.into_actor(self);
        ctx.spawn(read.map(move |head, this, ctx| {
            match head {
                Ok(Some((epoch, head))) => this.saw_head(epoch, head, delivered, ctx),
                Ok(None) => tracing::warn!(room = %this.id, "a room without a head"),
                Err(error) => {
                    tracing::warn!(room = %this.id, %error, "a room's head cannot be read");
                }
            }
            this.answer_waiting(ctx);
        }));
    }

    /// Tries again to read the head, if somebody depends on it.
    pub(super) fn load_later(&mut self, ctx: &mut Context<Self>) {
        let is_awaited = !self.threads.is_empty() || !self.waiting.is_empty();
        if is_awaited && !self.healing.is_load_planned {
            self.healing.is_load_planned = true;
            ctx.run_later(RETRY, |this, ctx| {
                this.healing.is_load_planned = false;
                if this.log.is_none() {
                    this.load(ctx);
                }
            });
        }
    }

    /// A thread's connections are this actor's from now on, and stand there. They came with the
    /// room's last actor, and so did those of the other threads: all of them go on from the first
    /// of their positions, and ignore what they have.
    pub(super) fn go_on(
        &mut self,
        fanout: &FanoutHandle,
        standing: Standing,
        ctx: &mut Context<Self>,
    ) {
        if self.give_remembered(fanout, standing, ctx) {
            return;
        }
        let Some(log) = &mut self.log else { return };
        // A position beyond what this actor has delivered is of one before it: the log must have
        // it.
        self.shared.commit(standing.position.max(log.delivered()));
        if log.rewind(standing.position) {
            self.publish_standing();
        }
        self.fill(ctx);
    }

    /// Gives a thread, and no other, what its connections lack: out of memory, or a page of the
    /// log, after which it asks for the next.
    pub(super) fn bring_up(
        &mut self,
        fanout: &FanoutHandle,
        standing: Standing,
        ctx: &mut Context<Self>,
    ) {
        if self.give_remembered(fanout, standing, ctx) {
            return;
        }
        let position = standing.position;
        let delivered = self.log.as_ref().map_or(position, RoomLog::delivered);
        if position >= delivered {
            self.shared.commit(position);
            return self.fill(ctx);
        }
        self.give_page(fanout, standing, false, ctx);
    }

    /// Gives a thread what some of its connections lack, whose outboxes were full.
    pub(super) fn bring_up_late(
        &mut self,
        fanout: &FanoutHandle,
        standing: Standing,
        ctx: &mut Context<Self>,
    ) {
        // While the head is not known the thread asks again.
        let Some(log) = &self.log else { return };
        if standing.epoch != log.epoch() {
            return fanout.send(FanoutMessage::Resync(self.id));
        }
        if standing.position >= log.delivered() {
            return;
        }
        let max_events = usize::try_from(self.settings.page_events).unwrap_or(usize::MAX);
        if let Some(missed) = log.after(standing.position) {
            let events = missed.take(max_events).cloned().collect();
            return fanout.send(FanoutMessage::Late(self.id, Some(events)));
        }
        self.give_page(fanout, standing, true, ctx);
    }

    /// Reads a page of the log for a thread.
    fn give_page(
        &mut self,
        fanout: &FanoutHandle,
        standing: Standing,
        is_late: bool,
        ctx: &mut Context<Self>,
    ) {
        let Standing { epoch, position } = standing;
        // If it asks again while its page is being read, that is about the same events.
        let reading = (fanout.id(), is_late);
        if self.healing.reading_for.contains(&reading) {
            return;
        }
        self.healing.reading_for.push(reading);
        let fanout = fanout.clone();
        let (store, id, page) = (self.store.clone(), self.id, self.settings.page_events);
        let page = async move { room_events::after(&store, id, position, page).await };
        let read = page.into_actor(self);
        ctx.spawn(read.map(move |read, this, _| {
            this.healing.reading_for.retain(|it| *it != reading);
            let Some(delivered) = this.delivered_of(epoch) else {
                // Its connections were told to come back.
                return;
            };
            match read {
                Ok(mut events) if events.first().is_some_and(|it| it.seq == position + 1) => {
                    // What a thread has was delivered by its room.
                    events.truncate(events.partition_point(|it| it.seq <= delivered));
                    let shared = |event| SharedEvent::new(event, None);
                    let events = events.into_iter().map(shared).collect();
                    fanout.send(if is_late {
                        FanoutMessage::Late(this.id, Some(events))
                    } else {
                        FanoutMessage::Page(events)
                    });
                }
                // Retention was faster, or the log has lost them: who resumes is told of the gap.
                Ok(_) if is_late => fanout.send(FanoutMessage::Late(this.id, None)),
                Ok(_) => fanout.send(FanoutMessage::Resync(this.id)),
                Err(error) => {
                    // It asks again.
                    tracing::warn!(room = %this.id, %error, "what a thread lacks cannot be read");
                }
            }
        }));
    }

    /// What has been delivered of a log; none if that is not the room's.
    fn delivered_of(&self, epoch: Epoch) -> Option<Seq> {
        let log = self.log.as_ref().filter(|log| log.epoch() == epoch)?;
        Some(log.delivered())
    }

    /// Gives a thread what its connections lack if all of it is remembered. Whether that is all
    /// that is to be done.
    fn give_remembered(
        &mut self,
        fanout: &FanoutHandle,
        standing: Standing,
        ctx: &mut Context<Self>,
    ) -> bool {
        let Some(log) = &self.log else {
            // A thread has one position: what it says later, it says of the same connections.
            self.unheard.retain(|(it, _)| it.id() != fanout.id());
            self.unheard.push((fanout.clone(), standing));
            self.load_later(ctx);
            return true;
        };
        if standing.epoch != log.epoch() {
            fanout.send(FanoutMessage::Resync(self.id));
            return true;
        }
        let missed = log.after(standing.position);
        let is_remembered = missed.is_some();
        deliver(fanout, missed.into_iter().flatten());
        is_remembered
    }

    /// Somebody has read the log's head after this room had delivered so much of it.
    pub(super) fn saw_head(
        &mut self,
        epoch: Epoch,
        head: Seq,
        delivered: Seq,
        ctx: &mut Context<Self>,
    ) {
        let Some(log) = &self.log else {
            return;
        };
        if epoch != log.epoch() {
            return self.start_afresh("its log has a new epoch", ctx);
        }
        if head < delivered {
            return self.lose_history(delivered, ctx);
        }
        self.shared.commit(head);
        self.heal(ctx);
    }

    /// The log ends before `told`, up to where events have been delivered or announced: that history
    /// is lost, and its numbers will be given to other events. From now on it is another log, so
    /// that no client mixes them up.
    pub(super) fn lose_history(&mut self, told: Seq, ctx: &mut Context<Self>) {
        tracing::error!(room = %self.id, told, "the log has lost events that were told");
        HISTORY_LOST.inc();
        let Some(epoch) = self.log.as_ref().map(RoomLog::epoch) else {
            return;
        };
        let (store, id) = (self.store.clone(), self.id);
        let beginning = async move { room_events::begin_epoch(&store, id, epoch, told).await };
        let begun = beginning.into_actor(self);
        ctx.wait(begun.map(|begun, this, ctx| match begun {
            Ok(()) => this.start_afresh("its log has lost events", ctx),
            // The next comparison, or another look at what is missing, finds the same.
            Err(error) => {
                tracing::warn!(room = %this.id, %error, "a new epoch cannot be begun yet");
                if this.healing.timer.is_none() {
                    this.healing.timer = Some(ctx.run_later(RETRY, Self::fill));
                }
            }
        }));
    }

    /// What the connections have is not of the log as it is.
    pub(super) fn start_afresh(&mut self, why: &'static str, ctx: &mut Context<Self>) {
        tracing::warn!(room = %self.id, "a room starts afresh: {why}");
        for fanout in self.threads.iter() {
            fanout.send(FanoutMessage::Resync(self.id));
        }
        self.log = None;
        self.healing.hint.seq = 0;
        self.shared.forget_commits();
        self.load(ctx);
    }

    /// Lets others see where the room stands.
    pub(super) fn publish_standing(&self) {
        if let Some(log) = &self.log {
            self.shared.stand_at(log.epoch(), log.delivered());
        }
    }
}
