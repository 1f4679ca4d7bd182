//! What values begin with: their kind, and a number or length in its shortest form.

use super::WriteError;

/// Appends bytes.
pub(crate) fn binary(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), WriteError> {
    length(out, bytes.len(), [0xc4, 0xc5, 0xc6])?;
    out.extend_from_slice(bytes);
    Ok(())
}

/// Appends a string.
pub(crate) fn text(out: &mut Vec<u8>, text: &str) -> Result<(), WriteError> {
    match u8::try_from(text.len()) {
        Ok(short @ 0..32) => out.push(0xa0 | short),
        _ => length(out, text.len(), [0xd9, 0xda, 0xdb])?,
    }
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// The markers of a list's and of a map's lengths.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Container {
    List,
    Map,
}

impl Container {
    /// Writes the head of one with so many values or pairs.
    pub(crate) fn head(self, out: &mut Vec<u8>, count: usize) -> Result<(), WriteError> {
        let (short, longer) = match self {
            Self::List => (0x90, [0xdc, 0xdd]),
            Self::Map => (0x80, [0xde, 0xdf]),
        };
        match u32::try_from(count) {
            Ok(count @ 0..16) => out.push(short | count.to_be_bytes()[3]),
            Ok(count @ 16..0x1_0000) => {
                out.push(longer[0]);
                out.extend_from_slice(&count.to_be_bytes()[2..]);
            }
            Ok(count) => {
                out.push(longer[1]);
                out.extend_from_slice(&count.to_be_bytes());
            }
            Err(_) => return Err(WriteError::TooLong),
        }
        Ok(())
    }

    /// Puts the right head in the place of one that was written, at `start`, for another count.
    pub(crate) fn set_head(
        self,
        out: &mut Vec<u8>,
        start: usize,
        written: usize,
        count: usize,
    ) -> Result<(), WriteError> {
        if written != count {
            let (mut old, mut new) = (Vec::new(), Vec::new());
            self.head(&mut old, written)?;
            self.head(&mut new, count)?;
            out.splice(start..start + old.len(), new);
        }
        Ok(())
    }
}

pub(super) fn length(out: &mut Vec<u8>, length: usize, markers: [u8; 3]) -> Result<(), WriteError> {
    let length = u32::try_from(length).map_err(|_| WriteError::TooLong)?;
    let bytes = length.to_be_bytes();
    let (marker, bytes) = match length {
        0..0x100 => (markers[0], &bytes[3..]),
        0x100..0x1_0000 => (markers[1], &bytes[2..]),
        _ => (markers[2], &bytes[..]),
    };
    out.push(marker);
    out.extend_from_slice(bytes);
    Ok(())
}

pub(super) fn unsigned(out: &mut Vec<u8>, number: u64) {
    let bytes = number.to_be_bytes();
    let (marker, bytes) = match number {
        0..0x80 => return out.push(bytes[7]),
        0x80..0x100 => (0xcc, &bytes[7..]),
        0x100..0x1_0000 => (0xcd, &bytes[6..]),
        0x1_0000..0x1_0000_0000 => (0xce, &bytes[4..]),
        _ => (0xcf, &bytes[..]),
    };
    out.push(marker);
    out.extend_from_slice(bytes);
}

pub(super) fn signed(out: &mut Vec<u8>, number: i64) {
    if let Ok(number) = u64::try_from(number) {
        return unsigned(out, number);
    }
    let bytes = number.to_be_bytes();
    let (marker, bytes) = match number {
        -0x20.. => return out.push(bytes[7]),
        -0x80..-0x20 => (0xd0, &bytes[7..]),
        -0x8000..-0x80 => (0xd1, &bytes[6..]),
        -0x8000_0000..-0x8000 => (0xd2, &bytes[4..]),
        _ => (0xd3, &bytes[..]),
    };
    out.push(marker);
    out.extend_from_slice(bytes);
}
