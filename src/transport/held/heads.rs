//! What a client says over HTTP/2, frame by frame: how large the heads of its requests are, and
//! which request was its last. Pure.
//!
//! The HTTP library takes heads of 16 MiB (h2 0.3, `DEFAULT_SETTINGS_MAX_HEADER_LIST_SIZE` in
//! `codec/framed_read.rs`; actix-http's `h2::handshake_with_timeout` has no setting for it) and keeps
//! what has come of one until it is complete. So they are counted here as they come. What they
//! become when they are unpacked is looked at when they are complete.

/// What the client begins with, RFC 9113 section 3.4.
const PREFACE: usize = 24;

/// The head of a frame, section 4.1.
const HEAD: usize = 9;

/// The types of frames that heads are made of, sections 6.2 and 6.10.
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

/// How much of a connection has come.
#[derive(Debug)]
pub(super) struct Heads {
    most: usize,
    /// What is left of the frame whose head was complete, or of the preface.
    rest: usize,
    frame: [u8; HEAD],
    /// So much of the next frame's head has come.
    come: usize,
    /// The bytes of the latest head, with those of its frames.
    bytes: usize,
    last_stream: u32,
}

impl Heads {
    /// For heads of at most so many bytes.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            rest: PREFACE,
            frame: [0; HEAD],
            come: 0,
            bytes: 0,
            last_stream: 0,
        }
    }

    /// These bytes have come. False if a head is larger than it may be.
    pub(super) fn come(&mut self, mut bytes: &[u8]) -> bool {
        loop {
            let passed = self.rest.min(bytes.len());
            self.rest -= passed;
            bytes = &bytes[passed..];
            if bytes.is_empty() {
                return true;
            }
            let part = bytes.len().min(HEAD - self.come);
            self.frame[self.come..self.come + part].copy_from_slice(&bytes[..part]);
            self.come += part;
            bytes = &bytes[part..];
            if self.come < HEAD {
                return true;
            }
            self.come = 0;
            let [high, middle, low, kind, _, stream @ ..] = self.frame;
            self.rest = u32::from_be_bytes([0, high, middle, low]) as usize;
            match kind {
                HEADERS => {
                    self.bytes = self.rest;
                    let stream = u32::from_be_bytes(stream) & (u32::MAX >> 1);
                    self.last_stream = self.last_stream.max(stream);
                }
                CONTINUATION => self.bytes = self.bytes.saturating_add(HEAD + self.rest),
                _ => {}
            }
            if self.bytes > self.most {
                return false;
            }
        }
    }

    /// The last request that has come.
    pub(super) fn last_stream(&self) -> u32 {
        self.last_stream
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, stream: u32, length: usize) -> Vec<u8> {
        let mut frame = u32::try_from(length).unwrap().to_be_bytes()[1..].to_vec();
        frame.extend([kind, 0]);
        frame.extend(stream.to_be_bytes());
        frame.resize(HEAD + length, 1);
        frame
    }

    fn said(frames: &[(u8, u32, usize)]) -> Vec<u8> {
        let mut said = vec![b'P'; PREFACE];
        for (kind, stream, length) in frames {
            said.extend(frame(*kind, *stream, *length));
        }
        said
    }

    #[test]
    fn a_head_may_have_many_frames_and_no_more_bytes_than_that() {
        let fits = [(4, 0, 12), (1, 1, 50), (9, 1, 20), (9, 1, 12), (0, 1, 5000)];
        let mut heads = Heads::new(100);
        assert!(heads.come(&said(&fits)));
        // Each counts for itself, trailers too.
        assert!(heads.come(&frame(1, 3, 100)));
        assert!(heads.come(&frame(1, 1, 100)));
        assert_eq!(heads.last_stream(), 3);
        // Even frames without anything in them are work.
        for _ in 0..11 {
            assert!(heads.come(&frame(1, 5, 0)));
            assert!(heads.come(&frame(9, 5, 90)));
        }
        assert!(!heads.come(&frame(9, 5, 0)));
    }

    #[test]
    fn a_frame_is_judged_before_it_has_come() {
        let mut heads = Heads::new(100);
        assert!(heads.come(&said(&[])));
        let large = frame(1, 1, 101);
        assert!(heads.come(&large[..HEAD - 1]));
        assert!(!heads.come(&large[HEAD - 1..HEAD]));
    }

    proptest! {
        /// However it is cut into pieces, the same is found.
        #[test]
        fn pieces_make_no_difference(
            frames in prop::collection::vec((0..10_u8, 0..9_u32, 0..40_usize), 0..20),
            piece in 1..30_usize,
        ) {
            let said = said(&frames);
            let (mut whole, mut pieces) = (Heads::new(100), Heads::new(100));
            let fits = whole.come(&said);
            prop_assert_eq!(said.chunks(piece).all(|part| pieces.come(part)), fits);
            if fits {
                prop_assert_eq!(whole.last_stream(), pieces.last_stream());
                let last = frames.iter().filter(|frame| frame.0 == 1).map(|frame| frame.1).max();
                prop_assert_eq!(whole.last_stream(), last.unwrap_or(0));
            }
        }
    }
}
