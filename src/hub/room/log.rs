//! What a room's actor knows of the room's log: where it is, and the last events. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::hub::encoded::SharedEvent;
use crate::protocol::event::{Epoch, Event, EventBody, Seq};
use crate::protocol::id::{EventId, UserId};
use crate::protocol::reply::{Gap, GapReason};

/// How much a room remembers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MemoryLimits {
    pub(crate) max_events: usize,
    pub(crate) max_bytes: usize,
}

/// The log as far as it has been delivered on this node.
#[derive(Debug)]
pub(crate) struct RoomLog {
    limits: MemoryLimits,
    epoch: Epoch,
    /// The last event given to the fan-out.
    delivered: Seq,
    /// The last events up to `delivered`, without a hole.
    memory: VecDeque<Arc<SharedEvent>>,
    memory_bytes: usize,
    /// Events that came before one that precedes them.
    early: BTreeMap<Seq, Arc<SharedEvent>>,
    early_bytes: usize,
}

/// What to answer a connection that wants to go on from a position.
#[derive(Debug)]
pub(crate) enum Replay {
    /// These, then the live events.
    Events(Vec<Arc<SharedEvent>>, Option<Gap>),
    /// Memory does not reach back far enough.
    Behind,
}

impl RoomLog {
    /// A log whose head is at `head`.
    pub(crate) fn new(epoch: Epoch, head: Seq, limits: MemoryLimits) -> Self {
        Self {
            limits,
            epoch,
            delivered: head,
            memory: VecDeque::new(),
            memory_bytes: 0,
            early: BTreeMap::new(),
            early_bytes: 0,
        }
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(crate) fn delivered(&self) -> Seq {
        self.delivered
    }

    /// Takes events in, whatever their order and however often, and gives those whose turn it is.
    pub(crate) fn accept(
        &mut self,
        events: impl IntoIterator<Item = Arc<SharedEvent>>,
    ) -> Vec<Arc<SharedEvent>> {
        let mut ready = Vec::new();
        for event in events {
            let seq = event.event.seq;
            if seq <= self.delivered {
                continue;
            }
            if seq == self.delivered + 1 {
                self.deliver(event, &mut ready);
                while let Some(event) = self.early.remove(&(self.delivered + 1)) {
                    self.early_bytes -= event.size_bytes();
                    self.deliver(event, &mut ready);
                }
            } else {
                self.early_bytes += event.size_bytes();
                if let Some(twice) = self.early.insert(seq, event) {
                    self.early_bytes -= twice.size_bytes();
                }
                // What is furthest ahead can be read again from Postgres.
                while self.early.len() > self.limits.max_events
                    || self.early_bytes > self.limits.max_bytes
                {
                    let Some((_, furthest)) = self.early.pop_last() else {
                        break;
                    };
                    self.early_bytes -= furthest.size_bytes();
                }
            }
        }
        ready
    }

    /// Whether another event has been delivered under this one's number: the log has lost that one
    /// and gives its number again.
    pub(crate) fn contradicts(&self, event: &SharedEvent) -> bool {
        let Event { seq, id, .. } = event.event;
        let mut known = seq.checked_sub(1).and_then(|before| self.after(before));
        let known = known.as_mut().and_then(Iterator::next);
        known.is_some_and(|known| known.event.id != id)
    }

    /// Whether an event is known to be missing.
    pub(crate) fn has_gap(&self) -> bool {
        !self.early.is_empty()
    }

    /// What a connection gets that has everything up to `since`.
    pub(crate) fn replay(&self, since: Option<Seq>, epoch: Option<Epoch>) -> Replay {
        let Some(since) = since else {
            return Replay::Events(Vec::new(), None);
        };
        if since > self.delivered || epoch.is_some_and(|epoch| epoch != self.epoch) {
            // Nothing that the client has can be trusted to be this log's.
            let gap = Gap {
                from: 1,
                to: self.delivered,
                reason: GapReason::Epoch,
            };
            return Replay::Events(Vec::new(), Some(gap));
        }
        match self.after(since) {
            Some(events) => Replay::Events(events.cloned().collect(), None),
            None => Replay::Behind,
        }
    }

    /// Whether a check of the user's membership made at `seq` does not hold any more, because it has
    /// ended or they were muted since; none if that is not remembered.
    pub(crate) fn is_outdated_since(&self, user: UserId, seq: Seq) -> Option<bool> {
        let outdates = |event: &Arc<SharedEvent>| {
            matches!(
                event.event.body,
                EventBody::Membership { user_id, change, .. }
                    if user_id == user && change.outdates_a_check()
            )
        };
        let mut later = self.after(seq.min(self.delivered))?;
        Some(later.any(outdates))
    }

    /// Goes back to `seq`, as if nothing after it had been delivered. Nothing is remembered then,
    /// as what comes after `seq` is read again. False if the log does not stand beyond it.
    pub(crate) fn rewind(&mut self, seq: Seq) -> bool {
        if seq >= self.delivered {
            return false;
        }
        self.delivered = seq;
        self.memory.clear();
        self.memory_bytes = 0;
        true
    }

    /// The events after `seq`; none if memory does not reach back to it, or the log has not come
    /// so far.
    pub(crate) fn after(&self, seq: Seq) -> Option<impl Iterator<Item = &Arc<SharedEvent>>> {
        let missed = usize::try_from(self.delivered.checked_sub(seq)?).ok()?;
        let start = self.memory.len().checked_sub(missed)?;
        Some(self.memory.range(start..))
    }

    fn deliver(&mut self, event: Arc<SharedEvent>, ready: &mut Vec<Arc<SharedEvent>>) {
        if let EventBody::Delete { message_id } = event.event.body {
            self.redact(message_id);
        }
        self.delivered = event.event.seq;
        self.memory_bytes += event.size_bytes();
        self.memory.push_back(Arc::clone(&event));
        while self.memory.len() > self.limits.max_events
            || self.memory_bytes > self.limits.max_bytes
        {
            let Some(oldest) = self.memory.pop_front() else {
                break;
            };
            self.memory_bytes -= oldest.size_bytes();
        }
        ready.push(event);
    }
}

impl RoomLog {
    /// Takes the text of a deleted message out of memory, and that of its edits. None of them is
    /// among the early ones: nobody edits what was deleted, so all come before the deletion.
    fn redact(&mut self, message: EventId) {
        for slot in &mut self.memory {
            if !slot.event.is_text_of(message) {
                continue;
            }
            if let Some(body) = slot.event.body.redacted() {
                let event = Event {
                    body,
                    ..slot.event.clone()
                };
                self.memory_bytes -= slot.size_bytes();
                *slot = SharedEvent::new(event, None);
                self.memory_bytes += slot.size_bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::event::MembershipChange;
    use crate::protocol::id::RoomId;

    const LIMITS: MemoryLimits = MemoryLimits {
        max_events: 4,
        max_bytes: 1_000_000,
    };

    fn event(seq: Seq) -> Arc<SharedEvent> {
        let body = EventBody::Message {
            msg_no: seq,
            body: "x".into(),
            client_id: "c".into(),
            thread: None,
            mentions: Box::default(),
            deleted: false,
        };
        with_body(seq, body)
    }

    fn with_body(seq: Seq, body: EventBody) -> Arc<SharedEvent> {
        let event = Event {
            room_id: RoomId(uuid::Uuid::nil()),
            epoch: Epoch(1),
            seq,
            id: EventId::generate(),
            user_id: UserId::generate(),
            created_at: jiff::Timestamp::UNIX_EPOCH,
            body,
        };
        SharedEvent::new(event, None)
    }

    fn seqs<'a>(events: impl IntoIterator<Item = &'a Arc<SharedEvent>>) -> Vec<Seq> {
        events.into_iter().map(|event| event.event.seq).collect()
    }

    fn replayed(log: &RoomLog, since: Seq) -> Option<Vec<Seq>> {
        match log.replay(Some(since), None) {
            Replay::Events(events, None) => Some(seqs(&events)),
            Replay::Events(..) => panic!("a gap"),
            Replay::Behind => None,
        }
    }

    #[test]
    fn early_events_wait_and_doubles_are_dropped() {
        let mut log = RoomLog::new(Epoch(1), 10, LIMITS);
        assert_eq!(seqs(&log.accept([event(11), event(11), event(9)])), [11]);
        assert!(log.accept([event(13), event(14)]).is_empty());
        assert!(log.has_gap());
        assert_eq!(seqs(&log.accept([event(12)])), [12, 13, 14]);
        assert!(!log.has_gap());
    }

    #[test]
    fn a_number_that_is_given_again_is_noticed() {
        let mut log = RoomLog::new(Epoch(1), 10, LIMITS);
        let (first, second) = (event(11), event(12));
        log.accept([Arc::clone(&first), Arc::clone(&second)]);
        assert!(
            !log.contradicts(&first) && !log.contradicts(&second),
            "doubles"
        );
        assert!(
            !log.contradicts(&event(13)) && !log.contradicts(&event(14)),
            "new ones"
        );
        assert!(
            !log.contradicts(&event(10)) && !log.contradicts(&event(0)),
            "not remembered"
        );
        assert!(log.contradicts(&event(11)) && log.contradicts(&event(12)));
    }

    #[test]
    fn replay_is_from_memory_or_not_at_all() {
        let mut log = RoomLog::new(Epoch(1), 0, LIMITS);
        log.accept((1..=6).map(event));
        assert_eq!(replayed(&log, 6), Some(vec![]));
        assert_eq!(replayed(&log, 4), Some(vec![5, 6]));
        assert_eq!(replayed(&log, 2), Some(vec![3, 4, 5, 6]));
        assert_eq!(replayed(&log, 1), None, "forgotten");
    }

    #[test]
    fn what_was_deleted_is_not_replayed() {
        let said = event(1);
        let message_id = said.event.id;
        let edit = EventBody::Edit {
            message_id,
            body: "y".into(),
            deleted: false,
        };
        let limits = MemoryLimits {
            max_events: 10,
            ..LIMITS
        };
        let mut log = RoomLog::new(Epoch(1), 0, limits);
        let delete = with_body(4, EventBody::Delete { message_id });
        // In one go with what it deletes, and before it: it waits for its turn.
        log.accept([Arc::clone(&delete), said, with_body(2, edit)]);
        let Replay::Events(before, None) = log.replay(Some(0), None) else {
            panic!("no replay");
        };
        assert!(
            before
                .iter()
                .all(|it| it.event.body.redacted() != Some(it.event.body.clone()))
        );
        log.accept([event(3)]);
        let Replay::Events(events, None) = log.replay(Some(0), None) else {
            panic!("no replay");
        };
        assert_eq!(seqs(&events), [1, 2, 3, 4]);
        for it in &events[..2] {
            assert_eq!(it.event.body.redacted(), Some(it.event.body.clone()));
            let encoded = it.encoded(crate::hub::encoded::WireFormat::SseRoom);
            let crate::hub::encoded::Encoded::Whole(frame) = encoded else {
                panic!("{encoded:?}");
            };
            assert!(String::from_utf8_lossy(&frame).contains(r#""body":"","#));
        }
        assert!(
            matches!(&events[2].event.body, EventBody::Message { body, .. } if body.text() == Some("x"))
        );
        let bytes: usize = events.iter().map(|it| it.size_bytes()).sum();
        assert_eq!(log.memory_bytes, bytes);
    }

    #[test]
    fn another_epoch_and_the_future_are_gaps() {
        let log = RoomLog::new(Epoch(1), 5, LIMITS);
        for (since, epoch) in [(3, Some(Epoch(2))), (6, Some(Epoch(1))), (6, None)] {
            let Replay::Events(events, Some(gap)) = log.replay(Some(since), epoch) else {
                panic!("no gap for {since}");
            };
            assert!(events.is_empty());
            assert_eq!((gap.from, gap.to, gap.reason), (1, 5, GapReason::Epoch));
        }
    }

    #[test]
    fn who_left_is_known_as_far_as_memory_reaches() {
        let user = UserId::generate();
        let left = EventBody::Membership {
            user_id: user,
            change: MembershipChange::Left,
            role: None,
            until: None,
        };
        let mut log = RoomLog::new(Epoch(1), 5, LIMITS);
        log.accept([event(6), with_body(7, left), event(8)]);
        assert_eq!(log.is_outdated_since(user, 5), Some(true));
        assert_eq!(log.is_outdated_since(user, 7), Some(false));
        assert_eq!(log.is_outdated_since(UserId::generate(), 5), Some(false));
        assert_eq!(log.is_outdated_since(user, 4), None);
        assert_eq!(
            log.is_outdated_since(user, 99),
            Some(false),
            "checked later"
        );
    }

    #[test]
    fn a_log_that_goes_back_delivers_again_what_comes_after() {
        let mut log = RoomLog::new(Epoch(1), 3, LIMITS);
        log.accept((4..=6).map(event));
        log.accept([event(8)]);
        assert!(!log.rewind(6), "it stands there");
        assert!(!log.rewind(7), "it has not come so far");
        assert!(log.rewind(1));
        assert_eq!(log.delivered(), 1);
        assert_eq!(replayed(&log, 1), Some(vec![]));
        assert_eq!(seqs(log.after(1).unwrap()), [0; 0]);
        assert!(log.after(0).is_none() && log.after(2).is_none());
        assert_eq!(seqs(&log.accept((2..=7).map(event))), [2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(replayed(&log, 6), Some(vec![7, 8]));
    }

    proptest! {
        /// Whatever a room has delivered and whenever it goes back: a thread that ignores what it
        /// has gets everything, in order and once.
        #[test]
        fn going_back_loses_and_doubles_nothing(
            steps in prop::collection::vec((1u64..20, any::<bool>()), 0..60),
        ) {
            let mut log = RoomLog::new(Epoch(1), 0, LIMITS);
            let mut had = 0;
            for (seq, goes_back) in steps {
                if goes_back {
                    log.rewind(seq.min(had));
                    continue;
                }
                for seq in seqs(&log.accept([event(seq)])) {
                    prop_assert!(seq <= had + 1, "a hole");
                    had = had.max(seq);
                }
                prop_assert!(log.delivered() <= had);
            }
            log.accept((1..20).map(event));
            prop_assert_eq!(log.delivered(), 19);
        }

        #[test]
        fn whatever_comes_is_delivered_in_order_and_once(order in prop::collection::vec(1u64..30, 0..120)) {
            let limits = MemoryLimits { max_events: 100, max_bytes: 1_000_000 };
            let mut log = RoomLog::new(Epoch(1), 0, limits);
            let mut delivered = Vec::new();
            for seq in &order {
                delivered.extend(seqs(&log.accept([event(*seq)])));
            }
            let whole: Vec<Seq> = (1..=delivered.len() as u64).collect();
            prop_assert_eq!(&delivered, &whole);
            prop_assert!(!order.contains(&(delivered.len() as u64 + 1)));
        }
    }
}
