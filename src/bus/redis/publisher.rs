//! Publishing on one server: what waits goes out in one write, and several writes may be on their
//! way.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use redis::aio::MultiplexedConnection;
use redis::{PushInfo, PushKind, Value};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

use super::frame::Frame;
use super::link::{Kept, Link, Made};
use super::shared::{InFlight, Shared};
use crate::bus::envelope::Envelope;
use crate::bus::metrics::{BATCH, ENVELOPES, OUT, PUBLISH_SECONDS};
use crate::bus::queue::{Receiver, parts};
use crate::redis::error::LinkError;

/// Writes that may be on their way. A second one does not wait for the answer to the first; more
/// would only make them smaller.
const FLIGHTS: usize = 4;

/// Bytes in one write, but for an envelope that is larger by itself.
const WRITE_BYTES: usize = 256 << 10;

/// Keeps the connection for as long as the link lives.
pub(super) async fn run(shared: Arc<Shared>, link: Arc<Link>, mut queue: Receiver<Envelope>) {
    let mut kept = Kept::new(&shared, &link, "publish");
    loop {
        let mut made = Made::default();
        let life = live(&kept, &mut made, &mut queue);
        let error = Kept::live(life).await;
        link.set_publishes(false);
        let pause = kept.failed(&made, &error);
        shared.refresh();
        // Nothing comes in any more, and what is in there is not worth the wait: whoever missed it
        // will have read it from Postgres.
        let lost = queue.clear();
        drop(InFlight::new(&shared, lost));
        ENVELOPES.with_label_values(&["lost"]).inc_by(lost as u64);
        tokio::time::sleep(pause).await;
    }
}

/// One life of the connection.
async fn live(
    kept: &Kept<'_>,
    made: &mut Made,
    queue: &mut Receiver<Envelope>,
) -> Result<Infallible, LinkError> {
    let (shared, link) = (kept.shared, kept.link);
    let closed = Arc::new(Notify::new());
    let connection = {
        let closed = Arc::clone(&closed);
        let push = move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                closed.notify_one();
            }
            Ok::<_, Infallible>(())
        };
        link.endpoint.connect(&shared.patience, push).await?
    };
    try_out(shared, link, connection.clone()).await?;
    kept.made(made);
    link.set_publishes(true);
    shared.refresh();

    let mut flights: FuturesUnordered<BoxFuture<'_, Result<(), LinkError>>> =
        FuturesUnordered::new();
    let mut pings = interval(shared.patience.ping);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings.reset();
    loop {
        tokio::select! {
            // A new flight takes off before the next is made up, so they leave in their order.
            biased;
            Some(landed) = flights.next(), if !flights.is_empty() => landed?,
            () = closed.notified() => return Err(LinkError::Closed),
            _ = pings.tick() => flights.push(try_out(shared, link, connection.clone()).boxed()),
            batch = queue.batch(shared.config.publish_batch_max), if flights.len() < FLIGHTS => {
                // The link, which we have, can always send.
                let batch = batch.ok_or(LinkError::Closed)?;
                for part in parts(batch, WRITE_BYTES) {
                    flights.push(write(shared, connection.clone(), part).boxed());
                }
            }
        }
    }
}

/// Writes envelopes, and waits for the answer.
async fn write(
    shared: &Shared,
    mut connection: MultiplexedConnection,
    envelopes: Vec<Envelope>,
) -> Result<(), LinkError> {
    let count = envelopes.len();
    let _in_flight = InFlight::new(shared, count);
    let mut pipeline = redis::Pipeline::with_capacity(count);
    for envelope in &envelopes {
        pipeline
            .cmd(shared.verbs().publish)
            .arg(shared.channels.of_room(envelope.room_id))
            .arg(Frame(envelope));
    }
    drop(envelopes);
    BATCH.observe(count as f64);
    let began = Instant::now();
    let answer = connection.send_packed_commands(&pipeline, 0, count);
    let answers = match shared.patience.answer(answer).await {
        Ok(answers) => answers,
        Err(error) => {
            ENVELOPES.with_label_values(&["lost"]).inc_by(count as u64);
            return Err(error);
        }
    };
    PUBLISH_SECONDS.observe(began.elapsed().as_secs_f64());
    let mut refusal = None;
    let mut refused = 0;
    for answer in answers {
        if let Err(error) = answer.extract_error() {
            refused += 1;
            refusal = Some(error);
        }
    }
    let taken = count as u64 - refused;
    OUT.inc_by(taken);
    if let Some(error) = refusal {
        ENVELOPES.with_label_values(&["failed"]).inc_by(refused);
        if error.redirect_node().is_none() {
            return Err(error.into());
        }
        // The connection is good, but the slot is another's.
        shared.doubt.notify_one();
    }
    Ok(())
}

/// Whether publishing works: the server answers, may be published on, and is no replica.
async fn try_out(
    shared: &Shared,
    link: &Link,
    mut connection: MultiplexedConnection,
) -> Result<(), LinkError> {
    let probe = link.probe.lock().clone();
    let mut pipeline = redis::Pipeline::with_capacity(2);
    pipeline.cmd(shared.verbs().publish).arg(probe).arg("");
    if !shared.is_cluster() {
        // Without arguments it only tells about the server. In a cluster a replica refuses.
        pipeline.cmd("HELLO");
    }
    let count = pipeline.len();
    let answer = connection.send_packed_commands(&pipeline, 0, count);
    for answer in shared.patience.answer(answer).await? {
        let answer = answer.extract_error()?;
        if is_replica(&answer) {
            return Err(LinkError::Replica);
        }
    }
    Ok(())
}

/// Whether the answer to `HELLO` says so.
fn is_replica(answer: &Value) -> bool {
    let Value::Map(fields) = answer else {
        return false;
    };
    let text = |value: &Value| match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::SimpleString(text) => text.clone(),
        _ => String::new(),
    };
    fields
        .iter()
        .any(|(name, value)| text(name) == "role" && text(value) != "master")
}
