//! Frames of a client → messages, incrementally (RFC 6455 §5 and §6.2).
//!
//! A connection that has nothing half-received costs the [`Decoder`] alone, which holds no
//! buffer. Bytes are read into a buffer that a thread shares; a frame that is whole in there is
//! unmasked in place and handed out without a copy. What is not whole is kept here until the
//! rest comes, and given back to the allocator when the message has been handed out.

use super::close_frame::CloseFrame;
use super::frame_error::FrameError;
use super::header::{Allowed, Begun, CLIENT_HEADER_MAX_BYTES, Header, Opcode};
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
    /// A message that is compressed: an [`Inflater`](super::deflate::Inflater) gives the one that
    /// it is.
    Deflated(Deflated<'a>),
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
            Self::Deflated(deflated) => deflated.bytes.len(),
            Self::Close(_) => 0,
        }
    }

    /// Whether it carries nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A compressed message, complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deflated<'a> {
    /// Text or binary.
    pub(super) opcode: Opcode,
    pub(super) bytes: &'a [u8],
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
    deflate: bool,
    closed: bool,
    pending: Option<Box<Pending>>,
}

/// Where something complete lies.
#[derive(Clone, Copy, Debug)]
enum Found {
    /// In the bytes just looked at.
    InPlace {
        opcode: Opcode,
        is_deflated: bool,
        start: usize,
        end: usize,
    },
    /// In [`Pending::message`].
    Message { opcode: Opcode, is_deflated: bool },
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
            deflate: false,
            closed: false,
            pending: None,
        }
    }

    /// As [`new`](Self::new), where permessage-deflate was agreed on. The limit is that of a
    /// message before it was compressed; whoever inflates it has to keep it, too.
    #[must_use]
    pub fn with_deflate(max_message_bytes: usize) -> Self {
        Self {
            deflate: true,
            ..Self::new(max_message_bytes)
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
            Ok(Incoming::Text(_)
                | Incoming::Binary(_)
                | Incoming::Deflated(_)
                | Incoming::Ping(_)
                | Incoming::Pong(_))
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

    /// The limit of a message, bytes.
    #[must_use]
    pub fn max_message_bytes(&self) -> usize {
        self.max_message_bytes
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
        let (opcode, is_deflated, bytes) = match found {
            Found::InPlace {
                opcode,
                is_deflated,
                start,
                end,
            } => {
                let bytes = match source {
                    Source::Stash => pending.map(|it| it.stash.as_slice()).unwrap_or_default(),
                    Source::Input => input,
                };
                let bytes = bytes.get(start..end).unwrap_or_default();
                (opcode, is_deflated, bytes)
            }
            Found::Message {
                opcode,
                is_deflated,
            } => {
                let message = pending.and_then(|it| it.message.as_ref());
                let bytes = message.map(|it| it.bytes.as_slice());
                (opcode, is_deflated, bytes.unwrap_or_default())
            }
            Found::Control(opcode) => {
                let bytes = pending.map(|it| it.control.as_slice());
                (opcode, false, bytes.unwrap_or_default())
            }
        };
        Ok(match opcode {
            _ if is_deflated => Incoming::Deflated(Deflated { opcode, bytes }),
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
            let allowed = self.allowed();
            if let Some(pending) = &mut self.pending {
                match pending.take(source, at, &allowed)? {
                    Payload::Complete(found) => return Ok(Some(found)),
                    Payload::Incomplete => return Ok(None),
                    Payload::NoFrame => {}
                }
            }
            let Some((header, len)) = self.header(source, at)? else {
                return Ok(None);
            };
            let in_one_frame = header.fin && header.opcode != Opcode::Continuation;
            if in_one_frame && len <= source.len() - *at {
                let start = *at;
                let end = start + len;
                mask::apply(header.mask, &mut source[start..end]);
                *at = end;
                return Ok(Some(Found::InPlace {
                    opcode: header.opcode,
                    is_deflated: header.is_deflated,
                    start,
                    end,
                }));
            }
            self.pending.get_or_insert_default().open(&header, len);
        }
    }

    /// Reads a header, keeping the beginning of one that is not all there. With it, the length of
    /// its payload.
    fn header(
        &mut self,
        source: &[u8],
        at: &mut usize,
    ) -> Result<Option<(Header, usize)>, FrameError> {
        let allowed = self.allowed();
        let open = source.get(*at..).unwrap_or_default();
        let begun = self.pending.as_ref().map_or(0, |it| it.head_len);
        if begun == 0
            && let Some((header, len)) = Header::parse(open, &allowed)?
        {
            *at += len;
            return self.sized(header).map(Some);
        }
        if open.is_empty() {
            return Ok(None);
        }
        let pending = self.pending.get_or_insert_default();
        let there = (begun + open.len()).min(CLIENT_HEADER_MAX_BYTES);
        pending.head[begun..there].copy_from_slice(&open[..there - begun]);
        if let Some((header, len)) = Header::parse(&pending.head[..there], &allowed)? {
            // Not less than `begun`: those bytes alone were no header.
            *at += len - begun;
            pending.head_len = 0;
            return self.sized(header).map(Some);
        }
        pending.head_len = there;
        *at = source.len();
        Ok(None)
    }

    fn sized(&self, header: Header) -> Result<(Header, usize), FrameError> {
        // The limit, which was kept, is a `usize`.
        let len = usize::try_from(header.len).map_err(|_| FrameError::TooBig {
            max_bytes: self.max_message_bytes,
        })?;
        Ok((header, len))
    }

    fn allowed(&self) -> Allowed {
        let message = self.pending.as_ref().and_then(|it| it.message.as_ref());
        Allowed {
            max_message_bytes: self.max_message_bytes,
            deflate: self.deflate,
            begun: message.map(|it| Begun {
                bytes: it.bytes.len(),
                is_deflated: it.is_deflated,
            }),
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
