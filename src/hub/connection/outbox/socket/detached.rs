//! A socket on its way from one thread to another: readiness belongs to a thread's own runtime.

use std::io;

use actix_rt::net::TcpStream;

use super::tls::DetachedTls;
use super::{Socket, TlsSocket};

/// A socket of no thread.
#[derive(Debug)]
pub enum DetachedSocket {
    /// Without anything between it and the peer.
    Plain(std::net::TcpStream),
    /// By TLS.
    Tls(Box<DetachedTls>),
}

impl Socket {
    /// Takes it off its thread.
    pub fn detach(self) -> io::Result<DetachedSocket> {
        Ok(match self {
            Self::Plain(tcp) => DetachedSocket::Plain(tcp.into_std()?),
            Self::Tls(tls) => DetachedSocket::Tls(Box::new(tls.detach()?)),
        })
    }

    /// Gives it to the present thread.
    pub fn attach(socket: DetachedSocket) -> io::Result<Self> {
        Ok(match socket {
            DetachedSocket::Plain(tcp) => Self::Plain(TcpStream::from_std(tcp)?),
            DetachedSocket::Tls(tls) => Self::Tls(Box::new(TlsSocket::attach(*tls)?)),
        })
    }
}
