//! What the node answers to others, and what it asks them on behalf of its own parts.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use crate::auth::tickets::{self, Redeeming, TicketsElsewhere};
use crate::auth::token::TokenHash;
use crate::auth::{Authenticator, Identity, Sharing, Via};
use crate::cache::Cache;
use crate::config::Config;
use crate::hub::{Asking, HubHandle, NodeSilent, PresenceElsewhere};
use crate::peers::passing::{PassedOn, PassedSocket, Passing};
use crate::peers::query::{Answering, RedeemTicket, TicketHolder};
use crate::peers::{Host, PassedStream, Peers};
use crate::protocol::ask::{Ask, Asked};
use crate::protocol::connection::{ConnectionList, ConnectionQuery};
use crate::protocol::copies::{CopiesQuery, CopiesReport};
use crate::protocol::engineio::request::HandshakeError;
use crate::protocol::origin::Origin;
use crate::protocol::presence::{PresenceDigests, PresencePage, PresencePull, PresenceStands};
use crate::redis::Client;
use crate::store::Store;
use crate::transport::socketio::PassedOnHost;

/// Answers other nodes.
pub(super) struct NodeHost {
    pub(super) hub: HubHandle,
    pub(super) authenticator: Authenticator,
    pub(super) cache: Cache,
    pub(super) socketio: PassedOnHost,
}

impl Host for NodeHost {
    fn connections(&self, query: ConnectionQuery) -> Answering<'_, ConnectionList> {
        Box::pin(async move { self.hub.list_connections(&query).await })
    }

    fn ask(&self, ask: Ask) -> Pin<Box<dyn Future<Output = Asked> + '_>> {
        Box::pin(self.hub.ask(ask))
    }

    fn presence(&self, pull: PresencePull) -> Answering<'_, PresencePage> {
        Box::pin(self.hub.presence_page(pull))
    }

    fn presence_stands(&self, stands: PresenceStands) -> Answering<'_, PresenceDigests> {
        Box::pin(self.hub.presence_stands(stands))
    }

    fn copies(&self, query: CopiesQuery) -> CopiesReport {
        self.cache.report(&query)
    }

    fn redeem_ticket(&self, hash: TokenHash) -> Option<TicketHolder> {
        let holder = |it: Identity| TicketHolder {
            user_id: it.user_id,
            session_id: it.session_id,
            expires_at: it.expires_at,
        };
        self.authenticator.tickets().redeem(&hash).map(holder)
    }

    fn engineio(&self, request: PassedOn, body: Bytes) -> Passing<'_> {
        Box::pin(self.socketio.answer(request, body))
    }

    fn takes_socket(&self, socket: &PassedSocket) -> Result<(), HandshakeError> {
        self.socketio.takes(socket)
    }

    fn give_socket(&self, socket: &PassedSocket, stream: PassedStream) {
        self.socketio.give(socket, stream);
    }
}

/// Who is let in, also by tickets of other nodes.
pub(super) fn authenticator(
    store: &Store,
    config: &Config,
    peers: &Peers,
    redis: Option<&Client>,
) -> Authenticator {
    let elsewhere = Arc::new(TicketsOfPeers(peers.clone()));
    let cluster = peers.last_reading();
    let sharing = redis.map(|client| Sharing {
        client: client.clone(),
        secret: cluster.secret.clone(),
        clock: cluster.clock,
    });
    let own = peers.own().clone();
    Authenticator::new(store.clone(), config, own, elsewhere, sharing)
}

/// Who is present by other nodes.
pub(super) struct PresenceOfPeers(pub(super) Peers);

impl PresenceElsewhere for PresenceOfPeers {
    fn page<'a>(&'a self, node: &'a Origin, pull: PresencePull) -> Asking<'a, PresencePage> {
        Box::pin(async move {
            let answer = self.0.ask_life(node, &pull).await;
            answer.map_err(|_| NodeSilent)
        })
    }

    fn stands<'a>(
        &'a self,
        node: &'a Origin,
        stands: PresenceStands,
    ) -> Asking<'a, PresenceDigests> {
        Box::pin(async move {
            let answer = self.0.ask_life(node, &stands).await;
            answer.map_err(|_| NodeSilent)
        })
    }
}

/// Uses up tickets that other nodes have given.
struct TicketsOfPeers(Peers);

impl TicketsElsewhere for TicketsOfPeers {
    fn redeem<'a>(&'a self, origin: &'a Origin, ticket: TokenHash) -> Redeeming<'a> {
        Box::pin(async move {
            let query = RedeemTicket::new(&ticket);
            let answer = self.0.ask_life(origin, &query).await;
            let holder = answer.map_err(|_| tickets::NodeSilent)?;
            Ok(holder.map(|it| Identity {
                user_id: it.user_id,
                session_id: it.session_id,
                expires_at: it.expires_at,
                via: Via::Ticket,
            }))
        })
    }
}
