//! Read markers: what members say within a moment is stored by one statement.
//!
//! A marker moves at every message that somebody looks at, in every room: a statement for each
//! would cost more than the messages. So marks are gathered for `hub.read_coalesce_ms`, and answered
//! when they are stored. Whoever is forgotten is told so when its [`Asker`] is dropped.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::bridge::BridgeHandle;
use super::encoded::{Ephemeral, SharedPush};
use super::fanout::ReplyAddress;
use super::metrics::{READ_MARKS, READ_MARKS_BATCH, READ_MARKS_WAITING};
use super::registry::Registry;
use super::{HubHandle, refuse, room_not_found};
use crate::config;
use crate::metric::Counted;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::id::{RoomId, UserId};
use crate::protocol::reply::{ReadMarker, Reply};
use crate::store::Store;
use crate::store::read_markers::{self, Mark, Marked};

/// Marks in one statement at most.
const BATCH_MAX: usize = 1000;

/// So often a mark is tried whose row somebody else has locked: for about a second.
const TRIES: u32 = 20;

/// How marks are gathered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadSettings {
    /// For how long.
    pub(crate) coalesce: Duration,
    /// Marks that may wait.
    pub(crate) queue_max: usize,
}

impl From<&config::Hub> for ReadSettings {
    fn from(config: &config::Hub) -> Self {
        Self {
            coalesce: Duration::from_millis(config.read_coalesce_ms),
            queue_max: config.read_queue_max,
        }
    }
}

/// The node's gatherer of marks. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ReadMarkers {
    shared: Arc<Shared>,
}

struct Shared {
    settings: ReadSettings,
    store: Store,
    registry: Registry,
    bridge: BridgeHandle,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    asked: Vec<Asked>,
    /// A task looks after the queue.
    is_attended: bool,
}

/// A mark that waits.
struct Asked {
    mark: Mark,
    asker: Asker,
    tries: u32,
    _waiting: Counted,
}

impl ReadMarkers {
    pub(crate) fn new(
        settings: ReadSettings,
        store: Store,
        registry: Registry,
        bridge: BridgeHandle,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                settings,
                store,
                registry,
                bridge,
                queue: Mutex::default(),
            }),
        }
    }

    /// Hands in a mark; the asker is answered when it is stored.
    pub(crate) fn submit(&self, mark: Mark, asker: Asker) {
        let mut queue = self.shared.queue.lock();
        if queue.asked.len() >= self.shared.settings.queue_max {
            drop(queue);
            READ_MARKS.with_label_values(&["overloaded"]).inc();
            return asker.answer(Err(Refusal::new(
                ErrorCode::Overloaded,
                "too many read markers wait to be stored; try again",
            )));
        }
        queue.asked.push(Asked {
            mark,
            asker,
            tries: 0,
            _waiting: Counted::new(&READ_MARKS_WAITING),
        });
        if !queue.is_attended {
            queue.is_attended = true;
            let shared = Arc::clone(&self.shared);
            let attendant = Attendant {
                shared,
                is_done: false,
            };
            tokio::spawn(attendant.attend());
        }
    }
}

impl HubHandle {
    /// Moves a member's read marker forward; the answer, once it is stored, is where it stands.
    pub async fn mark_read(
        &self,
        room_id: RoomId,
        user_id: UserId,
        msg_no: u64,
    ) -> Result<ReadMarker, Refusal> {
        let (asker, answer) = Asker::caller();
        let mark = Mark {
            room_id,
            user_id,
            msg_no,
        };
        self.shared.read_markers.submit(mark, asker);
        answer.await.unwrap_or_else(|_| Err(not_stored()))
    }
}

/// Looks after the queue until it is empty.
struct Attendant {
    shared: Arc<Shared>,
    is_done: bool,
}

impl Attendant {
    async fn attend(mut self) {
        loop {
            tokio::time::sleep(self.shared.settings.coalesce).await;
            let batch = {
                let mut queue = self.shared.queue.lock();
                if queue.asked.is_empty() {
                    // Under the lock: who comes next starts another.
                    queue.is_attended = false;
                    self.is_done = true;
                    return;
                }
                let count = queue.asked.len().min(BATCH_MAX);
                queue.asked.drain(..count).collect::<Vec<_>>()
            };
            self.shared.store(batch).await;
        }
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        // After a panic, or when its thread ends: the next mark finds nobody and starts another.
        // Those that wait are told to come again, as there may be no next one for long.
        if !self.is_done {
            let mut queue = self.shared.queue.lock();
            queue.is_attended = false;
            let left = std::mem::take(&mut queue.asked);
            drop(queue);
            drop(left);
        }
    }
}

impl Shared {
    async fn store(&self, batch: Vec<Asked>) {
        READ_MARKS_BATCH.observe(batch.len() as f64);
        let marks: Vec<_> = batch.iter().map(|asked| asked.mark).collect();
        let outcomes = match read_markers::store(&self.store, &marks).await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                let refusal = refuse(&error);
                for asked in batch {
                    READ_MARKS.with_label_values(&["failed"]).inc();
                    asked.asker.answer(Err(refusal.clone()));
                }
                return;
            }
        };
        let mut moved = HashMap::new();
        let mut again = Vec::new();
        for (mut asked, outcome) in batch.into_iter().zip(outcomes) {
            let Mark {
                room_id, user_id, ..
            } = asked.mark;
            let (label, answer) = match outcome {
                Marked::At { msg_no, is_moved } => {
                    if is_moved {
                        moved.insert((room_id, user_id), msg_no);
                    }
                    let label = if is_moved { "stored" } else { "unchanged" };
                    (label, Ok(ReadMarker { msg_no }))
                }
                Marked::Locked if asked.tries < TRIES => {
                    asked.tries += 1;
                    again.push(asked);
                    continue;
                }
                Marked::Locked => ("failed", Err(not_stored())),
                Marked::BeyondHead => ("refused", Err(beyond_head())),
                Marked::NotAMember => ("refused", Err(not_a_member())),
                Marked::RoomNotFound => ("refused", Err(room_not_found())),
            };
            READ_MARKS.with_label_values(&[label]).inc();
            asked.asker.answer(answer);
        }
        self.queue.lock().asked.extend(again);
        for ((room_id, user_id), msg_no) in moved {
            let push = Ephemeral::Read {
                room_id,
                user_id,
                msg_no,
            };
            self.bridge.ephemeral(&push);
            if let Some(room) = self.registry.find(room_id) {
                room.broadcast(SharedPush::new(push), None);
            }
        }
    }
}

/// Who is told what became of a mark.
pub(crate) struct Asker(Option<Recipient>);

enum Recipient {
    Caller(oneshot::Sender<Result<ReadMarker, Refusal>>),
    Connection(ReplyAddress),
}

impl Asker {
    /// Somebody on this node who waits.
    pub(crate) fn caller() -> (Self, oneshot::Receiver<Result<ReadMarker, Refusal>>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Some(Recipient::Caller(sender))), receiver)
    }

    /// A connection's request.
    pub(crate) fn connection(address: ReplyAddress) -> Self {
        Self(Some(Recipient::Connection(address)))
    }

    fn answer(mut self, outcome: Result<ReadMarker, Refusal>) {
        self.tell(outcome);
    }

    fn tell(&mut self, outcome: Result<ReadMarker, Refusal>) {
        match self.0.take() {
            // The caller has gone: nobody wants to know.
            Some(Recipient::Caller(sender)) => drop(sender.send(outcome)),
            Some(Recipient::Connection(address)) => address.send(outcome.map(Reply::Read)),
            None => {}
        }
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        if self.0.is_some() {
            self.tell(Err(not_stored()));
        }
    }
}

fn not_stored() -> Refusal {
    Refusal::new(
        ErrorCode::Unavailable,
        "the read marker was not stored; try again",
    )
}

fn beyond_head() -> Refusal {
    Refusal::new(
        ErrorCode::InvalidRequest,
        "`msg_no` is beyond the room's last message",
    )
}

fn not_a_member() -> Refusal {
    Refusal::new(ErrorCode::NotAMember, "you are not a member of this room")
}
