//! Tickets: what a page that cannot set headers on a WebSocket puts into its address.
//!
//! Addresses end up in logs and histories, so a ticket is good once and for seconds. Tickets
//! live in the node that gave them; a node that stops forgets them, and the client asks anew.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::credentials::{Identity, Via};
use super::token::{Token, TokenHash};
use crate::config;
use crate::protocol::id::SessionId;

/// As many tickets were given within their lifetime as may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many tickets are waiting to be used")]
pub struct TooManyTickets;

/// The tickets of this node.
pub struct Tickets {
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
    pub fn new(config: &config::Auth) -> Self {
        Self {
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
    pub fn give(&self, identity: Identity) -> Result<Token, TooManyTickets> {
        self.give_at(identity, Instant::now())
    }

    /// Uses a ticket up. None if there is no such ticket, or no longer.
    #[must_use]
    pub fn redeem(&self, ticket: &Token) -> Option<Identity> {
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

    fn redeem_at(&self, ticket: &Token, now: Instant) -> Option<Identity> {
        let (identity, expires) = self.lock().by_hash.remove(&ticket.hash())?;
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
        let redeemed = tickets.redeem(&ticket).unwrap();
        assert_eq!((redeemed.user_id, redeemed.via), (ann.user_id, Via::Ticket));
        assert!(tickets.redeem(&ticket).is_none());
        assert!(tickets.redeem(&Token::generate()).is_none());
    }

    #[test]
    fn a_ticket_is_good_for_seconds() {
        let (tickets, now) = (tickets(10), Instant::now());
        let ticket = tickets.give_at(identity(), now).unwrap();
        assert!(tickets.redeem_at(&ticket, now + tickets.ttl).is_none());
    }

    #[test]
    fn a_session_that_ends_takes_its_tickets_along() {
        let (tickets, ann, ben) = (tickets(10), identity(), identity());
        let (anns, bens) = (tickets.give(ann).unwrap(), tickets.give(ben).unwrap());
        tickets.revoke(ann.session_id);
        assert!(tickets.redeem(&anns).is_none());
        assert!(tickets.redeem(&bens).is_some());
    }

    #[test]
    fn there_are_never_more_than_may_be() {
        let (tickets, now) = (tickets(2), Instant::now());
        for round in 0..3 {
            let now = now + tickets.ttl * round;
            let first = tickets.give_at(identity(), now).unwrap();
            assert!(tickets.give_at(identity(), now).is_ok());
            // Using one up makes no room before its time: the memory is bounded by what was given.
            assert!(tickets.redeem_at(&first, now).is_some());
            assert_eq!(tickets.give_at(identity(), now), Err(TooManyTickets));
            assert!(tickets.lock().by_hash.len() <= 2 && tickets.lock().given.len() <= 2);
        }
    }
}
