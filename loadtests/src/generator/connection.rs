//! A client's connection: a raw socket that is never waited for.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};

use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, connect, ipproto, socket_with, sockopt,
};

use super::order::Place;
use crate::frames::{CLOSE, from_client};
use crate::sequence::Sequence;

/// Ports of one address that are used: below those that the kernel gives to others, as it gives
/// nobody a port that was chosen on any address, for a minute after its connection has ended.
const PORTS: std::ops::Range<u32> = 2_000..32_000;

/// Ports that are tried for one connection.
const TRIES: u32 = 30_000;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The handshake is sent.
    Upgrading,
    /// So many replies are waited for until it is open.
    Greeting(u32),
    /// Open, in no room.
    Bare,
    /// A reply is waited for, to `join` or to a probe.
    Asking,
    /// In its room.
    Live,
    /// It has said that it goes.
    Leaving,
}

/// Why a connection is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It was there when the run began, and stays.
    Member,
    /// It came during a run and goes before its end.
    Visitor,
    /// It is opened to see how long that takes.
    Knock,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) phase: Phase,
    pub(super) purpose: Purpose,
    pub(super) place: Place,
    /// What has been received of a frame, or of the answer to the handshake.
    pub(super) partial: Vec<u8>,
    /// What waits until the server takes more.
    out: Vec<u8>,
    /// Whether it is waited for that the server takes more.
    pub(super) waits: bool,
    /// Where the marker was in the last message.
    pub(super) marker_place: u32,
    pub(super) sequence: Sequence,
    /// When it was (meant to be) begun.
    pub(super) begun_ns: u64,
    /// Whether its deliveries are parsed.
    pub(super) sampled: bool,
    /// Which of those that had this index.
    pub(super) life: u32,
}

/// Makes the addresses that connections come from.
#[derive(Debug)]
pub(super) struct Sources {
    net: u8,
    count: u32,
}

impl Sources {
    pub(super) fn new(net: u8) -> Self {
        Self { net, count: 0 }
    }

    fn next(&mut self) -> SocketAddrV4 {
        let per_address = PORTS.end - PORTS.start;
        let (address, port) = (self.count / per_address, self.count % per_address);
        self.count += 1;
        let [.., high, low] = (address + 1).to_be_bytes();
        // Both are in range by the division.
        let port = u16::try_from(PORTS.start + port).unwrap_or(0);
        SocketAddrV4::new(Ipv4Addr::new(127, self.net, high, low), port)
    }

    /// Begins to connect.
    pub(super) fn connect(&mut self, to: SocketAddr) -> io::Result<TcpStream> {
        for _ in 0..TRIES {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let socket = socket_with(
                AddressFamily::INET,
                SocketType::STREAM,
                flags,
                Some(ipproto::TCP),
            )?;
            // A port may still be remembered from the run before.
            sockopt::set_socket_reuseaddr(&socket, true)?;
            sockopt::set_tcp_nodelay(&socket, true)?;
            let begun =
                bind(&socket, &SocketAddr::V4(self.next())).and_then(|()| connect(&socket, &to));
            match begun {
                Ok(()) | Err(rustix::io::Errno::INPROGRESS) => return Ok(socket.into()),
                // Somebody else has this port: the next one.
                Err(rustix::io::Errno::ADDRINUSE | rustix::io::Errno::ADDRNOTAVAIL) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::ErrorKind::AddrNotAvailable.into())
    }
}

impl Connection {
    pub(super) fn new(stream: TcpStream, purpose: Purpose, place: Place, begun_ns: u64) -> Self {
        Self {
            stream,
            phase: Phase::Upgrading,
            purpose,
            place,
            partial: Vec::new(),
            out: Vec::new(),
            waits: false,
            marker_place: 0,
            sequence: Sequence::from_first(),
            begun_ns,
            sampled: false,
            life: 0,
        }
    }

    /// Bytes that wait until the server takes more.
    pub(super) fn waiting(&self) -> usize {
        self.out.len()
    }

    /// Puts bytes among those that the next flush sends.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Sends what the server takes; says whether something is left.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        let mut done = 0;
        while done < self.out.len() {
            match self.stream.write(&self.out[done..]) {
                Ok(count) => done += count,
                Err(error) if not_yet(&error) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if done == self.out.len() {
            // Only who sends again and again keeps a buffer.
            if self.place.sends {
                self.out.clear();
            } else {
                self.out = Vec::new();
            }
        } else {
            self.out.drain(..done);
        }
        Ok(!self.out.is_empty())
    }

    /// Says that it goes.
    pub(super) fn leave(&mut self) -> io::Result<bool> {
        self.phase = Phase::Leaving;
        self.feed(&from_client(CLOSE, &1000_u16.to_be_bytes()));
        self.flush()
    }
}

/// Whether the socket is not ready, or not yet connected.
pub(super) fn not_yet(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected
    )
}
