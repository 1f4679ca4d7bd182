//! Frames of a client → messages, incrementally (RFC 6455 §5 and §6.2).
//!
//! A connection that has nothing half-received costs the [`Decoder`] alone, which holds no
//! buffer. Bytes are read into a buffer that a thread shares; a frame that is whole in there is
//! unmasked in place and handed out without a copy. What is not whole is kept here until the
//! rest comes, and given back to the allocator when the message has been handed out.

use super::close_frame::CloseFrame;
use super::frame_error::FrameError;
use super::header::{CLIENT_HEADER_MAX_BYTES, Header, Opcode};
use super::mask;
use super::utf8;
use pending::{Payload, Pending};

mod pending;

/// What a client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A message of text, complete.
    Text(&'a str),
    /// A message of bytes, complete.
    Binary(&'a [u8]),
    /// To be answered by a pong with the same bytes.
    Ping(&'a [u8]),
    /// The answer to a ping.
    Pong(&'a [u8]),
    /// The client closes; nothing after it is looked at.
    Close(Option<CloseFrame<'a>>),
}

impl Incoming<'_> {
    /// The length of what it carries, bytes; 0 for a close frame.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) | Self::Ping(bytes) | Self::Pong(bytes) => bytes.len(),
            Self::Close(_) => 0,
        }
    }

    /// Whether it carries nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What was read from a socket, and how much of it has been decoded.
#[derive(Debug)]
pub struct Input<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl<'a> Input<'a> {
    /// What was read. The bytes are unmasked in place, hence `mut`.
    #[must_use]
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Nothing was read: decode what was [stashed](Decoder::stash).
    #[must_use]
    pub fn empty() -> Self {
        Self::new(&mut [])
    }

    /// What has not been decoded.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }
}

/// The receiving side of one connection.
///
/// ```
/// # use hubbub::protocol::websocket::decode::{Decoder, Incoming, Input};
/// # use hubbub::protocol::websocket::frame_error::FrameError;
/// # fn main() -> Result<(), FrameError> {
/// # let mut scratch = [0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];
/// let mut decoder = Decoder::new(65_536);
/// let mut input = Input::new(&mut scratch);
/// while let Some(incoming) = decoder.next(&mut input)? {
///     assert_eq!(incoming, Incoming::Text("hi"));
///     // To stop here and go on later: `decoder.stash(input)`, then, before anything else is
///     // read, `decoder.next(&mut Input::empty())`.
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Decoder {
    max_message_bytes: usize,
    closed: bool,
    pending: Option<Box<Pending>>,
}

/// Where something complete lies.
#[derive(Clone, Copy, Debug)]
enum Found {
    /// In the bytes just looked at.
    InPlace {
        opcode: Opcode,
        start: usize,
        end: usize,
    },
    /// In [`Pending::message`].
    Message(Opcode),
    /// In [`Pending::control`].
    Control(Opcode),
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Stash,
    Input,
}

impl Decoder {
    /// A decoder that refuses messages over a limit; it looks at lengths before it allocates.
    #[must_use]
    pub fn new(max_message_bytes: usize) -> Self {
        Self {
            max_message_bytes,
            closed: false,
            pending: None,
        }
    }

    /// The next message or control frame; none when all has been decoded. Call it until then, or
    /// until [`stash`](Self::stash): buffers are given back by the call after the one that
    /// handed them out. What was stashed comes before `input`.
    ///
    /// After an error, or after a close frame, there is nothing more: the rest is discarded.
    pub fn next<'a>(
        &'a mut self,
        input: &'a mut Input<'_>,
    ) -> Result<Option<Incoming<'a>>, FrameError> {
        let found = match self.find(input) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(error) => {
                self.close();
                return Err(error);
            }
        };
        let result = Self::incoming(self.pending.as_deref(), input.bytes, found);
        if !matches!(
            result,
            Ok(Incoming::Text(_) | Incoming::Binary(_) | Incoming::Ping(_) | Incoming::Pong(_))
        ) {
            self.closed = true;
        }
        result.map(Some)
    }

    /// Keeps what `input` has left for later. Whoever does so decodes it before reading more;
    /// so what is kept is never more than one read.
    pub fn stash(&mut self, input: Input<'_>) {
        self.release();
        let Input { bytes, at } = input;
        let rest = bytes.get(at..).unwrap_or_default();
        if self.closed || rest.is_empty() {
            return;
        }
        self.pending.get_or_insert_default().stash(rest);
    }

    /// Whether something is stashed: if so, decode it before waiting for the socket.
    #[must_use]
    pub fn has_stashed(&self) -> bool {
        !self.closed && self.pending.as_ref().is_some_and(|it| it.has_stashed())
    }

    /// How much memory is held beyond the decoder itself, bytes: none when nothing is
    /// half-received.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.pending.as_ref().map_or(0, |it| it.held_bytes())
    }

    fn incoming<'a>(
        pending: Option<&'a Pending>,
        input: &'a [u8],
        (source, found): (Source, Found),
    ) -> Result<Incoming<'a>, FrameError> {
        let (opcode, bytes) = match found {
            Found::InPlace { opcode, start, end } => {
                let bytes = match source {
                    Source::Stash => pending.map(|it| it.stash.as_slice()).unwrap_or_default(),
                    Source::Input => input,
                };
                (opcode, bytes.get(start..end).unwrap_or_default())
            }
            Found::Message(opcode) => {
                let message = pending.and_then(|it| it.message.as_ref());
                let bytes = message.map(|it| it.bytes.as_slice());
                (opcode, bytes.unwrap_or_default())
            }
            Found::Control(opcode) => {
                let bytes = pending.map(|it| it.control.as_slice());
                (opcode, bytes.unwrap_or_default())
            }
        };
        Ok(match opcode {
            Opcode::Text => Incoming::Text(utf8::text(bytes)?),
            Opcode::Binary | Opcode::Continuation => Incoming::Binary(bytes),
            Opcode::Ping => Incoming::Ping(bytes),
            Opcode::Pong => Incoming::Pong(bytes),
            Opcode::Close => Incoming::Close(CloseFrame::parse(bytes)?),
        })
    }

    /// Looks into the stash, then into the input.
    fn find(&mut self, input: &mut Input<'_>) -> Result<Option<(Source, Found)>, FrameError> {
        self.release();
        if self.closed {
            input.at = input.bytes.len();
            return Ok(None);
        }
        if let Some(pending) = &mut self.pending
            && pending.has_stashed()
        {
            let mut stash = std::mem::take(&mut pending.stash);
            let mut at = pending.stash_at;
            let found = self.scan(&mut stash, &mut at)?;
            let pending = self.pending.get_or_insert_default();
            pending.stash = stash;
            pending.stash_at = at;
            if let Some(found) = found {
                return Ok(Some((Source::Stash, found)));
            }
        }
        let found = self.scan(input.bytes, &mut input.at)?;
        if found.is_none() {
            self.release();
        }
        Ok(found.map(|found| (Source::Input, found)))
    }

    /// Decodes `source` from `at` until something is complete or all has been taken.
    fn scan(&mut self, source: &mut [u8], at: &mut usize) -> Result<Option<Found>, FrameError> {
        loop {
            if let Some(pending) = &mut self.pending {
                match pending.take(source, at, self.max_message_bytes)? {
                    Payload::Complete(found) => return Ok(Some(found)),
                    Payload::Incomplete => return Ok(None),
                    Payload::NoFrame => {}
                }
            }
            let Some(header) = self.header(source, at)? else {
                return Ok(None);
            };
            let len = self.admit(&header)?;
            let in_one_frame = header.fin && header.opcode != Opcode::Continuation;
            if in_one_frame && len <= source.len() - *at {
                let start = *at;
                let end = start + len;
                mask::apply(header.mask, &mut source[start..end]);
                *at = end;
                return Ok(Some(Found::InPlace {
                    opcode: header.opcode,
                    start,
                    end,
                }));
            }
            self.pending.get_or_insert_default().open(&header, len);
        }
    }

    /// Reads a header, keeping the beginning of one that is not all there.
    fn header(&mut self, source: &[u8], at: &mut usize) -> Result<Option<Header>, FrameError> {
        let message = self.pending.as_ref().and_then(|it| it.message.as_ref());
        let max_bytes = self.max_message_bytes;
        let room = max_bytes.saturating_sub(message.map_or(0, |message| message.bytes.len()));
        let open = source.get(*at..).unwrap_or_default();
        let begun = self.pending.as_ref().map_or(0, |it| it.head_len);
        if begun == 0
            && let Some((header, len)) = Header::parse(open, room, max_bytes)?
        {
            *at += len;
            return Ok(Some(header));
        }
        if open.is_empty() {
            return Ok(None);
        }
        let pending = self.pending.get_or_insert_default();
        let there = (begun + open.len()).min(CLIENT_HEADER_MAX_BYTES);
        pending.head[begun..there].copy_from_slice(&open[..there - begun]);
        if let Some((header, len)) = Header::parse(&pending.head[..there], room, max_bytes)? {
            // Not less than `begun`: those bytes alone were no header.
            *at += len - begun;
            pending.head_len = 0;
            return Ok(Some(header));
        }
        pending.head_len = there;
        *at = source.len();
        Ok(None)
    }

    /// Checks a frame against the message under way and the limit; gives its payload's length.
    fn admit(&self, header: &Header) -> Result<usize, FrameError> {
        let message = self.pending.as_ref().and_then(|it| it.message.as_ref());
        let before = match (header.opcode, message) {
            (Opcode::Continuation, None) => return Err(FrameError::UnexpectedContinuation),
            (Opcode::Text | Opcode::Binary, Some(_)) => {
                return Err(FrameError::ExpectedContinuation);
            }
            (Opcode::Continuation, Some(message)) => message.bytes.len(),
            _ => 0,
        };
        let max_bytes = self.max_message_bytes;
        match usize::try_from(header.len) {
            Ok(len) if header.opcode.is_control() || len <= max_bytes.saturating_sub(before) => {
                Ok(len)
            }
            _ => Err(FrameError::TooBig { max_bytes }),
        }
    }

    /// Gives back what was handed out, and everything if nothing is half-received.
    fn release(&mut self) {
        if self.pending.as_mut().is_some_and(|it| it.release()) {
            self.pending = None;
        }
    }

    fn close(&mut self) {
        self.closed = true;
        self.pending = None;
    }
}

#[cfg(test)]
mod tests;
