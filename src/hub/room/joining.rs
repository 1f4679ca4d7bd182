//! How a room answers those who want its events.

use actix::prelude::*;

use super::Room;
use super::handle::{Ask, RoomHandle, Subscribe};
use super::log::{Replay, RoomLog};
use crate::hub::fanout::{FanoutMessage, Subscribed};
use crate::hub::metrics::OVERFLOWS;
use crate::protocol::event::Seq;

/// What is to be done about a subscription now.
enum Verdict {
    /// It begins here.
    Answer(Replay),
    /// The room has not come so far yet.
    Wait(Seq),
    /// It cannot be told; asking again may help.
    Refuse,
    /// Membership was checked in another life of the log.
    OtherEpoch,
}

impl Room {
    /// Somebody wants the events. Dropping `ask` refuses it.
    pub(super) fn asked(&mut self, ask: Ask, ctx: &mut Context<Self>) {
        if self.log.is_none() {
            // The answer now is no; the next one who asks may have more luck.
            return self.load(ctx);
        }
        self.heal(ctx);
        let Some(subscribe) = &ask.0 else { return };
        match self.judge(subscribe) {
            Verdict::Answer(replay) => self.answer(ask, replay, ctx.address()),
            Verdict::Refuse => {}
            Verdict::OtherEpoch => {
                self.wait(ask);
                self.look(ctx);
            }
            Verdict::Wait(seq) => {
                self.shared.commit(seq);
                self.wait(ask);
                self.fill(ctx);
            }
        }
    }

    fn wait(&mut self, ask: Ask) {
        if self.waiting.len() < self.settings.mailbox {
            self.waiting.push_back(ask);
        } else {
            OVERFLOWS.with_label_values(&["room_joins"]).inc();
        }
    }

    /// Answers those for whom the room has come far enough.
    pub(super) fn answer_waiting(&mut self, ctx: &Context<Self>) {
        if self.waiting.is_empty() || self.log.is_none() {
            return;
        }
        for ask in std::mem::take(&mut self.waiting) {
            let Some(subscribe) = &ask.0 else { continue };
            match self.judge(subscribe) {
                Verdict::Answer(replay) => self.answer(ask, replay, ctx.address()),
                Verdict::Wait(_) => self.waiting.push_back(ask),
                Verdict::Refuse | Verdict::OtherEpoch => {}
            }
        }
    }

    fn judge(&self, subscribe: &Subscribe) -> Verdict {
        let Some(log) = &self.log else {
            return Verdict::Refuse;
        };
        if self.is_retiring {
            return Verdict::Refuse;
        }
        if subscribe.checked_epoch != log.epoch() {
            return Verdict::OtherEpoch;
        }
        let needed = self.needed(subscribe, log);
        if log.delivered() < needed {
            return Verdict::Wait(needed);
        }
        // The membership was checked before this message was sent: it may have ended since.
        match log.is_outdated_since(subscribe.user_id, subscribe.checked_at) {
            Some(false) => Verdict::Answer(log.replay(subscribe.since, subscribe.epoch)),
            _ => Verdict::Refuse,
        }
    }

    /// How far the room must have come. What the client has already counts as far as it is known
    /// to be committed: a room that is catching up must not take it for another log's.
    fn needed(&self, subscribe: &Subscribe, log: &RoomLog) -> Seq {
        let is_of_this_log = subscribe.epoch.is_none_or(|epoch| epoch == log.epoch());
        let client_has = subscribe.since.filter(|_| is_of_this_log).unwrap_or(0);
        subscribe
            .checked_at
            .max(client_has.min(self.shared.committed()))
    }

    fn answer(&mut self, mut ask: Ask, replay: Replay, addr: Addr<Self>) {
        let Some((subscribe, log)) = ask.0.take().zip(self.log.as_ref()) else {
            return;
        };
        let (epoch, head) = (log.epoch(), log.delivered());
        let (replay, gap) = match replay {
            Replay::Events(events, gap) => (Some(events), gap),
            Replay::Behind => (None, None),
        };
        if replay.is_some() {
            self.count(&subscribe.fanout, 1);
        }
        let subscribed = Subscribed {
            connection: subscribe.connection,
            join: subscribe.join,
            room: RoomHandle {
                id: self.id,
                addr,
                shared: self.shared.clone(),
            },
            epoch,
            head,
            replay,
            gap,
        };
        let fanout = subscribe.fanout;
        fanout.send(FanoutMessage::Subscribed(Box::new(subscribed)));
    }
}
