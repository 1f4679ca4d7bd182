//! An envelope as Redis carries it: one byte for the version, the sender's incarnation (8 bytes,
//! big-endian), the length of its id (1 byte) and the id, the room (16 bytes), the payload.

use std::io::Write as _;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use redis::{RedisWrite, ToRedisArgs};
use uuid::Uuid;

use crate::bus::envelope::{Envelope, Origin};
use crate::protocol::id::RoomId;

/// The version that is written, and the only one that is read.
const VERSION: u8 = 1;

/// What a frame has before its payload, bytes at most.
pub(super) const HEAD_BYTES: usize = 1 + 8 + 1 + u8::MAX as usize + 16;

/// Names of nodes that are remembered, so that they need not be allocated for each envelope.
const NAMES: usize = 64;

/// Why what came by Redis is no envelope for this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// This node sent it.
    #[error("it is this node's own")]
    Own,
    /// Not by a node, or by one that is broken.
    #[error("it cannot be read")]
    Garbage,
    /// By a node of another version.
    #[error("it is of the version {0}, which is not known here")]
    Version(u8),
    /// It names another room than its channel.
    #[error("it came on the channel of another room")]
    Misplaced,
    /// Nobody sends such a one.
    #[error("it has {0} bytes, which is too large")]
    TooLarge(usize),
}

impl Refused {
    /// Its name in metrics.
    pub(super) const fn fate(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Garbage => "bad",
            Self::Version(_) => "version",
            Self::Misplaced => "misplaced",
            Self::TooLarge(_) => "too_large",
        }
    }
}

/// An envelope as an argument of a command, written straight into its buffer.
pub(super) struct Frame<'a>(pub(super) &'a Envelope);

impl ToRedisArgs for Frame<'_> {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        let Origin { node, incarnation } = &self.0.origin;
        let name = &node.as_bytes()[..node.len().min(u8::MAX.into())];
        let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
        let mut out = out.writer_for_next_arg();
        for part in [
            &[VERSION][..],
            &incarnation.to_be_bytes(),
            &[length],
            name,
            self.0.room_id.0.as_bytes(),
            &self.0.payload,
        ] {
            // Into memory.
            let _ = out.write_all(part);
        }
    }
}

/// Reads envelopes of other nodes.
#[derive(Debug)]
pub(super) struct Reader {
    own: Origin,
    max_bytes: usize,
    names: Vec<Arc<str>>,
}

impl Reader {
    pub(super) fn new(own: Origin, max_bytes: usize) -> Self {
        Self {
            own,
            max_bytes,
            names: Vec::new(),
        }
    }

    /// Reads what came on the channel of `room_id`. The payload is not copied.
    pub(super) fn read(&mut self, room_id: RoomId, mut frame: Bytes) -> Result<Envelope, Refused> {
        if frame.len() > self.max_bytes {
            return Err(Refused::TooLarge(frame.len()));
        }
        match frame.try_get_u8() {
            Ok(VERSION) => {}
            Ok(version) => return Err(Refused::Version(version)),
            Err(_) => return Err(Refused::Garbage),
        }
        let incarnation = frame.try_get_u64().map_err(|_| Refused::Garbage)?;
        let length: usize = frame.try_get_u8().map_err(|_| Refused::Garbage)?.into();
        if frame.len() < length + size_of::<Uuid>() {
            return Err(Refused::Garbage);
        }
        let name = frame.split_to(length);
        if incarnation == self.own.incarnation && *name == *self.own.node.as_bytes() {
            return Err(Refused::Own);
        }
        if *frame.split_to(size_of::<Uuid>()) != *room_id.0.as_bytes() {
            return Err(Refused::Misplaced);
        }
        let node = self.name(&name).ok_or(Refused::Garbage)?;
        Ok(Envelope {
            origin: Origin { node, incarnation },
            room_id,
            payload: frame,
        })
    }

    fn name(&mut self, bytes: &[u8]) -> Option<Arc<str>> {
        if let Some(known) = self.names.iter().find(|name| name.as_bytes() == bytes) {
            return Some(Arc::clone(known));
        }
        let name: Arc<str> = std::str::from_utf8(bytes).ok()?.into();
        if self.names.len() == NAMES {
            self.names.remove(0);
        }
        self.names.push(Arc::clone(&name));
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn origin(node: &str) -> Origin {
        Origin {
            node: node.into(),
            incarnation: 7,
        }
    }

    fn written(envelope: &Envelope) -> Bytes {
        let args = Frame(envelope).to_redis_args();
        assert_eq!(args.len(), 1);
        args[0].clone().into()
    }

    fn envelope() -> Envelope {
        Envelope {
            origin: origin("a"),
            room_id: RoomId::generate(),
            payload: Bytes::from_static(b"payload"),
        }
    }

    #[test]
    fn an_envelope_comes_back() {
        let envelope = envelope();
        let frame = written(&envelope);
        let mut reader = Reader::new(origin("b"), 100);
        let read = reader.read(envelope.room_id, frame).unwrap();
        assert_eq!(read.origin, envelope.origin);
        assert_eq!(read.room_id, envelope.room_id);
        assert_eq!(read.payload, envelope.payload);
    }

    #[test]
    fn what_is_not_for_this_node_is_refused() {
        let envelope = envelope();
        let room_id = envelope.room_id;
        let frame = written(&envelope);
        let mut reader = Reader::new(origin("a"), 100);
        assert_eq!(
            reader.read(room_id, frame.clone()).unwrap_err(),
            Refused::Own
        );
        let mut reader = Reader::new(origin("b"), 100);
        let other = RoomId::generate();
        assert_eq!(
            reader.read(other, frame.clone()).unwrap_err(),
            Refused::Misplaced
        );
        let mut later = frame.to_vec();
        later[0] = 2;
        let refused = reader.read(room_id, later.into()).unwrap_err();
        assert_eq!(refused, Refused::Version(2));
        let refused = reader.read(room_id, vec![1; 101].into()).unwrap_err();
        assert_eq!(refused, Refused::TooLarge(101));
        for length in 0..frame.len() - envelope.payload.len() {
            let cut = frame.slice(..length);
            assert_eq!(reader.read(room_id, cut).unwrap_err(), Refused::Garbage);
        }
        // Another life of the same node is another node.
        let mut reader = Reader::new(
            Origin {
                incarnation: 8,
                ..origin("a")
            },
            100,
        );
        assert!(reader.read(room_id, frame).is_ok());
    }

    #[test]
    fn no_more_names_are_remembered_than_allowed() {
        let mut reader = Reader::new(origin("b"), 1000);
        for number in 0..3 * NAMES {
            let envelope = Envelope {
                origin: origin(&format!("n{number}")),
                ..envelope()
            };
            let read = reader.read(envelope.room_id, written(&envelope)).unwrap();
            assert_eq!(read.origin, envelope.origin);
        }
        assert_eq!(reader.names.len(), NAMES);
    }

    proptest! {
        #[test]
        fn garbage_does_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Reader::new(origin("a"), 60).read(RoomId::generate(), bytes.into());
        }
    }
}
