//! The event loop: accepts, reads, writes to the members of a room.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::websocket::{self, MAX_PAYLOAD_BYTES, Received};

/// The listener's; a connection's is its place in the slab.
const LISTENER: Token = Token(usize::MAX);
/// What may wait for a client that does not read; then its connection is ended.
const MAX_UNSENT_BYTES: usize = 4 << 20;
/// One buffer that everybody reads into.
const SCRATCH_BYTES: usize = 64 * 1024;

struct Connection {
    stream: TcpStream,
    /// The index of its room, once it has one.
    room: Option<u32>,
    /// The beginning of what has not come whole.
    unread: Vec<u8>,
    /// What the kernel did not take.
    unsent: Vec<u8>,
}

/// Why a connection is over.
enum End {
    Closed,
    Refused(&'static str),
    Broken(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

struct Server {
    poll: Poll,
    listener: TcpListener,
    connections: Slab<Connection>,
    rooms: HashMap<String, u32>,
    /// Who is in each room.
    members: Vec<Vec<usize>>,
    scratch: Vec<u8>,
    /// The frame that is being written to everybody.
    frame: Vec<u8>,
    /// That a connection broke has been told.
    has_broken: bool,
}

/// Serves until the process ends.
pub(crate) fn run(port: u16) -> io::Result<()> {
    let poll = Poll::new()?;
    let mut listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port).into())?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("listening on {}", listener.local_addr()?);
    let mut server = Server {
        poll,
        listener,
        connections: Slab::new(),
        rooms: HashMap::new(),
        members: Vec::new(),
        scratch: vec![0; SCRATCH_BYTES],
        frame: Vec::new(),
        has_broken: false,
    };
    let mut events = Events::with_capacity(1024);
    loop {
        match server.poll.poll(&mut events, None) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &events {
            if event.token() == LISTENER {
                server.accept();
                continue;
            }
            let Token(id) = event.token();
            let mut outcome = Ok(());
            if event.is_writable() {
                outcome = server.flush(id);
            }
            if outcome.is_ok() && event.is_readable() {
                outcome = server.read(id);
            }
            if let Err(end) = outcome {
                server.remove(id, &end);
            }
        }
    }
}

impl Server {
    fn accept(&mut self) {
        // Edge-triggered: until there is nobody left.
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    if let Err(error) = self.insert(stream) {
                        eprintln!("a connection could not be registered: {error}");
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    eprintln!("accepting failed: {error}");
                    return;
                }
            }
        }
    }

    fn insert(&mut self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let entry = self.connections.vacant_entry();
        let interest = Interest::READABLE | Interest::WRITABLE;
        let token = Token(entry.key());
        self.poll
            .registry()
            .register(&mut stream, token, interest)?;
        entry.insert(Connection {
            stream,
            room: None,
            unread: Vec::new(),
            unsent: Vec::new(),
        });
        Ok(())
    }

    fn remove(&mut self, id: usize, end: &End) {
        let Some(mut connection) = self.connections.try_remove(id) else {
            return;
        };
        match end {
            End::Refused(why) => eprintln!("a connection is ended: {why}"),
            // Generators end theirs by a reset: one line says that it happens.
            End::Broken(error) if !self.has_broken => {
                self.has_broken = true;
                eprintln!("a connection broke: {error}; later ones are not told");
            }
            End::Broken(_) => {}
            End::Closed => {}
        }
        if let Some(room) = connection.room {
            self.members[room as usize].retain(|member| *member != id);
        }
        // The descriptor's end does both by itself; what fails here has failed before.
        let _ = self.poll.registry().deregister(&mut connection.stream);
        let _ = connection.stream.shutdown(Shutdown::Both);
    }

    fn read(&mut self, id: usize) -> Result<(), End> {
        // Taken, so that the others can be written to while it is looked at.
        let mut scratch = std::mem::take(&mut self.scratch);
        let outcome = self.read_all(id, &mut scratch);
        self.scratch = scratch;
        outcome
    }

    fn read_all(&mut self, id: usize, scratch: &mut [u8]) -> Result<(), End> {
        loop {
            let Some(connection) = self.connections.get_mut(id) else {
                return Ok(());
            };
            let read = match connection.stream.read(scratch) {
                Ok(0) => return Err(End::Closed),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let mut unread = std::mem::take(&mut connection.unread);
            if unread.is_empty() {
                let taken = self.take(id, &scratch[..read])?;
                unread.extend_from_slice(&scratch[taken..read]);
            } else {
                unread.extend_from_slice(&scratch[..read]);
                let taken = self.take(id, &unread)?;
                unread.drain(..taken);
            }
            if unread.len() > MAX_PAYLOAD_BYTES + SCRATCH_BYTES {
                return Err(End::Refused("too much is waiting to be read"));
            }
            // Nothing is kept for those of whom nothing waits.
            if let Some(connection) = self.connections.get_mut(id)
                && !unread.is_empty()
            {
                connection.unread = unread;
            }
        }
    }

    /// Does what these bytes ask for, and answers how many of them are done with.
    fn take(&mut self, id: usize, bytes: &[u8]) -> Result<usize, End> {
        let mut taken = 0;
        if self.connections[id].room.is_none() {
            let Some(handshake) = websocket::handshake(bytes).map_err(End::Refused)? else {
                return Ok(0);
            };
            let next = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
            let room = *self.rooms.entry(handshake.room).or_insert(next);
            if room == next {
                self.members.push(Vec::new());
            }
            self.connections[id].room = Some(room);
            self.write(id, handshake.answer.as_bytes())?;
            self.members[room as usize].push(id);
            taken = handshake.length;
        }
        let mut frame = std::mem::take(&mut self.frame);
        while let Some((length, received)) =
            websocket::receive(&bytes[taken..], &mut frame).map_err(End::Refused)?
        {
            taken += length;
            match received {
                Received::Message => self.broadcast(id, &frame),
                Received::Ping => self.write(id, &frame)?,
                Received::Nothing => {}
                Received::Close => {
                    self.write(id, &frame)?;
                    return Err(End::Closed);
                }
            }
        }
        self.frame = frame;
        Ok(taken)
    }

    fn broadcast(&mut self, sender: usize, frame: &[u8]) {
        // It may be gone: a write of the message before this one failed.
        let Some(room) = self.connections.get(sender).and_then(|it| it.room) else {
            return;
        };
        let mut ended = Vec::new();
        for at in 0..self.members[room as usize].len() {
            let member = self.members[room as usize][at];
            if let Err(end) = self.write(member, frame) {
                ended.push((member, end));
            }
        }
        for (member, end) in ended {
            self.remove(member, &end);
        }
    }

    /// One `write`; what the kernel does not take is kept.
    fn write(&mut self, id: usize, bytes: &[u8]) -> Result<(), End> {
        let Some(connection) = self.connections.get_mut(id) else {
            return Ok(());
        };
        let written = if connection.unsent.is_empty() {
            match connection.stream.write(bytes) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error.into()),
            }
        } else {
            0
        };
        if written < bytes.len() {
            connection.unsent.extend_from_slice(&bytes[written..]);
            if connection.unsent.len() > MAX_UNSENT_BYTES {
                return Err(End::Refused("its client does not read"));
            }
        }
        Ok(())
    }

    /// Writes what was kept, as far as the kernel takes it.
    fn flush(&mut self, id: usize) -> Result<(), End> {
        let Some(connection) = self.connections.get_mut(id) else {
            return Ok(());
        };
        let mut sent = 0;
        while sent < connection.unsent.len() {
            match connection.stream.write(&connection.unsent[sent..]) {
                Ok(written) => sent += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        connection.unsent.drain(..sent);
        if connection.unsent.is_empty() {
            connection.unsent = Vec::new();
        }
        Ok(())
    }
}
