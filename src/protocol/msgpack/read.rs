//! Bytes → the heads of values.
//!
//! A head is a value without what is in it: a list's or map's head says how many values follow.
//! Strings and bytes are slices of the input.

/// How deep lists and maps may be nested, as in JSON.
pub const DEPTH_MAX: usize = 127;

/// Why bytes are not the MessagePack that is wanted. The message is fit for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It ends within a value, or says that more follows than there is.
    #[error("it ends before it is complete")]
    Truncated,
    /// Something follows the value.
    #[error("something follows its end")]
    Trailing,
    /// The byte 0xc1, which stands for nothing.
    #[error("it has the byte 0xc1, which stands for nothing")]
    Reserved,
    /// An extension type.
    #[error("it has an extension type")]
    Extension,
    /// A map's key is no string.
    #[error("a map has a key that is no string")]
    Key,
    /// A map has a key twice.
    #[error("a map has a key twice")]
    RepeatedKey,
    /// A string is not UTF-8.
    #[error("a string is not UTF-8")]
    Utf8,
    /// Not a number, or an infinite one: JSON has neither.
    #[error("a number is not finite")]
    NotFinite,
    /// Lists and maps are nested deeper than [`DEPTH_MAX`].
    #[error("it is nested more than {DEPTH_MAX} deep")]
    TooDeep,
}

/// A value without what is in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Head<'a> {
    /// Nothing.
    Nil,
    /// True or false.
    Bool(bool),
    /// A whole number from 0 on.
    Unsigned(u64),
    /// A whole number below 0.
    Negative(i64),
    /// A number with a point, of either length.
    Float(f64),
    /// A string, which may be no UTF-8.
    Text(&'a [u8]),
    /// Bytes.
    Binary(&'a [u8]),
    /// So many values follow.
    List(usize),
    /// So many pairs of values follow.
    Map(usize),
    /// A value of a type that is not MessagePack's own.
    Extension,
}

/// What is left to be read.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Begins at the beginning.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether nothing is left; what follows a whole value is an error.
    pub fn end(self) -> Result<(), Malformed> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Malformed::Trailing)
        }
    }

    /// What is left.
    #[must_use]
    pub const fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// The next head. What a list or map promises is at least as many bytes as values.
    pub fn head(&mut self) -> Result<Head<'a>, Malformed> {
        let [marker] = self.take()?;
        Ok(match marker {
            0x00..=0x7f => Head::Unsigned(marker.into()),
            0x80..=0x8f => self.map(usize::from(marker & 0x0f))?,
            0x90..=0x9f => self.list(usize::from(marker & 0x0f))?,
            0xa0..=0xbf => Head::Text(self.bytes(usize::from(marker & 0x1f))?),
            0xc0 => Head::Nil,
            0xc1 => return Err(Malformed::Reserved),
            0xc2 | 0xc3 => Head::Bool(marker == 0xc3),
            0xc4..=0xc6 => {
                let length = self.length(marker - 0xc4)?;
                Head::Binary(self.bytes(length)?)
            }
            0xc7..=0xc9 => {
                let length = self.length(marker - 0xc7)?;
                self.extension(length)?
            }
            0xca => Head::Float(f32::from_be_bytes(self.take()?).into()),
            0xcb => Head::Float(f64::from_be_bytes(self.take()?)),
            0xcc => Head::Unsigned(u8::from_be_bytes(self.take()?).into()),
            0xcd => Head::Unsigned(u16::from_be_bytes(self.take()?).into()),
            0xce => Head::Unsigned(u32::from_be_bytes(self.take()?).into()),
            0xcf => Head::Unsigned(u64::from_be_bytes(self.take()?)),
            0xd0 => signed(i8::from_be_bytes(self.take()?).into()),
            0xd1 => signed(i16::from_be_bytes(self.take()?).into()),
            0xd2 => signed(i32::from_be_bytes(self.take()?).into()),
            0xd3 => signed(i64::from_be_bytes(self.take()?)),
            0xd4..=0xd8 => self.extension(1 << (marker - 0xd4))?,
            0xd9..=0xdb => {
                let length = self.length(marker - 0xd9)?;
                Head::Text(self.bytes(length)?)
            }
            0xdc | 0xdd => {
                let length = self.length(marker - 0xdc + 1)?;
                self.list(length)?
            }
            0xde | 0xdf => {
                let length = self.length(marker - 0xde + 1)?;
                self.map(length)?
            }
            0xe0..=0xff => signed(marker.cast_signed().into()),
        })
    }

    /// The next value with all that is in it, as it stands. Of what is in it only the lengths are
    /// looked at.
    pub fn value(&mut self) -> Result<&'a [u8], Malformed> {
        let start = self.rest;
        let mut missing: usize = 1;
        while missing > 0 {
            missing -= 1;
            missing += match self.head()? {
                Head::List(length) => length,
                Head::Map(length) => 2 * length,
                _ => 0,
            };
            if missing > self.rest.len() {
                return Err(Malformed::Truncated);
            }
        }
        Ok(&start[..start.len() - self.rest.len()])
    }

    /// A map's key.
    pub fn key(&mut self) -> Result<&'a str, Malformed> {
        match self.head()? {
            Head::Text(bytes) => text(bytes),
            _ => Err(Malformed::Key),
        }
    }

    /// A length of 1, 2 or 4 bytes: 2 to the power of `width`.
    fn length(&mut self, width: u8) -> Result<usize, Malformed> {
        let length = match width {
            0 => u8::from_be_bytes(self.take()?).into(),
            1 => u16::from_be_bytes(self.take()?).into(),
            _ => u32::from_be_bytes(self.take()?),
        };
        usize::try_from(length).map_err(|_| Malformed::Truncated)
    }

    fn list(&self, length: usize) -> Result<Head<'a>, Malformed> {
        if length > self.rest.len() {
            return Err(Malformed::Truncated);
        }
        Ok(Head::List(length))
    }

    fn map(&self, length: usize) -> Result<Head<'a>, Malformed> {
        if length > self.rest.len() / 2 {
            return Err(Malformed::Truncated);
        }
        Ok(Head::Map(length))
    }

    /// An extension's type and bytes are passed over.
    fn extension(&mut self, length: usize) -> Result<Head<'a>, Malformed> {
        let [_type] = self.take()?;
        self.bytes(length)?;
        Ok(Head::Extension)
    }

    fn bytes(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(*bytes)
    }
}

/// A string's text.
pub fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed::Utf8)
}

fn signed<'a>(number: i64) -> Head<'a> {
    u64::try_from(number).map_or(Head::Negative(number), Head::Unsigned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(bytes: &[u8]) -> Result<Head<'_>, Malformed> {
        Reader::new(bytes).head()
    }

    #[test]
    fn every_kind_of_head() {
        for (bytes, expected) in [
            (&b"\x7f"[..], Head::Unsigned(127)),
            (b"\xe0", Head::Negative(-32)),
            (b"\xff", Head::Negative(-1)),
            (b"\xc0", Head::Nil),
            (b"\xc2", Head::Bool(false)),
            (b"\xc3", Head::Bool(true)),
            (b"\xca\x3f\xc0\x00\x00", Head::Float(1.5)),
            (b"\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00", Head::Float(1.5)),
            (b"\xcc\xff", Head::Unsigned(255)),
            (b"\xcd\x01\x00", Head::Unsigned(256)),
            (b"\xce\x00\x01\x00\x00", Head::Unsigned(65_536)),
            (
                b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
                Head::Unsigned(u64::MAX),
            ),
            (b"\xd0\x80", Head::Negative(-128)),
            (b"\xd0\x01", Head::Unsigned(1)),
            (b"\xd1\x80\x00", Head::Negative(-32_768)),
            (b"\xd2\x80\x00\x00\x00", Head::Negative(i32::MIN.into())),
            (
                b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
                Head::Negative(i64::MIN),
            ),
            (b"\xa2hi", Head::Text(b"hi")),
            (b"\xd9\x02hi", Head::Text(b"hi")),
            (b"\xda\x00\x02hi", Head::Text(b"hi")),
            (b"\xdb\x00\x00\x00\x02hi", Head::Text(b"hi")),
            (b"\xc4\x01x", Head::Binary(b"x")),
            (b"\xc5\x00\x01x", Head::Binary(b"x")),
            (b"\xc6\x00\x00\x00\x01x", Head::Binary(b"x")),
            (b"\x91\x01", Head::List(1)),
            (b"\xdc\x00\x01\x01", Head::List(1)),
            (b"\xdd\x00\x00\x00\x01\x01", Head::List(1)),
            (b"\x81\xa0\x01", Head::Map(1)),
            (b"\xde\x00\x01\xa0\x01", Head::Map(1)),
            (b"\xdf\x00\x00\x00\x01\xa0\x01", Head::Map(1)),
            (b"\xd4\x01x", Head::Extension),
            (b"\xd6\xff\0\0\0\0", Head::Extension),
            (b"\xc7\x00\x01", Head::Extension),
            (b"\xc8\x00\x01\x01x", Head::Extension),
        ] {
            assert_eq!(head(bytes), Ok(expected), "{bytes:x?}");
            // And no beginning of it is a value.
            for end in 0..bytes.len() {
                let cut = Reader::new(&bytes[..end]).value();
                assert_eq!(cut, Err(Malformed::Truncated), "{bytes:x?} up to {end}");
            }
        }
        assert_eq!(head(b"\xc1"), Err(Malformed::Reserved));
    }

    #[test]
    fn lengths_that_lie_are_found_before_anything_is_done() {
        for bytes in [
            &b"\xdd\xff\xff\xff\xff"[..],
            b"\xdf\xff\xff\xff\xff",
            b"\xdb\xff\xff\xff\xff",
            b"\xc6\xff\xff\xff\xff",
            b"\xc9\xff\xff\xff\xff\x01",
            // Each says that there is as much as there is, all together more.
            b"\x92\x92\x92\x92\x00\x00",
            b"\x81\x91\x91\x91",
        ] {
            assert_eq!(
                Reader::new(bytes).value(),
                Err(Malformed::Truncated),
                "{bytes:x?}"
            );
        }
    }

    #[test]
    fn a_value_is_passed_over_whatever_its_depth() {
        let mut deep = vec![0x91; 1_000_000];
        deep.push(0xc0);
        assert_eq!(Reader::new(&deep).value(), Ok(&deep[..]));
        let mut reader = Reader::new(b"\x82\xa1a\x93\x01\x02\x03\x01\xc0\x07");
        assert_eq!(reader.value().map(<[u8]>::len), Ok(9));
        assert_eq!(reader.end(), Err(Malformed::Trailing));
        assert_eq!(reader.value(), Ok(&b"\x07"[..]));
        assert_eq!(reader.end(), Ok(()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = Reader::new(&bytes);
            if let Ok(value) = reader.value() {
                prop_assert!(bytes.starts_with(value) && !value.is_empty());
            }
        }
    }
}
