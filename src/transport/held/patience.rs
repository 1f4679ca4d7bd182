//! How long a connection may be silent between its requests, and, of HTTP/1, in the middle of the
//! head of one. Pure.
//!
//! actix-http times the head of a connection's first request, and connections of HTTP/1 that are
//! idle. One that has begun a further request, and does not go on, it would keep for ever; one of
//! HTTP/2 for as long as it answers pings.

use std::time::{Duration, Instant};

use crate::config;

/// The patience with one connection.
#[derive(Debug)]
pub(super) struct Patience {
    /// None for HTTP/2, where what is read need not be a head.
    head: Option<Duration>,
    idle: Duration,
    /// Requests that are being answered.
    open: u32,
    /// One has been answered: the first is the dispatcher's.
    has_answered: bool,
    /// The head of a further request has begun.
    is_in_head: bool,
    deadline: Option<Instant>,
}

impl Patience {
    /// The patience of these settings.
    pub(super) fn of(http: &config::Http, is_http2: bool, now: Instant) -> Self {
        // The dispatcher goes first where it notices.
        let idle = Duration::from_secs(http.keep_alive_s + 1);
        if is_http2 {
            return Self::of_http2(idle, now);
        }
        Self::new(Duration::from_millis(http.request_head_timeout_ms), idle)
    }

    /// `idle` is from now on, too: the dispatcher times the handshake alone.
    fn of_http2(idle: Duration, now: Instant) -> Self {
        Self {
            head: None,
            idle,
            open: 0,
            has_answered: true,
            is_in_head: false,
            deadline: Some(now + idle),
        }
    }

    /// `head` is for the head of a request, `idle` for the time between requests.
    fn new(head: Duration, idle: Duration) -> Self {
        Self {
            head: Some(head),
            idle,
            open: 0,
            has_answered: false,
            is_in_head: false,
            deadline: None,
        }
    }

    /// Something was read. While a request is open that is its body, or the beginning of the next
    /// head, which nobody here can tell apart.
    pub(super) fn read(&mut self, now: Instant) {
        if let Some(head) = self.head
            && self.open == 0
            && self.has_answered
            && !self.is_in_head
        {
            self.is_in_head = true;
            self.deadline = Some(now + head);
        }
    }

    /// A head is complete, and its request is being answered.
    pub(super) fn begin(&mut self) {
        self.open += 1;
        self.is_in_head = false;
        self.deadline = None;
    }

    /// A request has been answered to the end. Whether it is the first: from then on there is
    /// something to look at.
    pub(super) fn end(&mut self, now: Instant) -> bool {
        self.open = self.open.saturating_sub(1);
        if self.open == 0 {
            self.deadline = Some(now + self.idle);
        }
        !std::mem::replace(&mut self.has_answered, true)
    }

    /// When to look again, at the latest: none before the first answer.
    pub(super) fn look_again(&self, now: Instant) -> Option<Instant> {
        let next = self.deadline.unwrap_or(now + self.idle);
        self.has_answered.then_some(next)
    }

    /// Whether nothing came for too long.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| now >= deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Duration = Duration::from_secs(5);
    const IDLE: Duration = Duration::from_secs(75);

    #[test]
    fn the_head_of_a_further_request_has_one_time_for_all_of_it() {
        let (mut patience, now) = (Patience::new(HEAD, IDLE), Instant::now());
        let at = |s| now + Duration::from_secs(s);
        patience.read(now);
        assert_eq!(
            patience.look_again(now),
            None,
            "the first is the dispatcher's"
        );
        patience.begin();
        assert!(patience.end(at(1)));
        patience.read(at(10));
        patience.read(at(14));
        assert_eq!(patience.look_again(at(14)), Some(at(15)));
        assert!(!patience.is_over(at(14)) && patience.is_over(at(15)));
        patience.begin();
        assert!(!patience.is_over(at(15)));
        assert!(!patience.end(at(16)), "only the first is said");
    }

    #[test]
    fn what_came_beside_an_answer_is_noticed_when_nothing_follows() {
        let (mut patience, now) = (Patience::new(HEAD, IDLE), Instant::now());
        patience.read(now);
        patience.begin();
        patience.read(now);
        patience.end(now);
        assert_eq!(patience.look_again(now), Some(now + IDLE));
        assert!(patience.is_over(now + IDLE));
        patience.read(now);
        assert_eq!(patience.look_again(now), Some(now + HEAD));
    }

    #[test]
    fn http2_is_idle_from_its_beginning_whatever_else_it_says() {
        let now = Instant::now();
        let at = |s| now + Duration::from_secs(s);
        let mut patience = Patience::of_http2(IDLE, now);
        patience.read(at(1));
        assert_eq!(patience.look_again(at(1)), Some(now + IDLE));
        patience.begin();
        assert!(!patience.is_over(now + 2 * IDLE));
        assert!(!patience.end(at(200)));
        patience.read(at(201));
        assert!(!patience.is_over(at(274)) && patience.is_over(at(275)));
    }

    #[test]
    fn while_a_request_is_answered_there_is_no_hurry() {
        let (mut patience, now) = (Patience::new(HEAD, IDLE), Instant::now());
        patience.begin();
        patience.begin();
        patience.end(now);
        assert!(!patience.is_over(now + 10 * IDLE));
        let later = now + 10 * IDLE;
        assert_eq!(patience.look_again(later), Some(later + IDLE));
        patience.end(later);
        assert!(patience.is_over(later + IDLE));
    }
}
