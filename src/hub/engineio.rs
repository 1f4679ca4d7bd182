//! Engine.IO sessions of this node, for those who serve the requests that they are made of.
//!
//! A session is a connection like any other: an actor on one worker thread, the one that served its
//! first request. Those that follow come to whatever thread accepts them, and are handed to the
//! session's own by its id: [`EngineIo::poll`], [`EngineIo::post`], [`EngineIo::upgrade`]. What waits
//! there is bounded; whoever finds no room is refused, and so is who names a session that has ended.
//!
//! Whoever stops waiting for an answer tells that the client has gone: a dropped future of
//! [`EngineIo::poll`] is an aborted poll, a dropped [`Post`] an aborted POST, and both end the
//! session, as the protocol wants it.

mod call;
mod refused;
mod settings;

use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use dashmap::DashMap;
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

pub use self::call::Coming;
pub(crate) use self::call::{Answer, Call, Handed, Question, Waiting};
pub use self::refused::Refused;
use self::settings::{engine_settings, socketio_settings};
use super::HubHandle;
use super::connection::Socket;
use super::connection::identity::Identity;
use super::fanout::{ConnectionKey, FanoutHandle, FanoutMessage};
use crate::config;
use crate::protocol::engineio::request::{Known, Query};
use crate::protocol::engineio::session::{PeerId, Settings};
use crate::protocol::engineio::sid::{self, RANDOM_BYTES};
use crate::protocol::engineio::{Revision, Transport};
use crate::protocol::origin::Origin;
use crate::protocol::socketio;

/// A session that begins, and what is known of who is at its other end.
#[derive(Debug)]
pub struct Opening {
    /// By its query.
    pub revision: Revision,
    /// The client's address.
    pub address: IpAddr,
    /// Who it is, if a cookie or `Authorization` said so.
    pub identity: Option<Identity>,
    /// `token` of the query: how clients of revision 3 can say who they are. It must not be logged.
    pub token: Option<String>,
    /// Whether the client's library takes offsets, see
    /// [`recovery::takes_offsets`](crate::protocol::socketio::recovery::takes_offsets).
    pub takes_offsets: bool,
    /// What is spoken above Engine.IO.
    pub contract: Contract,
    /// Kept for as long as the session lasts, such as its place among the node's.
    pub keep: Box<dyn Debug>,
}

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contract {
    /// Socket.IO, with the hub's commands and pushes.
    Hub,
    /// No Socket.IO: messages come back as they are. What the conformance suite of Engine.IO runs
    /// against.
    Echo,
    /// What the conformance suite of Socket.IO runs against: namespaces `/` and `/custom`, nothing
    /// of the hub.
    SocketIoSuite,
}

/// A WebSocket whose handshake was accepted.
#[derive(Debug)]
pub struct Handover {
    /// The socket, with nothing but TLS between it and the peer, prepared as for `/ws`.
    pub socket: Socket,
    /// The answer to the handshake (101), behind those to requests before it. It is sent by the
    /// session.
    pub greeting: Bytes,
    /// What had been read from it beyond the handshake.
    pub read_ahead: Vec<u8>,
    /// Whether permessage-deflate was agreed on.
    pub deflate: bool,
    /// Kept until the socket has been closed, on whatever thread, and dropped then.
    pub keep: Box<dyn Debug + Send>,
}

/// The answer to a poll: 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// Its body.
    pub body: Bytes,
    /// `Content-Type`.
    pub content_type: &'static str,
}

/// Where a session is.
#[derive(Debug)]
struct Place {
    fanout: FanoutHandle,
    connection: ConnectionKey,
    revision: Revision,
    is_websocket: AtomicBool,
}

/// The sessions of this node. Cheap to clone.
#[derive(Clone)]
pub struct EngineIo {
    shared: Arc<Shared>,
}

struct Shared {
    origin: Origin,
    sessions: DashMap<Box<str>, Place>,
    count: AtomicUsize,
    max: usize,
    next_peer: AtomicU64,
    engine: Arc<Settings>,
    socket_io: Arc<socketio::session::Settings>,
    config: config::SocketIo,
    asks: Semaphore,
}

impl HubHandle {
    /// The sessions of Engine.IO.
    #[must_use]
    pub fn engineio(&self) -> &EngineIo {
        &self.shared.engineio
    }

    /// A session begins by a poll, which is answered with its handshake. It lives on the present
    /// thread.
    pub async fn open_polling(
        &self,
        opening: Opening,
        takes_bytes: bool,
    ) -> Result<Payload, Refused> {
        let (answer, wait) = oneshot::channel();
        let first = Waiting::Poll {
            answer,
            takes_bytes,
            // Sent again it would begin another one.
            stamp: None,
        };
        super::connection::engineio::open(self, opening, first)?;
        wait.await.unwrap_or(Err(Refused::UnknownSid))
    }

    /// A session begins by a WebSocket. It lives on the present thread. If it is refused the
    /// client has been told nothing: the greeting is not sent.
    pub fn open_websocket(&self, opening: Opening, socket: Handover) -> Result<(), Refused> {
        super::connection::engineio::open(self, opening, Waiting::Socket(socket))
    }
}

impl EngineIo {
    /// None yet.
    pub(crate) fn new(config: &config::Config, origin: Origin) -> Self {
        let max = match config.socketio.max_sessions {
            0 => usize::MAX,
            max => max,
        };
        Self {
            shared: Arc::new(Shared {
                origin,
                sessions: DashMap::new(),
                count: AtomicUsize::new(0),
                max,
                next_peer: AtomicU64::new(0),
                engine: Arc::new(engine_settings(config)),
                socket_io: Arc::new(socketio_settings(&config.socketio)),
                config: config.socketio.clone(),
                asks: Semaphore::new(max_asks(config)),
            }),
        }
    }

    /// What is known of a session without asking it; none if it is none of this node's.
    #[must_use]
    pub fn known(&self, sid: &str) -> Option<Known> {
        let place = self.shared.sessions.get(sid)?;
        let transport = if place.is_websocket.load(Ordering::Relaxed) {
            Transport::Websocket
        } else {
            Transport::Polling
        };
        Some(Known {
            revision: place.revision,
            transport,
        })
    }

    /// Waits for packets of a session, as the query says.
    pub async fn poll(&self, sid: &str, query: &Query) -> Result<Payload, Refused> {
        let (answer, wait) = oneshot::channel();
        let waiting = Waiting::Poll {
            answer,
            takes_bytes: query.takes_bytes,
            stamp: query.stamp,
        };
        self.call(sid, Call::Begun(self.next_peer(), waiting))?;
        wait.await.unwrap_or(Err(Refused::UnknownSid))
    }

    /// A POST of a session has begun: its head has come, and said whether its body is
    /// `application/octet-stream`. To be called before the body is read, so that a second one at
    /// the same time is noticed.
    pub fn post(&self, sid: &str, is_bytes: bool) -> Result<Post, Refused> {
        let id = self.next_peer();
        let (answer, wait) = oneshot::channel();
        self.call(sid, Call::Begun(id, Waiting::Post { answer, is_bytes }))?;
        Ok(Post {
            engineio: self.clone(),
            sid: sid.into(),
            id,
            wait: Some(wait),
        })
    }

    /// A WebSocket for a session is about to be given: what its client does from then on by requests
    /// comes after what it does by the socket.
    pub fn expect_socket(&self, sid: &str) -> Result<Coming, Refused> {
        let (coming, seen) = Coming::new();
        self.call(sid, Call::Coming(seen))?;
        Ok(coming)
    }

    /// There is a WebSocket for a session that polls. [`EngineIo::known`] must have told that there
    /// is such a session: whether it takes the socket, it decides by itself. The answer to the
    /// handshake is sent in any case, if the session is still there.
    pub fn upgrade(
        &self,
        sid: &str,
        socket: Handover,
        coming: Option<Coming>,
    ) -> Result<(), Refused> {
        let handed = Handed::new(socket).map_err(|_| Refused::BadRequest)?;
        self.call(
            sid,
            Call::Socket(self.next_peer(), Box::new(handed), coming),
        )
    }

    /// How many sessions there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared.count.load(Ordering::Relaxed)
    }

    /// Hands something to a session's thread.
    fn call(&self, sid: &str, call: Call) -> Result<(), Refused> {
        let place = self.shared.sessions.get(sid);
        let place = place.ok_or_else(|| Refused::UnknownSid.counted())?;
        let (fanout, connection) = (place.fanout.clone(), place.connection);
        // Not while a part of the map is locked.
        drop(place);
        fanout.send(FanoutMessage::EngineIo(connection, Box::new(call)));
        Ok(())
    }

    /// A number that no other request or socket has.
    pub(crate) fn next_peer(&self) -> PeerId {
        self.shared.next_peer.fetch_add(1, Ordering::Relaxed)
    }

    /// An id for a new session.
    pub(crate) fn new_sid(&self) -> String {
        sid::new(&self.shared.origin, rand::random::<[u8; RANDOM_BYTES]>())
    }

    /// Takes a place for a session; none if there are too many.
    pub(crate) fn sit(&self) -> Result<Seat, Refused> {
        let seat = Seat(self.clone());
        if self.shared.count.fetch_add(1, Ordering::Relaxed) >= self.shared.max {
            return Err(Refused::Overloaded.counted());
        }
        Ok(seat)
    }

    /// Lets requests find a session.
    pub(crate) fn register(
        &self,
        sid: &str,
        revision: Revision,
        transport: Transport,
        (fanout, connection): (FanoutHandle, ConnectionKey),
    ) {
        let place = Place {
            fanout,
            connection,
            revision,
            is_websocket: AtomicBool::new(transport == Transport::Websocket),
        };
        self.shared.sessions.insert(sid.into(), place);
    }

    /// It goes on by a WebSocket.
    pub(crate) fn upgraded(&self, sid: &str) {
        if let Some(place) = self.shared.sessions.get(sid) {
            place.is_websocket.store(true, Ordering::Relaxed);
        }
    }

    /// It has ended.
    pub(crate) fn forget(&self, sid: &str) {
        self.shared.sessions.remove(sid);
    }

    /// What sessions of Engine.IO go by.
    pub(crate) fn engine_settings(&self) -> &Arc<Settings> {
        &self.shared.engine
    }

    /// What those of Socket.IO above them go by.
    pub(crate) fn socketio_settings(&self) -> &Arc<socketio::session::Settings> {
        &self.shared.socket_io
    }

    /// A place among those who wait for acknowledgements, if there is one.
    #[must_use]
    pub fn try_ask(&self) -> Option<SemaphorePermit<'_>> {
        self.shared.asks.try_acquire().ok()
    }

    /// The settings.
    pub(crate) fn config(&self) -> &config::SocketIo {
        &self.shared.config
    }
}

/// How many may wait for acknowledgements. Other questions between nodes have their turns, too.
fn max_asks(config: &config::Config) -> usize {
    let peers = config.peers.calls_max.min(config.peers.max_requests);
    config.socketio.max_asks.min(peers / 2).max(1)
}

/// A session's place among those of the node, given back when it is dropped.
pub(crate) struct Seat(EngineIo);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.shared.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A POST whose body is still to come. Dropping it tells that its client has gone.
#[derive(Debug)]
pub struct Post {
    engineio: EngineIo,
    sid: Box<str>,
    id: PeerId,
    wait: Option<oneshot::Receiver<Answer<()>>>,
}

impl Post {
    /// The body has come whole. Answered `ok` when what it asked for has been begun.
    pub async fn finish(mut self, body: Bytes) -> Result<(), Refused> {
        let wait = self.wait.take();
        self.engineio
            .call(&self.sid, Call::Posted(self.id, Some(body)))?;
        match wait {
            Some(wait) => wait.await.unwrap_or(Err(Refused::UnknownSid)),
            None => Err(Refused::BadRequest),
        }
    }

    /// The body is longer than `socketio.max_http_buffer_size`.
    pub async fn too_large(mut self) -> Refused {
        let wait = self.wait.take();
        let told = self.engineio.call(&self.sid, Call::Posted(self.id, None));
        match (told, wait) {
            (Ok(()), Some(wait)) => match wait.await {
                Ok(Err(refused)) => refused,
                _ => Refused::TooLarge,
            },
            _ => Refused::TooLarge,
        }
    }
}

impl Debug for EngineIo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineIo").finish_non_exhaustive()
    }
}
