//! What a connection may ask for in the state that it is in. Pure.

use crate::protocol::close::Disconnect;
use crate::protocol::command::Command;
use crate::protocol::error::{ErrorCode, Refusal};

/// So many requests in a row that cannot be read, and the connection is closed.
const BAD_REQUESTS_MAX: u32 = 1000;

/// What becomes of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It is run.
    Run,
    /// It waits until one of the publishes before it is answered, and what comes after it waits
    /// with it: refusing one and taking the next would turn their order around.
    Wait,
    /// It is answered with this.
    Refuse(Refusal),
}

/// Bounds of a session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionLimits {
    /// Rooms joined at once.
    pub(crate) max_rooms: usize,
    /// Publishes on their way at once.
    pub(crate) max_inflight: usize,
}

/// How a connection stands when a command comes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Situation {
    /// It has shown credentials.
    pub(crate) is_authenticated: bool,
    /// The node is telling its clients to move.
    pub(crate) is_draining: bool,
    /// It is this connection's turn to move.
    pub(crate) is_leaving: bool,
    /// Publishes on their way.
    pub(crate) inflight: usize,
}

/// The session of a connection.
#[derive(Debug)]
pub(crate) struct Session {
    limits: SessionLimits,
    bad_requests: u32,
}

impl Session {
    pub(crate) fn new(limits: SessionLimits) -> Self {
        Self {
            limits,
            bad_requests: 0,
        }
    }

    /// The bounds.
    pub(crate) fn limits(&self) -> SessionLimits {
        self.limits
    }

    /// A request could not be read: whether that was one too many.
    pub(crate) fn note_bad_request(&mut self) -> Option<Disconnect> {
        self.bad_requests += 1;
        (self.bad_requests >= BAD_REQUESTS_MAX).then_some(Disconnect::Abuse)
    }

    /// What becomes of a command now.
    pub(crate) fn admit(&mut self, command: &Command, now: Situation) -> Admission {
        self.bad_requests = 0;
        if !now.is_authenticated && !matches!(command, Command::AuthRefresh { .. }) {
            return Admission::Refuse(Refusal::new(
                ErrorCode::Unauthenticated,
                "send auth.refresh with a session's token first",
            ));
        }
        if now.is_leaving {
            return Admission::Refuse(going());
        }
        match command {
            Command::Join { .. } | Command::Resume { .. } if now.is_draining => {
                Admission::Refuse(going())
            }
            Command::Publish { .. }
            | Command::Emit { .. }
            | Command::Change { .. }
            | Command::Read { .. }
                if now.inflight >= self.limits.max_inflight =>
            {
                Admission::Wait
            }
            _ => Admission::Run,
        }
    }
}

fn going() -> Refusal {
    Refusal::new(
        ErrorCode::Unavailable,
        "this node is shutting down; reconnect to another",
    )
}

/// Whether a connection that is in `rooms` rooms may join one more.
pub(crate) fn admit_room(rooms: usize, limits: SessionLimits) -> Result<(), Refusal> {
    if rooms < limits.max_rooms {
        return Ok(());
    }
    Err(Refusal::new(
        ErrorCode::TooManyRooms,
        format!("a connection may join at most {} rooms", limits.max_rooms),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::id::{RoomId, RoomRef};

    const CALM: Situation = Situation {
        is_authenticated: true,
        is_draining: false,
        is_leaving: false,
        inflight: 0,
    };

    const LIMITS: SessionLimits = SessionLimits {
        max_rooms: 2,
        max_inflight: 3,
    };

    fn session() -> Session {
        Session::new(LIMITS)
    }

    fn room() -> RoomRef {
        RoomRef::Id(RoomId::generate())
    }

    fn join() -> Command {
        Command::Join {
            room: room(),
            since: None,
            epoch: None,
        }
    }

    fn publish() -> Command {
        Command::Publish {
            room: room(),
            body: "x".into(),
            client_id: "c".into(),
            thread: None,
            mentions: Vec::new(),
        }
    }

    fn admit(command: &Command, now: Situation) -> Admission {
        session().admit(command, now)
    }

    fn code(command: &Command, now: Situation) -> Option<ErrorCode> {
        match admit(command, now) {
            Admission::Refuse(refusal) => Some(refusal.code),
            Admission::Run | Admission::Wait => None,
        }
    }

    #[test]
    fn without_credentials_only_auth_refresh() {
        let stranger = Situation {
            is_authenticated: false,
            ..CALM
        };
        for command in [join(), publish(), Command::Ping] {
            assert_eq!(code(&command, stranger), Some(ErrorCode::Unauthenticated));
        }
        let refresh = Command::AuthRefresh { token: "t".into() };
        assert_eq!(admit(&refresh, stranger), Admission::Run);
    }

    #[test]
    fn publishes_on_their_way_are_bounded_and_the_rest_waits() {
        let with = |inflight| Situation { inflight, ..CALM };
        assert_eq!(admit(&publish(), with(2)), Admission::Run);
        assert_eq!(admit(&publish(), with(3)), Admission::Wait);
        assert_eq!(admit(&Command::Ping, with(3)), Admission::Run);
    }

    #[test]
    fn rooms_are_bounded() {
        assert_eq!(admit_room(1, LIMITS), Ok(()));
        let refused = admit_room(2, LIMITS).unwrap_err();
        assert_eq!(refused.code, ErrorCode::TooManyRooms);
    }

    #[test]
    fn a_draining_node_takes_no_joins_and_still_publishes() {
        let draining = Situation {
            is_draining: true,
            ..CALM
        };
        assert_eq!(code(&join(), draining), Some(ErrorCode::Unavailable));
        assert_eq!(admit(&publish(), draining), Admission::Run);
        let leaving = Situation {
            is_leaving: true,
            ..draining
        };
        assert_eq!(code(&publish(), leaving), Some(ErrorCode::Unavailable));
    }

    #[test]
    fn nonsense_without_end_is_abuse_and_one_good_request_forgives() {
        let mut session = session();
        for _ in 1..BAD_REQUESTS_MAX {
            assert_eq!(session.note_bad_request(), None);
        }
        assert_eq!(session.admit(&Command::Ping, CALM), Admission::Run);
        assert_eq!(session.note_bad_request(), None);
        for _ in 2..BAD_REQUESTS_MAX {
            assert_eq!(session.note_bad_request(), None);
        }
        assert_eq!(session.note_bad_request(), Some(Disconnect::Abuse));
    }
}
