//! When a connection is pinged, and when it is given up. Pure.

use crate::config;
use crate::protocol::close::Disconnect;

/// Seconds since the worker started: coarse, and four bytes a connection.
pub(crate) type Second = u32;

/// The time-outs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// Nothing heard for this long: ping.
    pub(crate) ping_interval: Second,
    /// Nothing heard for this long after the ping: gone.
    pub(crate) ping_timeout: Second,
    /// No credentials for this long: out.
    pub(crate) auth: Second,
    /// No room and no command for this long: out.
    pub(crate) idle: Second,
    /// The close handshake may take this long.
    pub(crate) close: Second,
}

impl From<&config::WebSocket> for Timeouts {
    fn from(config: &config::WebSocket) -> Self {
        let seconds = |s: u64| Second::try_from(s).unwrap_or(Second::MAX);
        Self {
            ping_interval: seconds(config.ping_interval_s),
            ping_timeout: seconds(config.ping_timeout_s),
            auth: seconds(config.auth_timeout_s),
            idle: seconds(config.idle_timeout_s),
            close: seconds(config.close_timeout_ms.div_ceil(1000)),
        }
    }
}

/// What is known of a connection's life.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Liveness {
    /// When it was opened.
    pub(crate) opened: Second,
    /// When something was last read from it.
    pub(crate) heard: Second,
    /// When it last gave a command.
    pub(crate) commanded: Second,
    /// When it was last pinged, if that is after it was heard.
    pub(crate) pinged: Option<Second>,
    /// When the hub began to close it.
    pub(crate) closing: Option<Second>,
    /// It has shown credentials.
    pub(crate) is_authenticated: bool,
    /// Its protocol has heartbeats, and a time for credentials, of its own.
    pub(crate) has_heartbeats: bool,
    /// When to look whether its session still lasts.
    pub(crate) expires: Option<Second>,
}

/// What to do about a connection now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Care {
    /// Nothing before this time.
    LookAgain(Second),
    /// Send a ping.
    Ping,
    /// Its session may have ended.
    CheckSession,
    /// Begin to close it.
    Close(Disconnect),
    /// End the socket.
    Shut,
}

impl Liveness {
    /// A connection that was opened now.
    pub(crate) fn new(now: Second, is_authenticated: bool) -> Self {
        Self {
            opened: now,
            heard: now,
            commanded: now,
            pinged: None,
            closing: None,
            is_authenticated,
            has_heartbeats: false,
            expires: None,
        }
    }

    /// What to do now. `is_in_room`: it has joined a room.
    pub(crate) fn care(&self, now: Second, is_in_room: bool, timeouts: &Timeouts) -> Care {
        if let Some(since) = self.closing {
            let end = since.saturating_add(timeouts.close.max(1));
            return if now >= end {
                Care::Shut
            } else {
                Care::LookAgain(end)
            };
        }
        let mut next = Second::MAX;
        let mut due = |at: Second| {
            next = next.min(at);
            now >= at
        };
        // Who has heartbeats is in no namespace without credentials, for which its session has a time.
        if !self.is_authenticated
            && !self.has_heartbeats
            && due(self.opened.saturating_add(timeouts.auth))
        {
            return Care::Close(Disconnect::Unauthenticated);
        }
        if self.is_authenticated
            && !is_in_room
            && timeouts.idle > 0
            && due(self.commanded.saturating_add(timeouts.idle))
        {
            return Care::Close(Disconnect::Idle);
        }
        if self.expires.is_some_and(&mut due) {
            return Care::CheckSession;
        }
        match self.pinged {
            _ if self.has_heartbeats => {}
            Some(pinged) => {
                if due(pinged.saturating_add(timeouts.ping_timeout)) {
                    return Care::Close(Disconnect::HeartbeatTimeout);
                }
            }
            None => {
                if due(self.heard.saturating_add(timeouts.ping_interval)) {
                    return Care::Ping;
                }
            }
        }
        Care::LookAgain(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUTS: Timeouts = Timeouts {
        ping_interval: 25,
        ping_timeout: 20,
        auth: 10,
        idle: 300,
        close: 2,
    };

    #[test]
    fn without_credentials_ten_seconds() {
        let life = Liveness::new(100, false);
        assert_eq!(life.care(105, false, &TIMEOUTS), Care::LookAgain(110));
        assert_eq!(
            life.care(110, false, &TIMEOUTS),
            Care::Close(Disconnect::Unauthenticated)
        );
    }

    #[test]
    fn silence_is_pinged_and_then_given_up() {
        let mut life = Liveness::new(0, true);
        assert_eq!(life.care(24, true, &TIMEOUTS), Care::LookAgain(25));
        assert_eq!(life.care(25, true, &TIMEOUTS), Care::Ping);
        life.pinged = Some(25);
        assert_eq!(life.care(44, true, &TIMEOUTS), Care::LookAgain(45));
        assert_eq!(
            life.care(45, true, &TIMEOUTS),
            Care::Close(Disconnect::HeartbeatTimeout)
        );
        life.closing = Some(45);
        assert_eq!(life.care(46, true, &TIMEOUTS), Care::LookAgain(47));
        assert_eq!(life.care(47, true, &TIMEOUTS), Care::Shut);
    }

    #[test]
    fn who_has_heartbeats_is_not_pinged_and_may_be_idle_no_longer_than_others() {
        let mut life = Liveness::new(0, false);
        life.has_heartbeats = true;
        assert_eq!(life.care(200, false, &TIMEOUTS), Care::LookAgain(u32::MAX));
        life.is_authenticated = true;
        assert_eq!(life.care(299, false, &TIMEOUTS), Care::LookAgain(300));
        assert_eq!(
            life.care(300, false, &TIMEOUTS),
            Care::Close(Disconnect::Idle)
        );
    }

    #[test]
    fn a_session_is_looked_at_when_its_end_has_come() {
        let mut life = Liveness::new(0, true);
        life.expires = Some(20);
        assert_eq!(life.care(19, true, &TIMEOUTS), Care::LookAgain(20));
        assert_eq!(life.care(20, true, &TIMEOUTS), Care::CheckSession);
        life.expires = Some(500);
        assert_eq!(life.care(21, true, &TIMEOUTS), Care::LookAgain(25));
    }

    #[test]
    fn whoever_is_in_no_room_and_says_nothing_goes() {
        let mut life = Liveness::new(0, true);
        life.heard = 299;
        assert_eq!(life.care(299, false, &TIMEOUTS), Care::LookAgain(300));
        assert_eq!(
            life.care(300, false, &TIMEOUTS),
            Care::Close(Disconnect::Idle)
        );
        assert_eq!(life.care(300, true, &TIMEOUTS), Care::LookAgain(324));
    }
}
