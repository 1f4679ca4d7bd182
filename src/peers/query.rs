//! What nodes ask each other, and who answers.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::passing::{PassedOn, PassedSocket, Passing};
use super::seal::{hex, unhex};
use super::tunnel::PassedStream;
use crate::protocol::ask::{Ask, Asked};
use crate::protocol::connection::{ConnectionList, ConnectionQuery};
use crate::protocol::copies::{CopiesQuery, CopiesReport};
use crate::protocol::engineio::request::HandshakeError;
use crate::protocol::error::Refusal;
use crate::protocol::id::{SessionId, UserId};
use crate::protocol::presence::{PresenceDigests, PresencePage, PresencePull, PresenceStands};

/// A question, sent as JSON to `/peer/<NAME>`. Unknown fields are left alone, so that nodes of
/// two versions understand each other.
pub trait Query: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Its name, in the path, in metrics and in logs.
    const NAME: &'static str;
    /// What is answered, as JSON.
    type Answer: Serialize + DeserializeOwned + Send + 'static;

    /// How long the node may wait before it answers, beside `peers.call_timeout_ms`.
    fn wait(&self) -> Duration {
        Duration::ZERO
    }
}

/// A client of the node is asked.
impl Query for Ask {
    const NAME: &'static str = "ask";
    type Answer = Asked;

    fn wait(&self) -> Duration {
        Duration::from_millis(self.wait_ms)
    }
}

/// Who is connected to the node.
impl Query for ConnectionQuery {
    const NAME: &'static str = "connections";
    type Answer = ConnectionList;
}

/// A ticket that the node has given is to be used up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RedeemTicket {
    hash: String,
}

impl RedeemTicket {
    /// The ticket of that hash. Who reads the hash cannot use it elsewhere.
    #[must_use]
    pub fn new(hash: &[u8; 32]) -> Self {
        Self { hash: hex(hash) }
    }

    /// The hash; none if it is not one.
    #[must_use]
    pub fn hash(&self) -> Option<[u8; 32]> {
        unhex(&self.hash)
    }
}

impl Query for RedeemTicket {
    const NAME: &'static str = "redeem_ticket";
    /// None: there is no such ticket, or no longer.
    type Answer = Option<TicketHolder>;
}

/// Who a ticket was given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketHolder {
    /// The user.
    pub user_id: UserId,
    /// The session.
    pub session_id: SessionId,
    /// Until when the session lasts unless it is used.
    pub expires_at: Timestamp,
}

/// Who is present by the node.
impl Query for PresencePull {
    const NAME: &'static str = "presence";
    type Answer = PresencePage;
}

/// Where the node stands with presence.
impl Query for PresenceStands {
    const NAME: &'static str = "presence_stands";
    type Answer = PresenceDigests;
}

/// What the node has copies of.
impl Query for CopiesQuery {
    const NAME: &'static str = "copies";
    type Answer = CopiesReport;
}

/// What a host answers, later.
pub type Answering<'a, T> = Pin<Box<dyn Future<Output = Result<T, Refusal>> + 'a>>;

/// Who answers for this node, out of what it knows by itself.
pub trait Host: Send + Sync + 'static {
    /// Who is connected here.
    fn connections(&self, query: ConnectionQuery) -> Answering<'_, ConnectionList>;

    /// Asks a client of this node.
    fn ask(&self, ask: Ask) -> Pin<Box<dyn Future<Output = Asked> + '_>>;

    /// Who is present by this node.
    fn presence(&self, pull: PresencePull) -> Answering<'_, PresencePage>;

    /// Where this node stands with presence.
    fn presence_stands(&self, stands: PresenceStands) -> Answering<'_, PresenceDigests>;

    /// What there are copies of here.
    fn copies(&self, query: CopiesQuery) -> CopiesReport;

    /// Uses a ticket up.
    fn redeem_ticket(&self, hash: [u8; 32]) -> Option<TicketHolder>;

    /// A request for a session of Engine.IO of this node, and the answer's body.
    fn engineio(&self, request: PassedOn, body: Bytes) -> Passing<'_>;

    /// Whether a session of this node may take a WebSocket.
    fn takes_socket(&self, socket: &PassedSocket) -> Result<(), HandshakeError>;

    /// Gives a session its WebSocket. Where it does not take it, the stream is closed.
    fn give_socket(&self, socket: &PassedSocket, stream: PassedStream);
}
