//! What a connection holds only while something is half-received or waits to be decoded.

use super::Found;
use crate::protocol::websocket::frame_error::FrameError;
use crate::protocol::websocket::header::{Allowed, CLIENT_HEADER_MAX_BYTES, Header, Opcode};
use crate::protocol::websocket::mask;
use crate::protocol::websocket::utf8::Utf8Progress;

/// A message under way gets this much room at once, if it will need it.
const FIRST_ALLOCATION_BYTES: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Read from the socket, not decoded yet.
    pub(super) stash: Vec<u8>,
    /// How much of the stash has been decoded.
    pub(super) stash_at: usize,
    /// The beginning of a header.
    pub(super) head: [u8; CLIENT_HEADER_MAX_BYTES],
    /// How much of it is there.
    pub(super) head_len: usize,
    /// The frame whose payload is arriving.
    frame: Option<OpenFrame>,
    /// The payload of a control frame in several reads.
    pub(super) control: Vec<u8>,
    /// The message whose frames are arriving.
    pub(super) message: Option<OpenMessage>,
    /// What was handed out last and can go at the next call.
    handed_out: HandedOut,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum HandedOut {
    #[default]
    Nothing,
    Message,
    Control,
}

#[derive(Clone, Copy, Debug)]
struct OpenFrame {
    fin: bool,
    opcode: Opcode,
    /// What the next byte of payload is masked with.
    mask: [u8; 4],
    /// Bytes of payload to come.
    left: usize,
}

/// What came of looking for the payload of the open frame.
#[derive(Clone, Copy, Debug)]
pub(super) enum Payload {
    /// No frame is open: a header comes next.
    NoFrame,
    /// All there was has been taken, and more is to come.
    Incomplete,
    /// With it something is complete.
    Complete(Found),
}

impl Pending {
    pub(super) fn has_stashed(&self) -> bool {
        self.stash_at < self.stash.len()
    }

    pub(super) fn stash(&mut self, rest: &[u8]) {
        self.stash.drain(..self.stash_at);
        self.stash_at = 0;
        self.stash.extend_from_slice(rest);
    }

    pub(super) fn held_bytes(&self) -> usize {
        size_of::<Self>()
            + self.stash.capacity()
            + self.control.capacity()
            + self.message.as_ref().map_or(0, |it| it.bytes.capacity())
    }

    /// Gives back what was handed out; whether nothing is left.
    pub(super) fn release(&mut self) -> bool {
        match std::mem::take(&mut self.handed_out) {
            HandedOut::Nothing => {}
            HandedOut::Message => self.message = None,
            HandedOut::Control => self.control = Vec::new(),
        }
        if self.has_stashed() {
            return false;
        }
        self.stash = Vec::new();
        self.stash_at = 0;
        self.head_len == 0 && self.frame.is_none() && self.message.is_none()
    }

    /// Begins a frame whose payload is not at hand, or is a part of a message.
    pub(super) fn open(&mut self, header: &Header, len: usize) {
        if matches!(header.opcode, Opcode::Text | Opcode::Binary) {
            self.message = Some(OpenMessage {
                opcode: header.opcode,
                is_deflated: header.is_deflated,
                bytes: Vec::new(),
                utf8: Utf8Progress::default(),
            });
        }
        self.frame = Some(OpenFrame {
            fin: header.fin,
            opcode: header.opcode,
            mask: header.mask,
            left: len,
        });
    }

    /// Takes the open frame's payload out of `source`, from `at` on.
    pub(super) fn take(
        &mut self,
        source: &mut [u8],
        at: &mut usize,
        allowed: &Allowed,
    ) -> Result<Payload, FrameError> {
        let Some(frame) = &mut self.frame else {
            return Ok(Payload::NoFrame);
        };
        let rest = source.get_mut(*at..).unwrap_or_default();
        let taken = frame.left.min(rest.len());
        let chunk = &mut rest[..taken];
        mask::apply(frame.mask, chunk);
        frame.mask = mask::after(frame.mask, taken);
        frame.left -= taken;
        *at += taken;

        if frame.opcode.is_control() {
            self.control.extend_from_slice(chunk);
        } else {
            let message = self.message.as_mut();
            let message = message.ok_or(FrameError::UnexpectedContinuation)?;
            message.append(chunk, *frame, allowed)?;
        }
        if frame.left > 0 {
            return Ok(Payload::Incomplete);
        }
        let (fin, opcode) = (frame.fin, frame.opcode);
        self.frame = None;
        Ok(match &self.message {
            _ if opcode.is_control() => {
                self.handed_out = HandedOut::Control;
                Payload::Complete(Found::Control(opcode))
            }
            Some(message) if fin => {
                self.handed_out = HandedOut::Message;
                Payload::Complete(Found::Message {
                    opcode: message.opcode,
                    is_deflated: message.is_deflated,
                })
            }
            _ => Payload::NoFrame,
        })
    }
}

/// A message whose frames are arriving.
#[derive(Debug)]
pub(super) struct OpenMessage {
    opcode: Opcode,
    pub(super) is_deflated: bool,
    pub(super) bytes: Vec<u8>,
    utf8: Utf8Progress,
}

impl OpenMessage {
    fn append(
        &mut self,
        chunk: &[u8],
        frame: OpenFrame,
        allowed: &Allowed,
    ) -> Result<(), FrameError> {
        let needed = self.bytes.len() + chunk.len();
        if needed > self.bytes.capacity() {
            // Doubling, but never past what the message can become: a header alone, which may
            // promise a lot, takes no memory.
            let expected = needed + frame.left;
            let ceiling = if frame.fin {
                expected
            } else {
                allowed.most_bytes(self.is_deflated)
            };
            let capacity = (self.bytes.capacity() * 2)
                .max(expected.min(FIRST_ALLOCATION_BYTES))
                .min(ceiling)
                .max(needed);
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(chunk);
        if self.opcode == Opcode::Text && !self.is_deflated {
            self.utf8.advance(&self.bytes)?;
        }
        Ok(())
    }
}
