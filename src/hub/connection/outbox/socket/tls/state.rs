//! What rustls knows of a connection, and the bytes on both sides of it.

use std::io;
use std::sync::Arc;

use actix_rt::net::TcpStream;
use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, WriteTraffic};

pub(super) struct State {
    pub(super) tls: UnbufferedServerConnection,
    /// Read, and not yet understood.
    pub(super) incoming: Vec<u8>,
    /// Understood, and not yet taken; from `taken` on.
    pub(super) plain: Vec<u8>,
    taken: usize,
    /// To be written; from `sent` on.
    pub(super) outgoing: Vec<u8>,
    sent: usize,
    pub(super) has_said_end: bool,
    /// What came was none of TLS. rustls knows of places in what was read by then, so it is asked
    /// for nothing more.
    has_failed: bool,
}

impl State {
    pub(super) fn new(config: Arc<ServerConfig>) -> io::Result<Self> {
        Ok(Self {
            tls: UnbufferedServerConnection::new(config).map_err(io::Error::other)?,
            incoming: Vec::new(),
            plain: Vec::new(),
            taken: 0,
            outgoing: Vec::new(),
            sent: 0,
            has_said_end: false,
            has_failed: false,
        })
    }

    /// Gives out what was understood.
    pub(super) fn take(&mut self, buffer: &mut [u8]) -> usize {
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
    pub(super) fn understand(&mut self, read: &mut [u8]) -> io::Result<bool> {
        let processed = self.process(read);
        self.has_failed = processed.is_err();
        let (begin, peer_has_closed) = processed?;
        if begin == read.len() {
            self.incoming = Vec::new();
        } else {
            self.incoming.clear();
            self.incoming.extend_from_slice(&read[begin..]);
        }
        Ok(peer_has_closed)
    }

    /// Where in what was read the part begins that is to be kept, and whether the peer has said
    /// that it sends no more.
    fn process(&mut self, read: &mut [u8]) -> io::Result<(usize, bool)> {
        let mut begin = 0;
        let mut peer_has_closed = false;
        loop {
            let status = self.tls.process_tls_records(&mut read[begin..]);
            let mut discard = status.discard;
            match status.state {
                Err(error) => {
                    self.excuse(&mut read[begin + discard..]);
                    return Err(refused(error));
                }
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(refused)?;
                        discard += record.discard;
                        self.plain.extend_from_slice(record.payload);
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
                ) => return Ok((begin + discard, peer_has_closed)),
                // Early data is not asked for.
                Ok(_) => return Err(io::ErrorKind::InvalidData.into()),
            }
            begin += discard;
        }
    }

    /// Takes the alert that says what was wrong, if there is one: it comes first. `read` is what is
    /// left of what was read, and still has what rustls knows of a message that was not complete.
    fn excuse(&mut self, read: &mut [u8]) {
        if let Ok(ConnectionState::EncodeTlsData(mut data)) =
            self.tls.process_tls_records(read).state
        {
            // Nobody is told more than that the connection has ended.
            encode(&mut self.outgoing, |room| data.encode(room)).ok();
        }
    }

    /// Encrypts something. What TLS has to say before goes to `outgoing`.
    pub(super) fn with_traffic(
        &mut self,
        encrypt: impl FnOnce(
            &mut WriteTraffic<'_, rustls::server::ServerConnectionData>,
        ) -> Result<usize, EncryptError>,
    ) -> io::Result<usize> {
        while !self.has_failed {
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
                Err(error) => {
                    self.has_failed = true;
                    return Err(refused(error));
                }
            }
        }
        Err(io::ErrorKind::NotConnected.into())
    }

    /// Writes what waits. `WouldBlock` if some of it is left.
    pub(super) fn flush(&mut self, tcp: &TcpStream) -> io::Result<()> {
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
    pub(super) fn flush_or_keep(&mut self, tcp: &TcpStream) -> io::Result<()> {
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
