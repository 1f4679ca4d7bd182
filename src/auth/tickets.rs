//! Tickets: what a page that cannot set headers on a WebSocket puts into its address.
//!
//! Addresses end up in logs and histories, so a ticket is good once and for seconds. Tickets
//! live in the node that gave them, in the life that it has, and name it: another node to which
//! one is shown has it used up there. A node that stops forgets them, and the client asks anew.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::credentials::{Identity, Via};
use super::token::{Token, TokenHash};
use crate::config;
use crate::protocol::id::SessionId;
use crate::protocol::origin::Origin;

/// A ticket: a secret, and the node that knows whose it is. On the wire
/// `<secret>.<incarnation>.<node>`, which needs no escaping wherever it stands in an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The secret.
    pub token: Token,
    /// Who gave it, in which life.
    pub origin: Origin,
}

impl Ticket {
    /// Reads a ticket. None if it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (token, origin) = text.split_once('.')?;
        let (incarnation, node) = origin.split_once('.')?;
        Some(Self {
            token: Token::parse(token)?,
            origin: Origin::parse(&format!("{node}~{incarnation}"))?,
        })
    }

    /// The ticket as its owner gets it.
    #[must_use]
    pub fn reveal(&self) -> String {
        let Origin { node, incarnation } = &self.origin;
        format!("{}.{incarnation}.{node}", self.token.reveal())
    }
}

/// The node that gave a ticket cannot be asked about it: it is gone, or does not answer. Whether
/// the ticket is used up is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the node that gave this ticket does not answer: ask for a new ticket")]
pub struct NodeSilent;

/// What another node answers about a ticket, later.
pub type Redeeming<'a> = Pin<Box<dyn Future<Output = Result<Option<Identity>, NodeSilent>> + 'a>>;

/// The tickets of other nodes.
pub trait TicketsElsewhere: Send + Sync + 'static {
    /// Has the node that gave a ticket use it up. None if there is no such ticket, or no longer.
    fn redeem<'a>(&'a self, origin: &'a Origin, ticket: TokenHash) -> Redeeming<'a>;
}

/// As many tickets were given within their lifetime as may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many tickets are waiting to be used")]
pub struct TooManyTickets;

/// The tickets of this node.
pub struct Tickets {
    own: Origin,
    ttl: Duration,
    max: usize,
    live: Mutex<Live>,
}

#[derive(Default)]
struct Live {
    by_hash: HashMap<TokenHash, (Identity, Instant)>,
    /// All that were given and have not yet expired, used or not, in the order of expiry: its
    /// length bounds the memory.
    given: VecDeque<(Instant, TokenHash)>,
}

impl Tickets {
    /// None yet.
    #[must_use]
    pub fn new(config: &config::Auth, own: Origin) -> Self {
        Self {
            own,
            ttl: Duration::from_secs(config.ticket_ttl_s),
            max: config.tickets_max,
            live: Mutex::default(),
        }
    }

    /// How long a ticket is good.
    #[must_use]
    pub const fn ttl(&self) -> Duration {
        self.ttl
    }

    /// A ticket for whoever `identity` is.
    pub fn give(&self, identity: Identity) -> Result<Ticket, TooManyTickets> {
        let token = self.give_at(identity, Instant::now())?;
        let origin = self.own.clone();
        Ok(Ticket { token, origin })
    }

    /// The node that gives these tickets, in its life.
    #[must_use]
    pub const fn own(&self) -> &Origin {
        &self.own
    }

    /// Uses the ticket of that hash up. None if there is no such ticket, or no longer.
    #[must_use]
    pub fn redeem(&self, ticket: &TokenHash) -> Option<Identity> {
        self.redeem_at(ticket, Instant::now())
    }

    /// Tears up what a session that has ended was given. Walks all live tickets: there are few,
    /// and sessions end rarely.
    pub fn revoke(&self, session: SessionId) {
        self.lock()
            .by_hash
            .retain(|_, (identity, _)| identity.session_id != session);
    }

    fn give_at(&self, identity: Identity, now: Instant) -> Result<Token, TooManyTickets> {
        let mut live = self.lock();
        while let Some(&(expires, hash)) = live.given.front()
            && expires <= now
        {
            live.given.pop_front();
            live.by_hash.remove(&hash);
        }
        if live.given.len() >= self.max {
            return Err(TooManyTickets);
        }
        let (token, expires) = (Token::generate(), now + self.ttl);
        let identity = Identity {
            via: Via::Ticket,
            ..identity
        };
        live.by_hash.insert(token.hash(), (identity, expires));
        live.given.push_back((expires, token.hash()));
        Ok(token)
    }

    fn redeem_at(&self, ticket: &TokenHash, now: Instant) -> Option<Identity> {
        let (identity, expires) = self.lock().by_hash.remove(ticket)?;
        (now < expires).then_some(identity)
    }

    fn lock(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::id::UserId;

    fn tickets(max: usize) -> Tickets {
        Tickets {
            own: Origin {
                node: "node.a-1_b".into(),
                incarnation: 3,
            },
            ttl: Duration::from_secs(30),
            max,
            live: Mutex::default(),
        }
    }

    fn identity() -> Identity {
        Identity {
            user_id: UserId::generate(),
            session_id: SessionId::generate(),
            expires_at: jiff::Timestamp::now(),
            via: Via::Cookie,
        }
    }

    #[test]
    fn a_ticket_is_good_once() {
        let (tickets, ann) = (tickets(10), identity());
        let ticket = tickets.give(ann).unwrap();
        let redeemed = tickets.redeem(&ticket.token.hash()).unwrap();
        assert_eq!((redeemed.user_id, redeemed.via), (ann.user_id, Via::Ticket));
        assert!(tickets.redeem(&ticket.token.hash()).is_none());
        assert!(tickets.redeem(&Token::generate().hash()).is_none());
    }

    #[test]
    fn a_ticket_names_its_node() {
        let ticket = tickets(10).give(identity()).unwrap();
        let text = ticket.reveal();
        assert!(text.ends_with(".3.node.a-1_b"), "{text}");
        assert_eq!(Ticket::parse(&text), Some(ticket.clone()));
        let secret = ticket.token.reveal();
        for bad in [
            "",
            "a.1.b",
            &secret,
            &format!("{secret}."),
            &format!("{secret}.3"),
            &format!("{secret}.3."),
            &format!("{secret}.03.a"),
            &format!("{secret}.x.a"),
            &format!("{secret}.3.a~b"),
            &format!("{secret}.3.{}", "a".repeat(65)),
        ] {
            assert_eq!(Ticket::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_ticket_is_good_for_seconds() {
        let (tickets, now) = (tickets(10), Instant::now());
        let ticket = tickets.give_at(identity(), now).unwrap();
        assert!(
            tickets
                .redeem_at(&ticket.hash(), now + tickets.ttl)
                .is_none()
        );
    }

    #[test]
    fn a_session_that_ends_takes_its_tickets_along() {
        let (tickets, ann, ben) = (tickets(10), identity(), identity());
        let (anns, bens) = (tickets.give(ann).unwrap(), tickets.give(ben).unwrap());
        tickets.revoke(ann.session_id);
        assert!(tickets.redeem(&anns.token.hash()).is_none());
        assert!(tickets.redeem(&bens.token.hash()).is_some());
    }

    #[test]
    fn there_are_never_more_than_may_be() {
        let (tickets, now) = (tickets(2), Instant::now());
        for round in 0..3 {
            let now = now + tickets.ttl * round;
            let first = tickets.give_at(identity(), now).unwrap();
            assert!(tickets.give_at(identity(), now).is_ok());
            // Using one up makes no room before its time: the memory is bounded by what was given.
            assert!(tickets.redeem_at(&first.hash(), now).is_some());
            assert_eq!(tickets.give_at(identity(), now), Err(TooManyTickets));
            assert!(tickets.lock().by_hash.len() <= 2 && tickets.lock().given.len() <= 2);
        }
    }
}
