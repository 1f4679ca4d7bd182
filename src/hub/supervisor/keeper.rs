//! The way to the hub actor, and the loop that starts it again.
//!
//! The loop hears of every actor that has panicked. It does next to nothing itself, so that there
//! is nothing in it that could fail: the hub actor's own end it answers by starting another, all
//! others it hands on until a hub actor has dealt with them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use parking_lot::{Mutex, RwLock};
use tokio::sync::mpsc;

use super::ledger::Ledger;
use super::{EnsureRoom, Ensured, Hub, Lasting, MAILBOX, Parts, REPORTS, Retire, WentDown};
use crate::hub::metrics::{ACTORS_DOWN, RESTARTS_DELAYED};
use crate::hub::room::{Room, RoomHandle};
use crate::hub::supervision::{ActorId, Down, Guard, Intensity, Life, Restart};
use crate::protocol::id::RoomId;
use crate::stall::{Activity, marked};

/// How soon the hub actor is asked again when it was away.
const AGAIN: Duration = Duration::from_millis(10);

/// The way to the hub actor, whichever it is at the time. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct SupervisorHandle {
    place: Arc<RwLock<Option<Addr<Hub>>>>,
}

impl SupervisorHandle {
    /// Starts the hub actor on an arbiter of its own, and everything that there is a fixed number
    /// of.
    pub(crate) fn start(arbiter: &ArbiterHandle, parts: Parts) -> Self {
        let handle = Self::default();
        let (reports, downs) = mpsc::channel(REPORTS);
        let lasting = Arc::new(Lasting {
            ledger: Mutex::new(Ledger::new(parts.restarts)),
            parts,
            supervisor: handle.clone(),
            reports,
        });
        arbiter.spawn(keep(lasting, downs));
        handle
    }

    /// The room's actor, started if it is not there. While the hub actor is away, or the room is
    /// about to be started again, it waits: callers have a time-out. None if the room has
    /// panicked too often.
    pub(crate) async fn ensure_room(&self, room_id: RoomId) -> Option<RoomHandle> {
        loop {
            match self.ask(EnsureRoom { room_id }).await {
                Some(Ensured::Here(room)) => return Some(room),
                Some(Ensured::GivenUp) => return None,
                Some(Ensured::Soon) | None => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    /// Asks that a room without connections be ended, until the hub has heard it.
    pub(crate) async fn retire(&self, room_id: RoomId, addr: Addr<Room>) {
        let retire = || Retire {
            room_id,
            addr: addr.clone(),
        };
        while self.ask(retire()).await.is_none() {
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn ask<M>(&self, message: M) -> Option<M::Result>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        Hub: Handler<M>,
    {
        let hub = self.place.read().clone()?;
        hub.send(message).await.ok()
    }
}

/// Starts the hub actor on the present thread.
fn start(lasting: &Arc<Lasting>) -> Life {
    let life = lasting.ledger.lock().next_life();
    let guard = Guard::new(ActorId::Hub, life, lasting.reports.clone());
    let lasting = Arc::clone(lasting);
    let place = Arc::clone(&lasting.supervisor.place);
    let mut ctx = Context::new();
    ctx.set_mailbox_capacity(MAILBOX);
    *place.write() = Some(ctx.address());
    let hub = Hub {
        lasting,
        _guard: guard,
    };
    actix_rt::spawn(marked(Activity::Hub, ctx.into_future(hub)));
    life
}

async fn keep(lasting: Arc<Lasting>, mut downs: mpsc::Receiver<Down>) {
    let mut intensity = Intensity::new(lasting.parts.restarts);
    let mut life = start(&lasting);
    while let Some(down) = downs.recv().await {
        if down.id == ActorId::Hub && down.life != life {
            continue;
        }
        ACTORS_DOWN.with_label_values(&[down.id.kind()]).inc();
        tracing::error!(actor = ?down.id, "an actor panicked");
        if down.id == ActorId::Hub {
            life = restart(&lasting, &mut intensity).await;
            continue;
        }
        // No answer: it panicked over this, or before it came to it.
        while lasting.supervisor.ask(WentDown(down)).await.is_none() {
            ACTORS_DOWN.with_label_values(&[ActorId::Hub.kind()]).inc();
            tracing::error!(actor = ?ActorId::Hub, "an actor panicked");
            life = restart(&lasting, &mut intensity).await;
        }
    }
}

async fn restart(lasting: &Arc<Lasting>, intensity: &mut Intensity) -> Life {
    let pause = match intensity.restart(Instant::now()) {
        Restart::After(pause) => pause,
        Restart::TooMany(pause) => {
            tracing::error!(actor = ?ActorId::Hub, ?pause, "too many restarts; the next one waits");
            pause
        }
    };
    if !pause.is_zero() {
        RESTARTS_DELAYED
            .with_label_values(&[ActorId::Hub.kind()])
            .inc();
        tokio::time::sleep(pause).await;
    }
    start(lasting)
}
