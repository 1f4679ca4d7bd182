//! A packet as it is sent: encoded once, shared by all who get it, whatever transport they are on.
//!
//! A packet that moves its client's position lacks its end, which is each client's own: the rest of
//! its list, with the cursor as last argument. On a WebSocket it is then sent in three parts, a
//! frame's header, the shared body and the private tail; attachments follow as frames that are
//! shared whole.

use bytes::{BufMut, Bytes, BytesMut};

use crate::protocol::engineio::payload::{Payload, has_pairs};
use crate::protocol::engineio::session::Outgoing;
use crate::protocol::engineio::{Revision, packet};
use crate::protocol::websocket::encode::{binary_header, text_header};

/// An encoded packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    body: Body,
    /// Whether it needs a tail.
    is_open: bool,
    /// What is attached, without frames: parts of `frames`.
    attachments: Box<[Bytes]>,
    /// What is attached, as frames one after the other.
    frames: Bytes,
}

/// The packet itself.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Body {
    /// Text, with Engine.IO's type before it.
    Text(Bytes),
    /// Bytes, without anything before them.
    Bytes(Bytes),
}

/// What is written to a WebSocket, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frames {
    /// The header of the first frame; for this client, if there is a tail.
    pub head: Bytes,
    /// What all share.
    pub body: Bytes,
    /// What is this client's own; nothing if the message was whole.
    pub tail: Bytes,
    /// Further frames, which all share; nothing if nothing is attached.
    pub rest: Bytes,
}

impl Message {
    /// A packet of text, Engine.IO's type included, and its attachments.
    pub(super) fn text(
        revision: Revision,
        text: Vec<u8>,
        attachments: &[&[u8]],
        is_open: bool,
    ) -> Self {
        let (attachments, frames) = attached(revision, attachments);
        Self {
            body: Body::Text(text.into()),
            is_open,
            attachments,
            frames,
        }
    }

    /// A packet of bytes.
    pub(super) fn bytes(bytes: Vec<u8>, is_open: bool) -> Self {
        Self {
            body: Body::Bytes(bytes.into()),
            is_open,
            attachments: Box::default(),
            frames: Bytes::new(),
        }
    }

    /// Whether a tail belongs to it.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.is_open
    }

    /// What all share.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        match &self.body {
            Body::Text(body) | Body::Bytes(body) => body,
        }
    }

    /// Whether it is text, on a WebSocket.
    #[must_use]
    pub const fn is_text(&self) -> bool {
        matches!(self.body, Body::Text(_))
    }

    /// What is attached.
    #[must_use]
    pub fn attachments(&self) -> &[Bytes] {
        &self.attachments
    }

    /// Whether there are bytes in it for a payload.
    #[must_use]
    pub fn has_bytes(&self) -> bool {
        !self.is_text() || !self.attachments.is_empty()
    }

    /// Whether there are characters in it that are two UTF-16 code units. A tail has none.
    #[must_use]
    pub fn has_pairs(&self) -> bool {
        matches!(&self.body, Body::Text(text) if has_pairs(text))
    }

    /// What is attached, as frames one after the other.
    #[must_use]
    pub const fn rest(&self) -> &Bytes {
        &self.frames
    }

    /// What is written to a WebSocket, if the message is whole: its frame and those of what is
    /// attached, in one piece that all share.
    #[must_use]
    pub fn frame(&self) -> Bytes {
        let body = self.body();
        let header = match self.body {
            Body::Text(_) => text_header(body.len()),
            Body::Bytes(_) => binary_header(body.len()),
        };
        [header.as_bytes(), body, &self.frames].concat().into()
    }

    /// What is written to a WebSocket, with the tail that the message needs, or an empty one.
    #[must_use]
    pub fn frames(&self, tail: &[u8]) -> Frames {
        let body = self.body().clone();
        let length = body.len() + tail.len();
        let header = match self.body {
            Body::Text(_) => text_header(length),
            Body::Bytes(_) => binary_header(length),
        };
        let header = header.as_bytes();
        // Head and tail are one piece of memory.
        let mut head = Bytes::from([header, tail].concat());
        let tail = head.split_off(header.len());
        Frames {
            head,
            body,
            tail,
            rest: self.frames.clone(),
        }
    }

    /// Appends it to the answer of a poll, with the tail that it needs, or an empty one.
    pub fn append_to(&self, payload: &mut Payload, tail: &[u8]) {
        match &self.body {
            Body::Text(text) => payload.text(&[text, tail]),
            Body::Bytes(bytes) if tail.is_empty() => payload.bytes(bytes),
            Body::Bytes(bytes) => payload.bytes(&[bytes, tail].concat()),
        }
        for bytes in &self.attachments {
            payload.bytes(bytes);
        }
    }
}

impl Outgoing for Message {
    fn size_bytes(&self) -> usize {
        self.body().len() + self.frames.len()
    }
}

/// What is attached, and as frames.
fn attached(revision: Revision, attachments: &[&[u8]]) -> (Box<[Bytes]>, Bytes) {
    let mut frames = BytesMut::new();
    let mut places = Vec::with_capacity(attachments.len());
    for bytes in attachments {
        let mut payload = Vec::with_capacity(bytes.len() + 1);
        packet::append_bytes(revision, bytes, &mut payload);
        frames.put_slice(binary_header(payload.len()).as_bytes());
        frames.put_slice(&payload);
        places.push(frames.len() - bytes.len()..frames.len());
    }
    let frames = frames.freeze();
    let attachments = places.into_iter().map(|it| frames.slice(it)).collect();
    (attachments, frames)
}
