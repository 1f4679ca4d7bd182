//! Listening to one server.

use std::convert::Infallible;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use tokio::time::{MissedTickBehavior, interval};

use super::link::{Kept, Link, Made};
use super::receiving::Receiving;
use super::shared::Shared;
use super::subscriptions::Step;
use crate::bus::{Arrival, lane_of};
use crate::protocol::id::RoomId;
use crate::redis::error::LinkError;

/// Keeps the connection for as long as the link lives.
pub(super) async fn run(shared: Arc<Shared>, link: Arc<Link>) {
    let mut kept = Kept::new(&shared, &link, "subscribe");
    loop {
        let mut made = Made::default();
        let error = Kept::live(live(&shared, &kept, &mut made)).await;
        link.set_hears(false);
        let pause = kept.failed(&made, &error);
        shared.refresh();
        tokio::time::sleep(pause).await;
    }
}

/// One life of the connection.
async fn live(
    shared: &Arc<Shared>,
    kept: &Kept<'_>,
    made: &mut Made,
) -> Result<Infallible, LinkError> {
    let link = kept.link;
    let receiving = Arc::new(Receiving::new(Arc::clone(shared)));
    let push = {
        let receiving = Arc::clone(&receiving);
        move |push| {
            receiving.push(push);
            Ok::<_, Infallible>(())
        }
    };
    let mut connection = link.endpoint.connect(&shared.patience, push).await?;
    kept.made(made);
    link.subscriptions.lock().begin();

    let mut is_settled = false;
    let mut pings = interval(shared.patience.ping);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings.reset();
    loop {
        let step = link
            .subscriptions
            .lock()
            .next(shared.config.subscribe_batch_max);
        if !step.is_empty() {
            tokio::select! {
                biased;
                error = receiving.failed() => return Err(error),
                done = take(shared, &receiving, &mut connection, &step) => done?,
            }
            link.subscriptions.lock().done(&step);
            if is_settled {
                step.subscribe.iter().for_each(|room| tell(shared, *room));
            }
            continue;
        }
        if !is_settled {
            is_settled = true;
            link.set_hears(true);
            shared.refresh();
        }
        tokio::select! {
            biased;
            error = receiving.failed() => return Err(error),
            _ = pings.tick() => {
                let ping = redis::cmd("PING");
                shared.patience.answer(connection.send_packed_command(&ping)).await?;
            }
            () = link.changed.notified() => {}
        }
    }
}

/// What was published until now did not come.
fn tell(shared: &Shared, room: RoomId) {
    let lane = lane_of(room, shared.lanes.len());
    if let Some(lane) = shared.lanes.get(lane) {
        // If there is no room for it, the comparison of heads finds what it would have.
        let _ = lane.try_send(Arrival::Subscribed(room));
    }
}

/// Has the server do a step.
async fn take(
    shared: &Shared,
    receiving: &Receiving,
    connection: &mut MultiplexedConnection,
    step: &Step,
) -> Result<(), LinkError> {
    let names = |rooms: &[RoomId]| -> Vec<String> {
        let names = rooms.iter().map(|room| shared.channels.of_room(*room));
        names.collect()
    };
    let (wanted, unwanted) = (names(&step.subscribe), names(&step.unsubscribe));
    receiving.expect_ends(unwanted.len());
    if shared.is_cluster() {
        return take_sharded(shared, connection, &wanted, &unwanted).await;
    }
    if !wanted.is_empty() {
        shared
            .patience
            .answer(connection.subscribe(&wanted))
            .await?;
    }
    if !unwanted.is_empty() {
        shared
            .patience
            .answer(connection.unsubscribe(&unwanted))
            .await?;
    }
    Ok(())
}

/// One command for each channel, all in one write: a command must not have channels of two slots.
async fn take_sharded(
    shared: &Shared,
    connection: &mut MultiplexedConnection,
    wanted: &[String],
    unwanted: &[String],
) -> Result<(), LinkError> {
    let count = wanted.len() + unwanted.len();
    let mut pipeline = redis::Pipeline::with_capacity(count);
    for channel in wanted {
        pipeline.cmd("SSUBSCRIBE").arg(channel);
    }
    for channel in unwanted {
        pipeline.cmd("SUNSUBSCRIBE").arg(channel);
    }
    let answer = connection.send_packed_commands(&pipeline, 0, count);
    for answer in shared.patience.answer(answer).await? {
        if let Err(error) = answer.extract_error() {
            // Who has the slot now?
            shared.doubt.notify_one();
            return Err(error.into());
        }
    }
    Ok(())
}
