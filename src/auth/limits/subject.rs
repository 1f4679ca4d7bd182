//! Who is counted, and for what.

use std::net::{IpAddr, Ipv6Addr};

use sha2::{Digest as _, Sha256};

use crate::protocol::id::UserId;

/// What is counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bucket {
    /// Requests that change nothing.
    Reads,
    /// Requests that change something.
    Writes,
    /// Messages and other events, over whatever transport.
    Publishes,
    /// Attempts to log in or register.
    Logins,
    /// New sockets.
    Connects,
}

impl Bucket {
    /// Whether Redis is asked for each request, where there is one: guesses at passwords, and what
    /// is rare. Reads, publishes and connections do not wait for it.
    #[must_use]
    pub const fn is_asked(self) -> bool {
        matches!(self, Self::Logins | Self::Writes)
    }

    /// The name in headers and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Writes => "writes",
            Self::Publishes => "publishes",
            Self::Logins => "logins",
            Self::Connects => "connects",
        }
    }
}

/// Who is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A user, over all their addresses.
    User(UserId),
    /// An address of which nothing more is known.
    Address(IpAddr),
    /// An address from which somebody registers.
    Newcomer(IpAddr),
    /// An address that tries to log in under this name.
    Login {
        /// From where.
        address: IpAddr,
        /// The name or e-mail address, as it was given.
        login: Box<str>,
    },
}

impl Subject {
    /// The key under which it is counted. Whoever has an IPv6 address has 2⁶⁴ of them, so
    /// there the network counts. Names are counted whatever their case.
    pub(super) fn normalised(self) -> Self {
        match self {
            Self::User(_) => self,
            Self::Address(address) => Self::Address(network(address)),
            Self::Newcomer(address) => Self::Newcomer(network(address)),
            Self::Login { address, login } => Self::Login {
                address: network(address),
                login: login.to_lowercase().into(),
            },
        }
    }
}

/// What is counted, under which name.
pub(super) type Key = (Bucket, Subject);

/// The name of a counter in Redis, below the prefix. What somebody tries to log in as does not show.
pub(super) fn name((bucket, subject): &Key) -> String {
    let bucket = bucket.as_str();
    match subject {
        Subject::User(user) => format!("limit:{bucket}:user:{}", user.0.simple()),
        Subject::Address(address) => format!("limit:{bucket}:address:{address}"),
        Subject::Newcomer(address) => format!("limit:{bucket}:newcomer:{address}"),
        Subject::Login { address, login } => {
            let digest = Sha256::digest(login.as_bytes());
            let digest = u128::from_be_bytes(*digest.first_chunk().unwrap_or(&[0; 16]));
            format!("limit:{bucket}:login:{address}:{digest:032x}")
        }
    }
}

/// The address of whom one counts: whoever has an IPv6 address has 2⁶⁴ of them.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}
