//! The head of an answer over HTTP/1.1: no more of it than is checked.

use memchr::memmem;

/// How an answer came about, as `X-Cache` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Hit,
    Miss,
    Coalesced,
    Stale,
    /// It does not say.
    Untold,
}

impl How {
    pub(super) const ALL: [Self; 5] = [
        Self::Hit,
        Self::Miss,
        Self::Coalesced,
        Self::Stale,
        Self::Untold,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hit => "HIT",
            Self::Miss => "MISS",
            Self::Coalesced => "COALESCED",
            Self::Stale => "STALE",
            Self::Untold => "untold",
        }
    }

    fn of(value: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|how| how.name().as_bytes() == value)
    }
}

/// A head that is there as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Its own length, with the empty line.
    pub(super) bytes: usize,
    pub(super) status: u16,
    /// Bytes that follow.
    pub(super) body_bytes: usize,
    pub(super) how: How,
}

/// Reads a head; nothing if it is not there as a whole.
pub(super) fn read(bytes: &[u8]) -> Result<Option<Head>, &'static str> {
    let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
        return Ok(None);
    };
    let (first, rest) = match memmem::find(&bytes[..end], b"\r\n") {
        Some(at) => (&bytes[..at], &bytes[at..end]),
        None => (&bytes[..end], &[][..]),
    };
    let status = first
        .strip_prefix(b"HTTP/1.1 ")
        .and_then(|rest| number(rest.get(..3)?))
        .and_then(|status| u16::try_from(status).ok())
        .ok_or("an answer without a status")?;
    let mut length = None;
    let mut how = How::Untold;
    for line in rest.split(|byte| *byte == b'\n') {
        if let Some(value) = value(line, b"content-length:") {
            length = Some(number(value).ok_or("a length that is no number")?);
        } else if let Some(value) = value(line, b"x-cache:") {
            how = How::of(value).ok_or("an unknown X-Cache")?;
        }
    }
    // They have no body, whatever length they tell (RFC 9110, section 8.6).
    let body_bytes = if matches!(status, 204 | 304) {
        0
    } else {
        length.ok_or("an answer without Content-Length")?
    };
    Ok(Some(Head {
        bytes: end + 4,
        status,
        body_bytes,
        how,
    }))
}

/// The value of a line, if it is this header; the name is in lower case.
fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

fn number(digits: &[u8]) -> Option<usize> {
    str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_checked_of_a_head() {
        let answer =
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nEtag: \"x\"\r\nX-CACHE:  STALE \r\n\r\n[]";
        let head = read(answer).unwrap().unwrap();
        let wanted = Head {
            bytes: answer.len() - 2,
            status: 200,
            body_bytes: 2,
            how: How::Stale,
        };
        assert_eq!(head, wanted);
        for end in 0..head.bytes {
            assert_eq!(read(&answer[..end]), Ok(None), "{end}");
        }
    }

    #[test]
    fn an_answer_that_says_not_modified_has_no_body() {
        for length in ["", "content-length: 700\r\n"] {
            let answer = format!("HTTP/1.1 304 Not Modified\r\n{length}\r\n");
            let head = read(answer.as_bytes()).unwrap().unwrap();
            assert_eq!((head.status, head.body_bytes), (304, 0));
            assert_eq!(head.how, How::Untold);
        }
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        for answer in [
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nX-Cache: BANANA\r\n\r\n",
            "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n",
            "garbage\r\n\r\n",
            "\r\n\r\n",
        ] {
            assert!(read(answer.as_bytes()).is_err(), "{answer:?}");
        }
    }
}
