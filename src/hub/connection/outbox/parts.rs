//! A frame in parts: what all share, and before and behind it what is one connection's own.

use bytes::Bytes;

use super::queue::PART_BYTES;
use crate::protocol::socketio::message::Frames;

/// The parts, in this order; what is empty is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    /// A header that goes with this tail.
    pub(super) head: Bytes,
    /// What all share.
    pub(super) body: Bytes,
    /// This connection's own end of it.
    pub(super) tail: Bytes,
    /// Frames that belong to it, which all share.
    pub(super) rest: Bytes,
}

impl Parts {
    /// A frame whose end is the connection's own.
    pub(crate) fn with_tail(body: Bytes, tail: Bytes) -> Self {
        Self {
            body,
            tail,
            ..Self::default()
        }
    }

    /// The memory that they take while they wait, bytes.
    pub(super) fn held_bytes(&self) -> usize {
        held_bytes(self.all().map(Bytes::len))
    }

    fn all(&self) -> [&Bytes; 4] {
        [&self.head, &self.body, &self.tail, &self.rest]
    }

    /// Those that there are; one at least.
    pub(super) fn into_iter(self) -> impl Iterator<Item = Bytes> {
        let is_nothing = self.all().iter().all(|part| part.is_empty());
        let all = [self.head, self.body, self.tail, self.rest];
        let parts = all.into_iter().filter(|part| !part.is_empty());
        parts.chain(is_nothing.then(Bytes::new))
    }
}

/// The memory that a frame of parts of these lengths takes while it waits, bytes.
pub(crate) fn held_bytes<const N: usize>(lengths: [usize; N]) -> usize {
    let parts = lengths.iter().filter(|length| **length > 0).count();
    lengths.iter().sum::<usize>() + parts.max(1) * PART_BYTES
}

impl From<Bytes> for Parts {
    fn from(body: Bytes) -> Self {
        Self {
            body,
            ..Self::default()
        }
    }
}

impl From<Frames> for Parts {
    fn from(frames: Frames) -> Self {
        let Frames {
            head,
            body,
            tail,
            rest,
        } = frames;
        Self {
            head,
            body,
            tail,
            rest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_parts_that_are_there_count() {
        let whole = Parts::from(Bytes::from_static(b"abc"));
        assert_eq!(whole.held_bytes(), 3 + PART_BYTES);
        let tailed = Parts::with_tail(Bytes::from_static(b"abc"), Bytes::from_static(b"de"));
        assert_eq!(tailed.held_bytes(), 5 + 2 * PART_BYTES);
        let parts: Vec<_> = tailed.into_iter().collect();
        assert_eq!(parts, ["abc", "de"]);
        assert_eq!(Parts::default().into_iter().count(), 1);
        assert_eq!(Parts::default().held_bytes(), PART_BYTES);
    }
}
