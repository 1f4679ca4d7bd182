//! What a message says about itself: which run, room and number it is of, at a place that can be
//! found without parsing what is around it.

/// How a marker begins. Nothing that a server adds looks like it.
const PREFIX: &[u8; 4] = b"~hb~";

/// Prefix, and hexadecimal: run (4 digits), room (6), number (10).
pub(crate) const LENGTH: usize = 24;

/// Which message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) run: u16,
    pub(crate) room: u32,
    pub(crate) seq: u64,
}

impl Marker {
    /// The body of a message of `length` bytes, at least [`LENGTH`].
    pub(crate) fn body(self, length: usize) -> String {
        let Self { run, room, seq } = self;
        let mut body = format!("~hb~{run:04x}{room:06x}{seq:010x}");
        let filler = length.saturating_sub(body.len());
        body.extend(std::iter::repeat_n('x', filler));
        body
    }

    /// Finds the marker in a payload. `place` is where it was in the one before, which is where it
    /// mostly is again.
    pub(crate) fn find(payload: &[u8], place: &mut u32) -> Option<Self> {
        if let Some(found) = Self::at(payload, *place as usize) {
            return Some(found);
        }
        let at = memchr::memmem::find(payload, PREFIX)?;
        *place = u32::try_from(at).ok()?;
        Self::at(payload, at)
    }

    fn at(payload: &[u8], place: usize) -> Option<Self> {
        let digits = payload
            .get(place..place + LENGTH)?
            .strip_prefix(PREFIX.as_slice())?;
        Some(Self {
            run: u16::try_from(number(&digits[..4])?).ok()?,
            room: u32::try_from(number(&digits[4..10])?).ok()?,
            seq: number(&digits[10..])?,
        })
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u64::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKER: Marker = Marker {
        run: 0xbeef,
        room: 99,
        seq: 0x12_3456_789a,
    };

    #[test]
    fn a_body_has_the_length_that_was_asked_for() {
        assert_eq!(MARKER.body(128).len(), 128);
        assert_eq!(MARKER.body(0).len(), LENGTH);
    }

    #[test]
    fn it_is_found_wherever_it_is_and_at_once_where_it_was() {
        let mut place = 0;
        for before in ["", r#"{"push":"message","seq":9,"body":""#, "xx"] {
            let payload = format!("{before}{}\"}}", MARKER.body(128));
            assert_eq!(Marker::find(payload.as_bytes(), &mut place), Some(MARKER));
            assert_eq!(place as usize, before.len());
        }
    }

    #[test]
    fn what_has_none_has_none() {
        let mut place = 5;
        for payload in [
            "",
            "~hb~",
            "{\"push\":\"presence\"}",
            "~hb~0000000000000000000g",
        ] {
            assert_eq!(Marker::find(payload.as_bytes(), &mut place), None);
        }
    }
}
