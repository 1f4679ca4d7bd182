//! The pace of a replay: it waits for its reader, and for its turn at Postgres, for as long as that
//! takes, and neither is taken for the client's silence.

use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::hub::fanout::{Attachment, Worker};
use crate::protocol::close::Disconnect;
use crate::protocol::error::{ErrorCode, Refusal};

/// Silence of the client that is the hub's own doing is counted away this often.
const TICK: Duration = Duration::from_secs(1);

/// What a replay leaves of the outbox's bytes to others, and does not wait for: what other rooms
/// say meanwhile may never be taken all at once.
pub(super) fn spare_bytes(worker: &Worker) -> usize {
    worker.hub.settings().websocket.outbox_max_bytes / 8
}

/// Waits until the client has taken what it was sent, all but so many bytes. What it takes counts
/// as being heard of. One that takes nothing for `websocket.outbox_max_age_ms` is slow.
pub(super) async fn taken(worker: &Worker, attachment: &Rc<Attachment>, all_but_bytes: usize) {
    let outbox = &attachment.outbox;
    outbox.flush();
    attachment.at_work(worker.now());
    let mut progress = (outbox.taken(), Instant::now());
    loop {
        let drained = tokio::time::timeout(TICK, outbox.drained_to(all_but_bytes)).await;
        if drained.is_ok() {
            return;
        }
        let taken = outbox.taken();
        if taken > progress.0 {
            attachment.at_work(worker.now());
            progress = (taken, Instant::now());
        } else if progress.1.elapsed() > outbox.max_age() {
            // Ends the waiting, too: the socket is ended if it does not even take the close frame.
            worker.close(attachment, Disconnect::Slow);
        }
    }
}

/// Waits for an answer of Postgres. That it takes its time is not the client's silence.
pub(super) async fn patiently<T>(
    worker: &Worker,
    attachment: &Attachment,
    answer: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, Refusal> {
    let mut answer = pin!(answer);
    loop {
        if let Ok(answer) = tokio::time::timeout(TICK, answer.as_mut()).await {
            return answer;
        }
        if attachment.outbox.is_over() {
            return Err(broken_off("the connection has ended"));
        }
        attachment.at_work(worker.now());
    }
}

/// The refusal of a replay that cannot go on.
pub(super) fn broken_off(why: &'static str) -> Refusal {
    Refusal::new(ErrorCode::Unavailable, why)
}
