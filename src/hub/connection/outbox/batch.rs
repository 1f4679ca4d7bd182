//! Frames that many connections get at once, laid out so that each of them costs one `write` and
//! no copy, count or allocation of its own. Pure.

use bytes::{Bytes, BytesMut};

use super::Class;

/// What one connection is given in one go at most, bytes; a larger frame goes alone. As much as
/// the kernel sends as one segment.
pub(crate) const BATCH_MAX_BYTES: usize = 64 * 1024;

/// Frames, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    frames: Vec<(Bytes, Class)>,
    joined: Bytes,
}

impl Batch {
    /// As many of the frames as go in one batch, at least one if there is one.
    pub(crate) fn of(frames: impl IntoIterator<Item = (Bytes, Class)>) -> Self {
        let mut taken: Vec<(Bytes, Class)> = Vec::new();
        let mut bytes = 0;
        for frame in frames {
            if bytes + frame.0.len() > BATCH_MAX_BYTES && !taken.is_empty() {
                break;
            }
            bytes += frame.0.len();
            taken.push(frame);
        }
        let joined = match &taken[..] {
            // One needs no copy.
            [(frame, _)] => frame.clone(),
            frames => {
                let mut joined = BytesMut::with_capacity(bytes);
                for (frame, _) in frames {
                    joined.extend_from_slice(frame);
                }
                joined.freeze()
            }
        };
        Self {
            frames: taken,
            joined,
        }
    }

    /// How many frames.
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    /// All of them, one after the other.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.joined
    }

    /// The frames.
    pub(crate) fn frames(&self) -> &[(Bytes, Class)] {
        &self.frames
    }

    /// What is left when so many bytes have been sent: the rest of a frame that was sent in part,
    /// and the frames after it.
    pub(crate) fn rest(&self, mut sent: usize) -> (Option<Bytes>, &[(Bytes, Class)]) {
        for (at, (frame, _)) in self.frames.iter().enumerate() {
            if sent == 0 {
                return (None, &self.frames[at..]);
            }
            if sent < frame.len() {
                return (Some(frame.slice(sent..)), &self.frames[at + 1..]);
            }
            sent -= frame.len();
        }
        (None, &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &'static str) -> (Bytes, Class) {
        (Bytes::from_static(text.as_bytes()), Class::Durable)
    }

    #[test]
    fn what_is_left_begins_within_a_frame() {
        let batch = Batch::of([frame("abc"), frame("de"), frame("f")]);
        assert_eq!(batch.bytes(), b"abcdef");
        let left = |sent| {
            let (cut, whole) = batch.rest(sent);
            let whole: Vec<_> = whole.iter().map(|(frame, _)| frame.clone()).collect();
            (cut, whole)
        };
        assert_eq!(left(0), (None, vec!["abc".into(), "de".into(), "f".into()]));
        assert_eq!(left(1), (Some("bc".into()), vec!["de".into(), "f".into()]));
        assert_eq!(left(3), (None, vec!["de".into(), "f".into()]));
        assert_eq!(left(4), (Some("e".into()), vec!["f".into()]));
        assert_eq!(left(6), (None, vec![]));
    }

    #[test]
    fn a_batch_is_bounded_and_a_huge_frame_goes_alone() {
        let half = (Bytes::from(vec![0; BATCH_MAX_BYTES / 2]), Class::Durable);
        let three = [half.clone(), half.clone(), half.clone()];
        assert_eq!(Batch::of(three).len(), 2);
        let huge = (Bytes::from(vec![0; BATCH_MAX_BYTES + 1]), Class::Durable);
        assert_eq!(Batch::of([huge.clone(), half.clone()]).len(), 1);
        assert_eq!(Batch::of([half, huge]).len(), 1);
        assert_eq!(Batch::of([]).len(), 0);
    }
}
