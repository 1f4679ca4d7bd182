//! permessage-deflate, RFC 7692: messages compressed one by one.
//!
//! Nothing goes over from one message to the next (`*_no_context_takeover`, see [`extensions`]), so
//! a thread has one [`Inflater`] and one [`Deflater`] for all of its connections, and one
//! compressed frame serves everybody who gets the message.
//!
//! [`extensions`]: super::extensions

use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::decode::{Deflated, Incoming};
use super::frame_error::FrameError;
use super::header::{self, Opcode, SERVER_HEADER_MAX_BYTES};
use super::utf8;

/// What ends a flushed stream, and is not sent (RFC 7692 §7.2.1).
const FLUSHED: [u8; 4] = [0, 0, 0xff, 0xff];

/// The same, and then the end of the stream. Behind a message that is whole it is read as just
/// that and yields nothing; behind one that has been cut off it is not.
const TAIL: [u8; 6] = [0, 0, 0xff, 0xff, 3, 0];

/// A message may be made of so many streams (RFC 7692 §7.2.3.4 lets it be of several). Compressors
/// make one; each costs as much as some hundred bytes do, and takes two.
const STREAMS_MAX: usize = 64;

/// Room that is kept between two messages, bytes.
const KEPT_BYTES: usize = 64 * 1024;

/// The largest compressed form of a message of so many bytes that a sound compressor makes, with
/// some room for those that flush often.
#[must_use]
pub const fn deflated_max_bytes(message_bytes: usize) -> usize {
    message_bytes
        .saturating_add(message_bytes / 8)
        .saturating_add(64)
}

/// How long the message in one of our own frames is, bytes; 0 if there is none, or if it is
/// compressed.
#[must_use]
pub fn message_bytes(frame: &[u8]) -> usize {
    header::split(frame).map_or(0, |(_, payload)| payload.len())
}

/// Compresses frames.
#[derive(Debug)]
pub struct Deflater {
    compress: Compress,
    /// Room for a frame; what the last one left in it stays.
    out: Vec<u8>,
}

impl Deflater {
    /// One that takes so much trouble: from 1, little, to 9.
    #[must_use]
    pub fn new(level: u32) -> Self {
        Self {
            compress: Compress::new(Compression::new(level.clamp(1, 9)), false),
            out: Vec::new(),
        }
    }

    /// The compressed form of a frame with a complete message, as [`encode`](super::encode) makes
    /// them; none if it would not be shorter.
    pub fn deflate(&mut self, frame: &[u8]) -> Option<Bytes> {
        let (opcode, payload) = header::split(frame)?;
        self.compress.reset();
        // Where this is full, the frame has not become shorter.
        let room = SERVER_HEADER_MAX_BYTES + payload.len();
        grow(&mut self.out, room);
        let out = &mut self.out[..room];
        let body = &mut out[SERVER_HEADER_MAX_BYTES..];
        let status = self.compress.compress(payload, body, FlushCompress::Sync);
        let end = SERVER_HEADER_MAX_BYTES + length(self.compress.total_out());
        let is_whole = matches!(status, Ok(Status::Ok))
            && self.compress.total_in() == payload.len() as u64
            && end < room
            && out[..end].ends_with(&FLUSHED);
        let frame = is_whole.then(|| {
            let out = &mut out[..end - FLUSHED.len()];
            let bytes = out.len() - SERVER_HEADER_MAX_BYTES;
            let space = out.first_chunk_mut::<SERVER_HEADER_MAX_BYTES>();
            let start = space.map_or(0, |space| {
                header::write_before(space, header::DEFLATED | opcode as u8, bytes)
            });
            Bytes::copy_from_slice(&out[start..])
        });
        shrink(&mut self.out);
        frame
    }
}

/// Inflates messages.
#[derive(Debug)]
pub struct Inflater {
    inflate: Decompress,
    /// Room for a message. It is written before it is used, once, and what the last message left in
    /// it stays: clearing it again for each stream would cost more than inflating.
    out: Vec<u8>,
    /// So much of it is the message.
    length: usize,
}

impl Default for Inflater {
    fn default() -> Self {
        Self {
            inflate: Decompress::new(false),
            out: Vec::new(),
            length: 0,
        }
    }
}

impl Inflater {
    /// The message that was compressed. It is no longer than `max_bytes`, and no more room than
    /// for that is taken, whatever it pretends to be.
    pub fn message(
        &mut self,
        deflated: Deflated<'_>,
        max_bytes: usize,
    ) -> Result<Incoming<'_>, FrameError> {
        self.inflate(deflated.bytes, max_bytes)?;
        let message = &self.out[..self.length];
        Ok(match deflated.opcode {
            Opcode::Text => Incoming::Text(utf8::text(message)?),
            _ => Incoming::Binary(message),
        })
    }

    /// Gives back the room that a large message took.
    pub fn release(&mut self) {
        self.length = 0;
        shrink(&mut self.out);
    }

    fn inflate(&mut self, payload: &[u8], max_bytes: usize) -> Result<(), FrameError> {
        self.length = 0;
        self.inflate.reset(false);
        if self.feed(payload, max_bytes)? {
            return Ok(());
        }
        let length = self.length;
        if self.feed(&TAIL, max_bytes)? && self.length == length {
            Ok(())
        } else {
            Err(FrameError::Deflate)
        }
    }

    /// Inflates all of the input. Whether the stream has ended with it.
    fn feed(&mut self, mut input: &[u8], max_bytes: usize) -> Result<bool, FrameError> {
        let mut streams = 1;
        loop {
            match self.step(&mut input, max_bytes)? {
                Status::StreamEnd if input.is_empty() => return Ok(true),
                // What follows is another one.
                Status::StreamEnd if streams < STREAMS_MAX => {
                    streams += 1;
                    self.inflate.reset(false);
                }
                // What it had no room for comes with the next step.
                Status::Ok | Status::BufError if self.length == self.out.len() => {}
                Status::Ok | Status::BufError if input.is_empty() => return Ok(false),
                _ => return Err(FrameError::Deflate),
            }
        }
    }

    /// Inflates what there is room for.
    fn step(&mut self, input: &mut &[u8], max_bytes: usize) -> Result<Status, FrameError> {
        if self.length == self.out.len() {
            // A byte more than there may be shows that there is more.
            let most = max_bytes.saturating_add(1);
            let room = (2 * self.length).max(4096).max(4 * input.len());
            grow(&mut self.out, room.min(most));
        }
        let before = (self.inflate.total_in(), self.inflate.total_out());
        let room = &mut self.out[self.length..];
        let status = self
            .inflate
            .decompress(input, room, FlushDecompress::Sync)
            .map_err(|_| FrameError::Deflate)?;
        let taken = length(self.inflate.total_in() - before.0);
        *input = input.get(taken..).unwrap_or_default();
        self.length += length(self.inflate.total_out() - before.1);
        if self.length > max_bytes {
            return Err(FrameError::TooBig { max_bytes });
        }
        Ok(status)
    }
}

/// Makes it at least so long, and takes no more memory than for that.
fn grow(out: &mut Vec<u8>, bytes: usize) {
    out.reserve_exact(bytes.saturating_sub(out.len()));
    out.resize(bytes.max(out.len()), 0);
}

/// Gives back what is not kept.
fn shrink(out: &mut Vec<u8>) {
    out.truncate(KEPT_BYTES);
    out.shrink_to(KEPT_BYTES);
}

/// A count of bytes in memory.
fn length(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
