//! The threads that rooms, presence and the journal run on, apart from those of the connections.

use actix::dev::channel;
use actix::{Actor, Addr, Arbiter, ArbiterHandle, Context};

use crate::hub::journal::index_of;
use crate::protocol::id::RoomId;
use crate::stall::{self, Activity, ThreadKind, marked};

/// A fixed number of arbiters, and one of its own for the hub actor.
#[derive(Debug)]
pub(crate) struct Arbiters {
    hub: Arbiter,
    shared: Vec<ArbiterHandle>,
    owned: Vec<Arbiter>,
}

impl Arbiters {
    /// Starts `count` arbiters; within a running actix system.
    pub(crate) fn start(count: usize) -> Self {
        let owned: Vec<_> = (0..count.max(1))
            .map(|_| watched(ThreadKind::Arbiter))
            .collect();
        Self {
            hub: watched(ThreadKind::Hub),
            shared: owned.iter().map(Arbiter::handle).collect(),
            owned,
        }
    }

    /// The hub actor's own.
    pub(crate) fn hub(&self) -> ArbiterHandle {
        self.hub.handle()
    }

    /// A room's, by hash.
    pub(crate) fn of_room(&self, room: RoomId) -> &ArbiterHandle {
        &self.shared[index_of(room, self.shared.len())]
    }

    /// One for the `number`th of something.
    pub(crate) fn by_number(&self, number: usize) -> &ArbiterHandle {
        &self.shared[number % self.shared.len()]
    }

    /// Ends them all.
    pub(crate) fn stop(&self) {
        for arbiter in &self.owned {
            arbiter.stop();
        }
        self.hub.stop();
    }
}

/// An arbiter whose stalls are noticed.
fn watched(kind: ThreadKind) -> Arbiter {
    // Where no thread can be made there is no node: actix panics.
    Arbiter::try_with_tokio_rt(move || stall::runtime(kind)).unwrap_or_else(|_| Arbiter::new())
}

/// Starts an actor on an arbiter, with room for so many messages in its mailbox; its work is marked
/// as that.
pub(crate) fn start_on<A: Actor<Context = Context<A>>>(
    arbiter: &ArbiterHandle,
    activity: Activity,
    mailbox: usize,
    make: impl FnOnce() -> A + Send + 'static,
) -> Addr<A> {
    let (sender, inbox) = channel::channel(mailbox);
    arbiter.spawn_fn(move || {
        let actor = Context::with_receiver(inbox).into_future(make());
        actix::spawn(marked(activity, actor));
    });
    Addr::new(sender)
}
