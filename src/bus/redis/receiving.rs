//! What comes in by one connection. It is called by the task that reads the socket, so it never
//! waits: what does not fit is dropped and counted, and the socket is read on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use redis::{PushInfo, PushKind, Value};
use tokio::sync::Notify;

use super::frame::{Reader, Refused};
use super::shared::Shared;
use crate::bus::envelope::Envelope;
use crate::bus::metrics::{ENVELOPES, OWN, TAKEN};
use crate::bus::{Arrival, lane_of};
use crate::redis::error::LinkError;

/// What is refused is logged so often at most.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// The receiving side of a connection.
pub(super) struct Receiving {
    shared: Arc<Shared>,
    reader: Mutex<Reader>,
    /// Confirmations of ended subscriptions that are on their way.
    ends: AtomicUsize,
    /// Why the connection is of no use any more.
    failure: Mutex<Option<LinkError>>,
    has_failed: Notify,
}

impl Receiving {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let reader = Reader::new(shared.origin.clone(), shared.config.envelope_max_bytes);
        Self {
            shared,
            reader: Mutex::new(reader),
            ends: AtomicUsize::new(0),
            failure: Mutex::new(None),
            has_failed: Notify::new(),
        }
    }

    /// So many subscriptions are about to be ended by us.
    pub(super) fn expect_ends(&self, count: usize) {
        self.ends.fetch_add(count, Ordering::AcqRel);
    }

    /// Waits until the connection is of no use any more.
    pub(super) async fn failed(&self) -> LinkError {
        loop {
            if let Some(error) = self.failure.lock().take() {
                return error;
            }
            self.has_failed.notified().await;
        }
    }

    /// Takes what came.
    pub(super) fn push(&self, push: PushInfo) {
        match push.kind {
            PushKind::Message | PushKind::SMessage => {
                let mut data = push.data.into_iter();
                if let (Some(Value::BulkString(channel)), Some(Value::BulkString(payload))) =
                    (data.next(), data.next())
                {
                    self.message(&channel, payload.into());
                }
            }
            PushKind::Unsubscribe | PushKind::SUnsubscribe => self.ended(),
            PushKind::Disconnection => self.fail(LinkError::Closed),
            _ => {}
        }
    }

    fn message(&self, channel: &[u8], payload: Bytes) {
        let shared = &*self.shared;
        let Some(room_id) = shared.channels.room_of(channel) else {
            return self.refuse(channel, Refused::Misplaced);
        };
        let envelope = match self.reader.lock().read(room_id, payload) {
            Ok(envelope) => envelope,
            Err(Refused::Own) => return OWN.inc(),
            Err(refused) => return self.refuse(channel, refused),
        };
        if self.is_taken_at_once(&envelope) {
            return;
        }
        let lane = shared.lanes.get(lane_of(room_id, shared.lanes.len()));
        let sent = lane.map(|lane| lane.try_send(Arrival::Envelope(envelope)));
        if !matches!(sent, Some(Ok(()))) {
            ENVELOPES.with_label_values(&["overflow"]).inc();
        }
    }

    /// A panic there must not end the connection.
    fn is_taken_at_once(&self, envelope: &Envelope) -> bool {
        let Some(express) = self.shared.express.get() else {
            return false;
        };
        let taken = catch_unwind(AssertUnwindSafe(|| express.take(envelope)));
        taken.unwrap_or_else(|_| {
            ENVELOPES.with_label_values(&["bad"]).inc();
            true
        })
    }

    fn refuse(&self, channel: &[u8], refused: Refused) {
        ENVELOPES.with_label_values(&[refused.fate()]).inc();
        if let Some(unsaid) = self.shared.refusals.lock().turn(Instant::now()) {
            let channel = String::from_utf8_lossy(channel);
            tracing::warn!(
                %channel,
                reason = %refused,
                unsaid,
                "what came by Redis is refused; nobody but Hubbub should publish there"
            );
        }
    }

    /// A subscription has ended. Redis ends one by itself when a slot moves to another master. The
    /// client takes that for the answer to whatever it waits for, so this connection's answers are
    /// not to be relied upon any more.
    fn ended(&self) {
        let expected = self
            .ends
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |ends| {
                ends.checked_sub(1)
            });
        if expected.is_err() {
            TAKEN.inc();
            self.shared.doubt.notify_one();
            self.fail(LinkError::Taken);
        }
    }

    fn fail(&self, error: LinkError) {
        self.failure.lock().get_or_insert(error);
        self.has_failed.notify_one();
    }
}

/// When something was last logged, and how often it has happened since.
#[derive(Debug, Default)]
pub(super) struct LogPace {
    last: Option<Instant>,
    unsaid: u64,
}

impl LogPace {
    /// Whether it is to be logged; how often it was not.
    fn turn(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now < last + LOG_EVERY) {
            self.unsaid += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_logged_now_and_then_however_often_it_happens() {
        let mut pace = LogPace::default();
        let now = Instant::now();
        assert_eq!(pace.turn(now), Some(0));
        for _ in 0..1000 {
            assert_eq!(pace.turn(now + LOG_EVERY / 2), None);
        }
        assert_eq!(pace.turn(now + LOG_EVERY), Some(1000));
    }
}
