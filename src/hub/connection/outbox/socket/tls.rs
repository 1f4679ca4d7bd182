//! TLS on a socket, by rustls without buffers of its own: what an idle connection keeps is its
//! keys. The bytes pass through buffers that all connections of a thread share.
//!
//! Bounds: of what has been read at most the beginning of one record or of one handshake message
//! is kept, and what one read has brought; of what is to be written at most one record.

mod state;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, IoSlice};
use std::sync::Arc;

use actix_rt::net::TcpStream;
use rustls::ServerConfig;

use self::state::State;

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

/// What is left of one while it is of no thread.
pub struct DetachedTls {
    tcp: std::net::TcpStream,
    state: State,
    has_ended: bool,
}

impl fmt::Debug for DetachedTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DetachedTls")
            .field("tcp", &self.tcp)
            .finish_non_exhaustive()
    }
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
            state: RefCell::new(State::new(config)?),
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

    /// Takes it off its thread.
    pub(super) fn detach(self) -> io::Result<DetachedTls> {
        Ok(DetachedTls {
            tcp: self.tcp.into_std()?,
            state: self.state.into_inner(),
            has_ended: self.has_ended.get(),
        })
    }

    /// Gives it to the present thread.
    pub(super) fn attach(detached: DetachedTls) -> io::Result<Self> {
        Ok(Self {
            tcp: TcpStream::from_std(detached.tcp)?,
            state: RefCell::new(detached.state),
            has_ended: Cell::new(detached.has_ended),
        })
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
