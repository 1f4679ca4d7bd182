//! UTF-8 that arrives in parts: what is wrong is noticed with the part that makes it wrong
//! (RFC 6455 §8.1), and each byte is looked at once.

use super::frame_error::FrameError;

/// How far a growing text has been found good.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Utf8Progress {
    valid_bytes: usize,
}

impl Utf8Progress {
    /// Looks at what has been added to `text`, of which the beginning was seen before. A
    /// character that is not complete yet is no error.
    pub(super) fn advance(&mut self, text: &[u8]) -> Result<(), FrameError> {
        let new = text.get(self.valid_bytes..).unwrap_or_default();
        match simdutf8::compat::from_utf8(new) {
            Ok(_) => self.valid_bytes = text.len(),
            Err(error) if error.error_len().is_none() => self.valid_bytes += error.valid_up_to(),
            Err(_) => return Err(FrameError::InvalidUtf8),
        }
        Ok(())
    }
}

/// The bytes as text, if they are.
pub(super) fn text(bytes: &[u8]) -> Result<&str, FrameError> {
    simdutf8::basic::from_utf8(bytes).map_err(|_| FrameError::InvalidUtf8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_part_that_makes_it_wrong_is_noticed() {
        // "κόσμε" and then a surrogate, the example of the Autobahn test suite.
        let bytes = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited";
        let mut progress = Utf8Progress::default();
        for end in 0..=12 {
            assert_eq!(progress.advance(&bytes[..end]), Ok(()), "{end}");
        }
        assert_eq!(
            progress.advance(&bytes[..13]),
            Err(FrameError::InvalidUtf8),
            "0xed cannot be followed by 0xa0"
        );
    }

    proptest! {
        #[test]
        fn in_parts_it_is_the_same_as_at_once(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..12),
                ".{0,8}".prop_map(String::into_bytes),
            ],
        ) {
            let mut progress = Utf8Progress::default();
            let in_parts = (1..=bytes.len())
                .try_for_each(|end| progress.advance(&bytes[..end]))
                .and_then(|()| text(&bytes).map(drop));
            prop_assert_eq!(in_parts.is_ok(), std::str::from_utf8(&bytes).is_ok());
        }
    }
}
