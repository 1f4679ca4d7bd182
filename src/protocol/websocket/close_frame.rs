//! The payload of a close frame, RFC 6455 §5.5.1 and §7.4.

use super::frame_error::FrameError;
use super::utf8;

/// A reason is at most this long, bytes: what a control frame holds besides the code.
pub const REASON_MAX_BYTES: usize = 123;

/// Why the other side closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseFrame<'a> {
    /// The code; one that may stand on the wire.
    pub code: u16,
    /// For people; may be empty.
    pub reason: &'a str,
}

impl<'a> CloseFrame<'a> {
    /// Reads a close frame's payload; none if it is empty, which is allowed.
    pub fn parse(payload: &'a [u8]) -> Result<Option<Self>, FrameError> {
        if payload.is_empty() {
            return Ok(None);
        }
        let (code, reason) = payload.split_first_chunk::<2>().ok_or(FrameError::Close)?;
        let code = u16::from_be_bytes(*code);
        if !may_be_sent(code) {
            return Err(FrameError::Close);
        }
        let reason = utf8::text(reason)?;
        Ok(Some(Self { code, reason }))
    }
}

/// Whether a code may stand in a close frame: those registered, and those for libraries and
/// applications. 1004 is undefined; 1005, 1006 and 1015 stand for "no frame came".
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// As much of a reason as fits into a close frame, cut between characters.
pub(super) fn fitting(reason: &str) -> &str {
    let mut end = reason.len().min(REASON_MAX_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_reasons_are_checked() {
        assert_eq!(CloseFrame::parse(&[]), Ok(None));
        assert_eq!(
            CloseFrame::parse(b"\x03\xe8bye"),
            Ok(Some(CloseFrame {
                code: 1000,
                reason: "bye"
            }))
        );
        assert_eq!(CloseFrame::parse(&[3]), Err(FrameError::Close));
        assert_eq!(
            CloseFrame::parse(b"\x03\xe8\xff"),
            Err(FrameError::InvalidUtf8)
        );
        for bad in [
            0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535u16,
        ] {
            assert_eq!(
                CloseFrame::parse(&bad.to_be_bytes()),
                Err(FrameError::Close),
                "{bad}"
            );
        }
        for good in [
            1001, 1002, 1003, 1007, 1011, 1012, 3000, 3999, 4000, 4999u16,
        ] {
            assert!(CloseFrame::parse(&good.to_be_bytes()).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(fitting("short"), "short");
        assert_eq!(fitting(&"ü".repeat(100)).len(), 122);
    }
}
