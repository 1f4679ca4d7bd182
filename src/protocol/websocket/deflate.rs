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
        self.out.clear();
        // Where this is full, the frame has not become shorter.
        self.out
            .reserve_exact(SERVER_HEADER_MAX_BYTES + payload.len());
        self.out.resize(SERVER_HEADER_MAX_BYTES, 0);
        let status = self
            .compress
            .compress_vec(payload, &mut self.out, FlushCompress::Sync);
        let is_whole = matches!(status, Ok(Status::Ok))
            && self.compress.total_in() == payload.len() as u64
            && self.out.len() < SERVER_HEADER_MAX_BYTES + payload.len()
            && self.out.ends_with(&FLUSHED);
        let frame = is_whole.then(|| {
            self.out.truncate(self.out.len() - FLUSHED.len());
            let bytes = self.out.len() - SERVER_HEADER_MAX_BYTES;
            let space = self.out.first_chunk_mut::<SERVER_HEADER_MAX_BYTES>();
            let start = space.map_or(0, |space| {
                header::write_before(space, header::DEFLATED | opcode as u8, bytes)
            });
            Bytes::copy_from_slice(&self.out[start..])
        });
        self.out.clear();
        self.out.shrink_to(KEPT_BYTES);
        frame
    }
}

/// Inflates messages.
#[derive(Debug)]
pub struct Inflater {
    inflate: Decompress,
    out: Vec<u8>,
}

impl Default for Inflater {
    fn default() -> Self {
        Self {
            inflate: Decompress::new(false),
            out: Vec::new(),
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
        Ok(match deflated.opcode {
            Opcode::Text => Incoming::Text(utf8::text(&self.out)?),
            _ => Incoming::Binary(&self.out),
        })
    }

    /// Gives back the room that a large message took.
    pub fn release(&mut self) {
        self.out.clear();
        self.out.shrink_to(KEPT_BYTES);
    }

    fn inflate(&mut self, payload: &[u8], max_bytes: usize) -> Result<(), FrameError> {
        self.out.clear();
        self.inflate.reset(false);
        if self.feed(payload, max_bytes)? {
            return Ok(());
        }
        let bytes = self.out.len();
        if self.feed(&TAIL, max_bytes)? && self.out.len() == bytes {
            Ok(())
        } else {
            Err(FrameError::Deflate)
        }
    }

    /// Inflates all of the input. Whether the stream has ended with it.
    fn feed(&mut self, mut input: &[u8], max_bytes: usize) -> Result<bool, FrameError> {
        loop {
            match self.step(&mut input, max_bytes)? {
                Status::StreamEnd if input.is_empty() => return Ok(true),
                // What follows is another one (RFC 7692 §7.2.3.4).
                Status::StreamEnd => self.inflate.reset(false),
                // What it had no room for comes with the next step.
                _ if self.out.len() == self.out.capacity() => {}
                _ if input.is_empty() => return Ok(false),
                _ => return Err(FrameError::Deflate),
            }
        }
    }

    /// Inflates what there is room for.
    fn step(&mut self, input: &mut &[u8], max_bytes: usize) -> Result<Status, FrameError> {
        if self.out.len() == self.out.capacity() {
            // A byte more than there may be shows that there is more.
            let most = max_bytes.saturating_add(1);
            let room = (2 * self.out.len()).max(4096).max(4 * input.len());
            self.out.reserve_exact(room.min(most) - self.out.len());
        }
        let before = self.inflate.total_in();
        let status = self
            .inflate
            .decompress_vec(input, &mut self.out, FlushDecompress::Sync)
            .map_err(|_| FrameError::Deflate)?;
        let taken = usize::try_from(self.inflate.total_in() - before).unwrap_or(usize::MAX);
        *input = input.get(taken..).unwrap_or_default();
        if self.out.len() > max_bytes {
            return Err(FrameError::TooBig { max_bytes });
        }
        Ok(status)
    }
}

#[cfg(test)]
mod tests;
