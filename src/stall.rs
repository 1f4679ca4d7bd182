//! Threads that are blocked: noticed, counted, and logged with what they were doing.
//!
//! Each watched thread has a slot of atomics that says what it is doing and since when. It is
//! written by a guard around real work ([`doing`]): a clock read and two relaxed stores when it
//! begins, the same when it ends, once for a batch and never for a delivery. A thread without such
//! a mark waits in epoll, and is not blocked by definition. One that does one thing for longer than
//! `telemetry.stall_ms` is blocked, and so is everybody whom it serves.
//!
//! Stalls are found by their end, which the thread itself notices, and while they last by a thread
//! that looks at the slots ([`watcher`]): often while there is work, once a second while there is
//! next to none, so that an idle node stays idle. Only that thread counts and logs. When it comes
//! late itself the whole machine has stood still, and nobody else is blamed for that time.
//!
//! Pure: [`judge`] (whose fault it is), [`pace`] (when to look).

mod judge;
mod metrics;
mod pace;
mod slot;
mod watcher;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

pub(crate) use self::slot::{doing, doing_with, watch_thread};
pub(crate) use self::watcher::Watch;

/// A moment or a duration, milliseconds; moments are counted from the process's first.
type Millis = u64;

/// What kind of thread is watched, as the metrics label it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ThreadKind {
    /// Sockets and REST.
    Worker,
    /// Rooms, presence, the journal's writers, the bridge.
    Arbiter,
    /// The hub actor's own.
    Hub,
    /// Signals, start and stop, the pool's connections.
    Main,
    /// The bus's connections to Redis.
    Bus,
    /// The connections by which Redis is asked.
    Redis,
}

impl ThreadKind {
    const fn label(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Arbiter => "arbiter",
            Self::Hub => "hub",
            Self::Main => "main",
            Self::Bus => "bus",
            Self::Redis => "redis",
        }
    }
}

/// What a thread is doing, as metrics and logs name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Activity {
    /// Anything of a runtime that has no name of its own: other tasks, timers, drivers.
    Other = 1,
    /// A connection's actor: reading, decoding, and what is not a command.
    Connection,
    /// A command of a client.
    Command,
    /// A thread's fan-out: care for its connections.
    Fanout,
    /// A batch of what the fan-out was told.
    Deliver,
    /// Writing to the sockets that have something waiting.
    Flush,
    /// Saying who is connected.
    Survey,
    /// Making the frame of an event.
    Encode,
    /// Compressing it.
    Deflate,
    /// A room's actor.
    Room,
    /// A presence shard.
    Presence,
    /// A writer of the journal.
    Journal,
    /// The bridge to other nodes.
    Bridge,
    /// The hub actor.
    Hub,
    /// An HTTP connection: parsing, answering, handshakes.
    Http,
    /// A REST request.
    Rest,
}

impl Activity {
    const ALL: [Self; 16] = [
        Self::Other,
        Self::Connection,
        Self::Command,
        Self::Fanout,
        Self::Deliver,
        Self::Flush,
        Self::Survey,
        Self::Encode,
        Self::Deflate,
        Self::Room,
        Self::Presence,
        Self::Journal,
        Self::Bridge,
        Self::Hub,
        Self::Http,
        Self::Rest,
    ];

    const fn label(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Connection => "connection",
            Self::Command => "command",
            Self::Fanout => "fanout",
            Self::Deliver => "deliver",
            Self::Flush => "flush",
            Self::Survey => "survey",
            Self::Encode => "encode",
            Self::Deflate => "deflate",
            Self::Room => "room",
            Self::Presence => "presence",
            Self::Journal => "journal",
            Self::Bridge => "bridge",
            Self::Hub => "hub",
            Self::Http => "http",
            Self::Rest => "rest",
        }
    }

    /// Whether [`doing_with`] names it more closely.
    const fn has_detail(self) -> bool {
        matches!(self, Self::Command | Self::Rest)
    }
}

/// A task whose polls are marked.
#[derive(Debug)]
pub(crate) struct Marked<F> {
    activity: Activity,
    task: F,
}

/// Marks a task's polls.
pub(crate) fn marked<F: Future + Unpin>(activity: Activity, task: F) -> Marked<F> {
    Marked { activity, task }
}

impl<F: Future + Unpin> Future for Marked<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let _doing = doing(self.activity);
        Pin::new(&mut self.task).poll(cx)
    }
}

/// A runtime whose thread is watched whenever it does not wait, whatever it does. To be called on
/// the thread that it will run on.
pub(crate) fn runtime(kind: ThreadKind) -> io::Result<tokio::runtime::Runtime> {
    runtime_resting(kind, || ())
}

/// The same; its thread does `rest` whenever there is nothing to do, before it waits. That counts
/// as waiting.
pub(crate) fn runtime_resting(
    kind: ThreadKind,
    rest: impl Fn() + Send + Sync + 'static,
) -> io::Result<tokio::runtime::Runtime> {
    watch_thread(kind);
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_unpark(slot::unparked)
        .on_thread_park(move || {
            slot::parks();
            rest();
        })
        .build()
}
