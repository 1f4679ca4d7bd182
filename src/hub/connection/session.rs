//! What a connection may ask for in the state that it is in. Pure.

use crate::protocol::close::Disconnect;
use crate::protocol::command::Command;
use crate::protocol::error::{ErrorCode, Refusal};

/// So many requests in a row that cannot be read, and the connection is closed.
const BAD_REQUESTS_MAX: u32 = 100;

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
    /// Rooms joined.
    pub(crate) rooms: usize,
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

    /// A request could not be read: whether that was one too many.
    pub(crate) fn note_bad_request(&mut self) -> Option<Disconnect> {
        self.bad_requests += 1;
        (self.bad_requests >= BAD_REQUESTS_MAX).then_some(Disconnect::Abuse)
    }

    /// Whether a command may be tried.
    pub(crate) fn admit(&mut self, command: &Command, now: Situation) -> Result<(), Refusal> {
        self.bad_requests = 0;
        if !now.is_authenticated && !matches!(command, Command::AuthRefresh { .. }) {
            return Err(Refusal::new(
                ErrorCode::Unauthenticated,
                "send auth.refresh with a session's token first",
            ));
        }
        match command {
            Command::Join { .. } if now.is_draining => Err(Refusal::new(
                ErrorCode::Unavailable,
                "this node is shutting down; reconnect to another",
            )),
            Command::Join { .. } if now.rooms >= self.limits.max_rooms => Err(Refusal::new(
                ErrorCode::TooManyRooms,
                format!(
                    "a connection may join at most {} rooms",
                    self.limits.max_rooms
                ),
            )),
            Command::Publish { .. } | Command::Emit { .. }
                if now.inflight >= self.limits.max_inflight =>
            {
                Err(Refusal::new(
                    ErrorCode::Overloaded,
                    format!(
                        "at most {} publishes of a connection may wait for their acks",
                        self.limits.max_inflight
                    ),
                ))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::id::{RoomId, RoomRef};

    const CALM: Situation = Situation {
        is_authenticated: true,
        is_draining: false,
        rooms: 0,
        inflight: 0,
    };

    fn session() -> Session {
        Session::new(SessionLimits {
            max_rooms: 2,
            max_inflight: 3,
        })
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
        }
    }

    fn code(command: &Command, now: Situation) -> Option<ErrorCode> {
        session().admit(command, now).err().map(|it| it.code)
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
        assert_eq!(code(&refresh, stranger), None);
    }

    #[test]
    fn rooms_and_publishes_are_bounded() {
        let at = |rooms, inflight| Situation {
            rooms,
            inflight,
            ..CALM
        };
        assert_eq!(code(&join(), at(1, 0)), None);
        assert_eq!(code(&join(), at(2, 0)), Some(ErrorCode::TooManyRooms));
        assert_eq!(code(&publish(), at(2, 2)), None);
        assert_eq!(code(&publish(), at(2, 3)), Some(ErrorCode::Overloaded));
        assert_eq!(code(&Command::Ping, at(2, 3)), None);
    }

    #[test]
    fn a_draining_node_takes_no_joins_and_still_publishes() {
        let draining = Situation {
            is_draining: true,
            ..CALM
        };
        assert_eq!(code(&join(), draining), Some(ErrorCode::Unavailable));
        assert_eq!(code(&publish(), draining), None);
    }

    #[test]
    fn nonsense_without_end_is_abuse_and_one_good_request_forgives() {
        let mut session = session();
        for _ in 1..BAD_REQUESTS_MAX {
            assert_eq!(session.note_bad_request(), None);
        }
        session.admit(&Command::Ping, CALM).unwrap();
        assert_eq!(session.note_bad_request(), None);
        for _ in 2..BAD_REQUESTS_MAX {
            assert_eq!(session.note_bad_request(), None);
        }
        assert_eq!(session.note_bad_request(), Some(Disconnect::Abuse));
    }
}
