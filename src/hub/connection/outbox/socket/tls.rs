//! TLS on a socket, by rustls without buffers of its own: what an idle connection keeps is its
//! keys. The bytes pass through buffers that all connections of a thread share.
//!
//! Bounds: of what has been read at most the beginning of one record or of one handshake message
//! is kept, and what one read has brought; of what is to be written at most one record.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, IoSlice};
use std::sync::Arc;

use actix_rt::net::TcpStream;
use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, WriteTraffic};

/// Plain bytes in one record at most, RFC 8446 section 5.1.
const RECORD_BYTES: usize = 16_384;

/// What a record adds to them at most: RFC 5246 section 6.2.3 allows more than RFC 8446.
const RECORD_EXTRA_BYTES: usize = 2048 + 5;

/// Room for what has been read and not understood: records as they come, and a handshake message
/// in several of them. Clients' first messages have some kilobytes.
const INCOMING_BYTES: usize = 2 * RECORD_BYTES;

/// Reads of the socket within one call: who sends records without content is left for later.
const READS: usize = 4;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        incoming: vec![0; INCOMING_BYTES],
        plain: Vec::with_capacity(RECORD_BYTES),
        sealed: vec![0; RECORD_BYTES + RECORD_EXTRA_BYTES],
    });
}

/// The thread's buffers.
struct Scratch {
    incoming: Vec<u8>,
    plain: Vec<u8>,
    sealed: Vec<u8>,
}

/// A socket that speaks TLS.
pub struct TlsSocket {
    tcp: TcpStream,
    state: RefCell<State>,
    /// The peer will send nothing more that counts.
    has_ended: Cell<bool>,
}

struct State {
    tls: UnbufferedServerConnection,
    /// Read, and not yet understood.
    incoming: Vec<u8>,
    /// Understood, and not yet taken; from `taken` on.
    plain: Vec<u8>,
    taken: usize,
    /// To be written; from `sent` on.
    outgoing: Vec<u8>,
    sent: usize,
    has_said_end: bool,
}

impl fmt::Debug for TlsSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSocket")
            .field("tcp", &self.tcp)
            .finish_non_exhaustive()
    }
}

impl TlsSocket {
    /// Does the handshake. How long that may take is the caller's matter. If it fails the peer
    /// has been told why, as far as its socket takes that.
    pub async fn accept(tcp: TcpStream, config: Arc<ServerConfig>) -> io::Result<Self> {
        let socket = Self {
            tcp,
            state: RefCell::new(State {
                tls: UnbufferedServerConnection::new(config).map_err(io::Error::other)?,
                incoming: Vec::new(),
                plain: Vec::new(),
                taken: 0,
                outgoing: Vec::new(),
                sent: 0,
                has_said_end: false,
            }),
            has_ended: Cell::new(false),
        };
        loop {
            let advanced = socket.advance();
            while let Err(error) = socket.try_flush() {
                if error.kind() != io::ErrorKind::WouldBlock {
                    return Err(advanced.err().unwrap_or(error));
                }
                socket.tcp.writable().await?;
            }
            if advanced? {
                return Ok(socket);
            }
            socket.tcp.readable().await?;
        }
    }

    /// Goes on with the handshake as far as it can; whether it is over.
    fn advance(&self) -> io::Result<bool> {
        match self.receive() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
        if !self.state.borrow().tls.is_handshaking() {
            return Ok(true);
        }
        if self.has_ended.get() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(false)
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// The protocol that both sides chose (RFC 7301), if they did.
    #[must_use]
    pub fn speaks(&self, protocol: &[u8]) -> bool {
        self.state.borrow().tls.alpn_protocol() == Some(protocol)
    }

    /// Whether the handshake went on from an earlier one.
    #[must_use]
    pub fn was_resumed(&self) -> bool {
        let kind = self.state.borrow().tls.handshake_kind();
        kind == Some(rustls::HandshakeKind::Resumed)
    }

    /// Whether there is something to read without asking the kernel.
    pub(super) fn has_unread(&self) -> bool {
        !self.state.borrow().plain.is_empty() || self.has_ended.get()
    }

    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.state.borrow().plain.is_empty() && !self.has_ended.get() {
            self.receive()?;
        }
        Ok(self.state.borrow_mut().take(buffer))
    }

    /// Reads until something was understood that is not TLS's own, or the end has come.
    fn receive(&self) -> io::Result<()> {
        let state = &mut *self.state.borrow_mut();
        SCRATCH.with_borrow_mut(|scratch| {
            let buffer = &mut scratch.incoming[..];
            for _ in 0..READS {
                let kept = state.incoming.len();
                if kept == buffer.len() {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "an endless message",
                    ));
                }
                let read = self.tcp.try_read(&mut buffer[kept..])?;
                if read == 0 {
                    // Without a word of TLS it may be a stranger's doing. What is sent over it
                    // says by itself where it ends.
                    self.has_ended.set(true);
                    return Ok(());
                }
                buffer[..kept].copy_from_slice(&state.incoming);
                let understood = state.understand(&mut buffer[..kept + read]);
                // Answers of TLS itself, or what is wrong. If the socket takes no more, the next
                // who writes takes them along.
                let flushed = state.flush_or_keep(&self.tcp);
                let peer_has_closed = understood?;
                flushed?;
                if peer_has_closed {
                    self.has_ended.set(true);
                }
                if peer_has_closed || !state.plain.is_empty() {
                    return Ok(());
                }
            }
            Err(io::ErrorKind::WouldBlock.into())
        })
    }

    pub(super) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let state = &mut *self.state.borrow_mut();
        state.flush(&self.tcp)?;
        SCRATCH.with_borrow_mut(|scratch| {
            let plain = gather(slices, &mut scratch.plain);
            if plain.is_empty() {
                return Ok(0);
            }
            let sealed = &mut scratch.sealed[..];
            let length = state.with_traffic(|traffic| traffic.encrypt(plain, sealed))?;
            // Keys are renewed now and then, which is told before.
            if !state.outgoing.is_empty() {
                state.outgoing.extend_from_slice(&sealed[..length]);
                state.flush_or_keep(&self.tcp)?;
                return Ok(plain.len());
            }
            let written = match self.tcp.try_write(&sealed[..length]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                written => written?,
            };
            state.outgoing.extend_from_slice(&sealed[written..length]);
            Ok(plain.len())
        })
    }

    pub(super) fn try_flush(&self) -> io::Result<()> {
        self.state.borrow_mut().flush(&self.tcp)
    }

    /// Adds `close_notify`, once.
    pub(super) fn say_end(&self) {
        let state = &mut *self.state.borrow_mut();
        if std::mem::replace(&mut state.has_said_end, true) {
            return;
        }
        let mut word = [0; 256];
        // If the handshake is not over there is nothing to end.
        let length = state.with_traffic(|traffic| traffic.queue_close_notify(&mut word));
        if let Ok(length) = length {
            state.outgoing.extend_from_slice(&word[..length]);
        }
    }
}

/// The slices as one, at most as much as goes into a record.
fn gather<'a>(slices: &'a [IoSlice<'_>], plain: &'a mut Vec<u8>) -> &'a [u8] {
    if let [only] = slices {
        return &only[..only.len().min(RECORD_BYTES)];
    }
    plain.clear();
    for slice in slices {
        let room = RECORD_BYTES - plain.len();
        plain.extend_from_slice(&slice[..slice.len().min(room)]);
        if slice.len() >= room {
            break;
        }
    }
    plain
}

impl State {
    /// Gives out what was understood.
    fn take(&mut self, buffer: &mut [u8]) -> usize {
        let unread = &self.plain[self.taken..];
        let length = unread.len().min(buffer.len());
        buffer[..length].copy_from_slice(&unread[..length]);
        self.taken += length;
        if self.taken == self.plain.len() {
            (self.plain, self.taken) = (Vec::new(), 0);
        }
        length
    }

    /// Takes in what was read: what is of the peer's to `plain`, what TLS answers to `outgoing`,
    /// the rest is kept. Whether the peer has said that it sends no more.
    fn understand(&mut self, read: &mut [u8]) -> io::Result<bool> {
        let mut begin = 0;
        let mut peer_has_closed = false;
        let failed = loop {
            let status = self.tls.process_tls_records(&mut read[begin..]);
            let mut discard = status.discard;
            let mut goes_on = true;
            match status.state {
                Err(error) => break Some(error),
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        match record {
                            Ok(record) => {
                                discard += record.discard;
                                self.plain.extend_from_slice(record.payload);
                            }
                            Err(error) => return Err(refused(error)),
                        }
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    encode(&mut self.outgoing, |room| data.encode(room))?;
                }
                // It is in `outgoing`, in its order.
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => peer_has_closed = true,
                Ok(
                    ConnectionState::BlockedHandshake
                    | ConnectionState::WriteTraffic(_)
                    | ConnectionState::Closed,
                ) => goes_on = false,
                // Early data is not asked for.
                Ok(_) => return Err(io::ErrorKind::InvalidData.into()),
            }
            begin += discard;
            if !goes_on {
                break None;
            }
        };
        if let Some(error) = failed {
            self.excuse();
            return Err(refused(error));
        }
        if begin == read.len() {
            self.incoming = Vec::new();
        } else {
            self.incoming.clear();
            self.incoming.extend_from_slice(&read[begin..]);
        }
        Ok(peer_has_closed)
    }

    /// Takes the alert that says what was wrong.
    fn excuse(&mut self) {
        while let Ok(ConnectionState::EncodeTlsData(mut data)) =
            self.tls.process_tls_records(&mut []).state
        {
            if encode(&mut self.outgoing, |room| data.encode(room)).is_err() {
                return;
            }
        }
    }

    /// Encrypts something. What TLS has to say before goes to `outgoing`.
    fn with_traffic(
        &mut self,
        encrypt: impl FnOnce(
            &mut WriteTraffic<'_, rustls::server::ServerConnectionData>,
        ) -> Result<usize, EncryptError>,
    ) -> io::Result<usize> {
        loop {
            // Nothing new has come: what was read is there so that it is found where it was.
            match self.tls.process_tls_records(&mut self.incoming).state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    return encrypt(&mut traffic).map_err(io::Error::other);
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    encode(&mut self.outgoing, |room| data.encode(room))?;
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => {}
                Ok(_) => return Err(io::ErrorKind::NotConnected.into()),
                Err(error) => return Err(refused(error)),
            }
        }
    }

    /// Writes what waits. `WouldBlock` if some of it is left.
    fn flush(&mut self, tcp: &TcpStream) -> io::Result<()> {
        while self.sent < self.outgoing.len() {
            let written = tcp.try_write(&self.outgoing[self.sent..])?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.sent += written;
        }
        if self.sent > 0 {
            (self.outgoing, self.sent) = (Vec::new(), 0);
        }
        Ok(())
    }

    /// As [`State::flush`]; what is left waits.
    fn flush_or_keep(&mut self, tcp: &TcpStream) -> io::Result<()> {
        match self.flush(tcp) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            flushed => flushed,
        }
    }
}

/// Appends what `encode` writes, with as much room as it asks for.
fn encode(
    outgoing: &mut Vec<u8>,
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>,
) -> io::Result<()> {
    let end = outgoing.len();
    let mut room = 1024;
    loop {
        outgoing.resize(end + room, 0);
        match encode(&mut outgoing[end..]) {
            Ok(length) => {
                outgoing.truncate(end + length);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(more)) => room = more.required_size,
            Err(error) => {
                outgoing.truncate(end);
                return Err(io::Error::other(error));
            }
        }
    }
}

fn refused(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
