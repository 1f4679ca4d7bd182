//! The socket of a connection, with TLS on it or without: reads and writes that never wait, and
//! readiness to wait for.
//!
//! The names are those of tokio's `TcpStream`, and mean the same. What TLS adds is below each of
//! them; the one thing that a writer must know is [`Socket::try_flush`].

mod detached;
mod tls;

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_rt::net::TcpStream;
use tokio::io::ReadBuf;

pub use detached::DetachedSocket;
pub use tls::TlsSocket;

/// A socket. It belongs to one thread.
#[derive(Debug)]
pub enum Socket {
    /// Without anything between it and the peer.
    Plain(TcpStream),
    /// By TLS, whose handshake is over.
    Tls(Box<TlsSocket>),
}

impl Socket {
    /// What lies below, for its options. Nothing may be read from it or written to it.
    #[must_use]
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.tcp(),
        }
    }

    /// Whether what is read and written is encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// The other end's address.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.tcp().peer_addr()
    }

    /// Reads what is there; 0 is the end. Fails with `WouldBlock` if there is nothing now.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.try_read(buffer),
            Self::Tls(tls) => tls.try_read(buffer),
        }
    }

    /// As [`Socket::try_read`], into memory that need not have been written before.
    pub fn try_read_buf(&self, buffer: &mut ReadBuf<'_>) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.try_read_buf(buffer),
            Self::Tls(tls) => {
                let read = tls.try_read(buffer.initialize_unfilled())?;
                buffer.advance(read);
                Ok(read)
            }
        }
    }

    /// Takes what it can of the bytes. Fails with `WouldBlock` if it can take none now.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.try_write(bytes),
            Self::Tls(tls) => tls.try_write_vectored(&[IoSlice::new(bytes)]),
        }
    }

    /// As [`Socket::try_write`], of several slices.
    pub fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.try_write_vectored(slices),
            Self::Tls(tls) => tls.try_write_vectored(slices),
        }
    }

    /// Gives the kernel what it did not take of bytes that were written: at most one record of
    /// TLS, nothing without TLS. Fails with `WouldBlock` while some of it is left. Nothing more is
    /// taken before, and nobody else does it: who has nothing more to write must wait for this.
    pub fn try_flush(&self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(tls) => tls.try_flush(),
        }
    }

    /// Ready when [`Socket::try_read`] may find something, or the end.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tls(tls) if tls.has_unread() => Poll::Ready(Ok(())),
            _ => self.tcp().poll_read_ready(cx),
        }
    }

    /// Ready when the kernel may take more.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp().poll_write_ready(cx)
    }

    /// Waits until the kernel may take more.
    pub async fn writable(&self) -> io::Result<()> {
        self.tcp().writable().await
    }

    /// Ends both directions now; what TLS would say at the end is not said.
    pub fn shutdown(&self) -> io::Result<()> {
        socket2::SockRef::from(self.tcp()).shutdown(Shutdown::Both)
    }

    /// As [`Socket::shutdown`], and has the kernel forget what the peer has not read: it would
    /// keep that for a peer that reads nothing, without a file that anybody counts.
    pub fn reset(&self) -> io::Result<()> {
        socket2::SockRef::from(self.tcp()).set_linger(Some(Duration::ZERO))?;
        self.shutdown()
    }

    /// Says that nothing more will be written: by TLS's own word (`close_notify`) first, as far
    /// as the kernel takes it.
    pub fn finish(&self) -> io::Result<()> {
        if let Self::Tls(tls) = self {
            tls.say_end();
            // The peer finds the end of the stream if the kernel takes nothing now.
            tls.try_flush().ok();
        }
        socket2::SockRef::from(self.tcp()).shutdown(Shutdown::Write)
    }

    /// As [`Socket::finish`], and waits until the kernel has taken what is left.
    pub fn poll_finish(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Self::Tls(tls) = self {
            tls.say_end();
            ready!(self.poll_flush(cx))?;
        }
        Poll::Ready(socket2::SockRef::from(self.tcp()).shutdown(Shutdown::Write))
    }

    /// As [`Socket::try_flush`], and waits until it is done.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.try_flush() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.poll_write_ready(cx))?;
                }
                flushed => return Poll::Ready(flushed),
            }
        }
    }
}
