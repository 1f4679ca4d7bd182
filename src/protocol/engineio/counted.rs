//! Revision 3's payload of text: `<length>:<packet>`, again and again. The length is in UTF-16 code
//! units, JavaScript's "characters".

use super::packet::PacketError;

/// A length has at most so many digits: more than any body has room for.
const DIGITS_MAX: usize = 9;

/// The texts of a payload's packets.
#[derive(Clone, Debug)]
pub(super) struct Counted<'a> {
    rest: &'a str,
    is_first: bool,
}

impl<'a> Counted<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self {
            rest: text,
            is_first: true,
        }
    }

    fn take(&mut self) -> Result<&'a str, PacketError> {
        let (digits, rest) = self.rest.split_once(':').ok_or(PacketError::Length)?;
        let units = length(digits.bytes().map(|byte| byte.wrapping_sub(b'0')))?;
        let end = byte_index(rest, units).ok_or(PacketError::Length)?;
        self.rest = &rest[end..];
        Ok(&rest[..end])
    }
}

impl<'a> Iterator for Counted<'a> {
    type Item = Result<&'a str, PacketError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            // No packet at all is an error; that there is none, `0:`, is none.
            if self.rest.is_empty() && !self.is_first {
                return None;
            }
            self.is_first = false;
            match self.take() {
                Ok("") => {}
                text => return Some(text),
            }
        }
    }
}

/// A length out of its digits' values.
pub(super) fn length(digits: impl Iterator<Item = u8>) -> Result<usize, PacketError> {
    let mut length = 0;
    let mut count = 0;
    for digit in digits {
        count += 1;
        // One way to write each length: no zeros before it.
        let is_zero_before = count == 2 && length == 0;
        if digit > 9 || count > DIGITS_MAX || is_zero_before {
            return Err(PacketError::Length);
        }
        length = length * 10 + usize::from(digit);
    }
    if count == 0 {
        return Err(PacketError::Length);
    }
    Ok(length)
}

/// Where so many UTF-16 code units of a text end; none if it is shorter, or if that is within a
/// character.
fn byte_index(text: &str, units: usize) -> Option<usize> {
    // Each unit is at least a byte.
    if units > text.len() {
        return None;
    }
    let mut passed = 0;
    let mut ends = text.char_indices();
    while passed < units {
        passed += ends.next()?.1.len_utf16();
    }
    (passed == units).then(|| ends.offset())
}
