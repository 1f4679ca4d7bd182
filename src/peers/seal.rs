//! How requests and answers between nodes are authenticated. Pure.
//!
//! A request carries the header [`REQUEST_HEADER`]: `1 <from> <to> <time> <nonce> <digest> <mac>`.
//! From and to are `<node>~<incarnation>`, the time is in microseconds since 1970 by Postgres's
//! clock, the nonce 16 random bytes and the digest the SHA-256 of the body, both in hexadecimal.
//! The mac is an HMAC-SHA256, by the secret of the cluster, of a line that names its purpose,
//! the method, the path with its query, and the header up to it. So the header can be judged before
//! any of the body is read.
//!
//! An answer carries [`ANSWER_HEADER`]: `1 <digest> <mac>`, whose mac covers the request's mac,
//! the status and the digest: whoever listens at a dead node's address cannot answer for it.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use super::refused::Refused;
use crate::protocol::origin::Origin;
use crate::store::cluster::Secret;

/// What a request is authenticated by.
pub const REQUEST_HEADER: &str = "hubbub-peer";

/// What an answer is authenticated by.
pub const ANSWER_HEADER: &str = "hubbub-peer-answer";

/// The one version that there is.
const VERSION: &str = "1";

/// Longer than any header of ours.
const HEADER_MAX_BYTES: usize = 512;

/// An HMAC, or a digest.
pub type Hash = [u8; 32];

/// Tells a request from all others.
pub type Nonce = [u8; 16];

/// What a request says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Who asks.
    pub from: Origin,
    /// Who is asked.
    pub to: Origin,
    /// When, microseconds since 1970 by Postgres's clock.
    pub time_us: i64,
    /// Unlike all others.
    pub nonce: Nonce,
    /// The body's SHA-256.
    pub digest: Hash,
}

/// A header that has been read and not yet been judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// What it says.
    pub claims: Claims,
    /// The mac that it shows. Answers refer to it.
    pub mac: Hash,
}

/// A body's digest.
#[must_use]
pub fn digest(body: &[u8]) -> Hash {
    Sha256::digest(body).into()
}

impl Claims {
    fn text(&self) -> String {
        let Self { from, to, .. } = self;
        let (nonce, digest) = (hex(&self.nonce), hex(&self.digest));
        format!("{VERSION} {from} {to} {} {nonce} {digest}", self.time_us)
    }

    fn mac(&self, secret: &Secret, method: &str, path: &str) -> Hmac<Sha256> {
        keyed(
            secret,
            &["hubbub request", method, path, self.text().as_str()],
        )
    }

    /// The header's value, and the mac in it.
    #[must_use]
    pub fn seal(&self, secret: &Secret, method: &str, path: &str) -> (String, Hash) {
        let mac: Hash = self
            .mac(secret, method, path)
            .finalize()
            .into_bytes()
            .into();
        (format!("{} {}", self.text(), hex(&mac)), mac)
    }
}

impl Sealed {
    /// Reads a header's value. None if it is not one of ours.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        if header.len() > HEADER_MAX_BYTES {
            return None;
        }
        let mut parts = header.split(' ');
        let version = parts.next()?;
        let claims = Claims {
            from: Origin::parse(parts.next()?)?,
            to: Origin::parse(parts.next()?)?,
            time_us: parts.next()?.parse().ok()?,
            nonce: unhex(parts.next()?)?,
            digest: unhex(parts.next()?)?,
        };
        let mac = unhex(parts.next()?)?;
        let is_whole = version == VERSION && parts.next().is_none();
        is_whole.then_some(Self { claims, mac })
    }

    /// Judges it by the secret, by who and which life is asked, and by the time. Whether it came
    /// before is not known here.
    pub fn judge(
        &self,
        secret: &Secret,
        (method, path): (&str, &str),
        own: &Origin,
        (now_us, max_age_us): (i64, i64),
    ) -> Result<(), Refused> {
        let claims = &self.claims;
        let mac = claims.mac(secret, method, path);
        // In constant time.
        mac.verify_slice(&self.mac).map_err(|_| Refused::Forged)?;
        if claims.to != *own {
            return Err(Refused::WrongNode);
        }
        let age_us = i128::from(now_us) - i128::from(claims.time_us);
        if age_us.abs() > i128::from(max_age_us) {
            return Err(Refused::Expired);
        }
        Ok(())
    }
}

/// The header's value of an answer to the request with that mac.
#[must_use]
pub fn seal_answer(secret: &Secret, request: &Hash, status: u16, body: &[u8]) -> String {
    let digest = hex(&digest(body));
    let mac = answer_mac(secret, request, status, &digest);
    let mac: Hash = mac.finalize().into_bytes().into();
    format!("{VERSION} {digest} {}", hex(&mac))
}

/// Whether an answer is one to the request with that mac, of somebody who has the secret.
#[must_use]
pub fn is_answer(secret: &Secret, request: &Hash, status: u16, body: &[u8], header: &str) -> bool {
    let read = || {
        let rest = header.strip_prefix(VERSION)?.strip_prefix(' ')?;
        let (shown, mac) = rest.split_once(' ')?;
        let mac: Hash = unhex(mac)?;
        let is_whole = unhex::<32>(shown)? == digest(body);
        let expected = answer_mac(secret, request, status, shown);
        Some(is_whole && expected.verify_slice(&mac).is_ok())
    };
    read().unwrap_or(false)
}

fn answer_mac(secret: &Secret, request: &Hash, status: u16, digest: &str) -> Hmac<Sha256> {
    let (request, status) = (hex(request), status.to_string());
    keyed(secret, &["hubbub answer", &request, &status, digest])
}

/// An HMAC of lines: none of them can have the character that ends it.
fn keyed(secret: &Secret, lines: &[&str]) -> Hmac<Sha256> {
    // As RFC 2104 makes a block of a shorter key.
    let mut key = [0; 64];
    key[..secret.0.len()].copy_from_slice(&secret.0);
    let mut mac = Hmac::<Sha256>::new(&key.into());
    for line in lines {
        mac.update(line.as_bytes());
        mac.update(b"\n");
    }
    mac
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads what [`hex`] writes.
#[must_use]
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    unhex_all(text)?.try_into().ok()
}

/// The same, of any length.
#[must_use]
pub fn unhex_all(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let pairs = text.as_bytes().chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs
        .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: Secret = Secret([7; 32]);
    const TO_ONE: (&str, &str) = ("POST", "/peer/connections");
    const NOW: (i64, i64) = (1_000_000_000, 10_000_000);

    fn origin(node: &str, incarnation: u64) -> Origin {
        Origin {
            node: node.into(),
            incarnation,
        }
    }

    fn claims() -> Claims {
        Claims {
            from: origin("node-a", 3),
            to: origin("node-b", 4),
            time_us: NOW.0,
            nonce: [1; 16],
            digest: digest(b"body"),
        }
    }

    fn judged(
        header: &str,
        own: &Origin,
        secret: &Secret,
        what: (&str, &str),
    ) -> Result<(), Refused> {
        let sealed = Sealed::parse(header).ok_or(Refused::Unsigned)?;
        sealed.judge(secret, what, own, NOW)
    }

    #[test]
    fn an_hmac_is_that_of_rfc_4231() {
        // Test case 1, with the key padded as its block is.
        let mut key = [0; 64];
        key[..20].copy_from_slice(&[0x0b; 20]);
        let mac = Hmac::<Sha256>::new(&key.into()).chain_update(b"Hi There");
        let mac: Hash = mac.finalize().into_bytes().into();
        let expected = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
        assert_eq!(hex(&mac), expected);
    }

    #[test]
    fn what_was_sealed_is_let_in_and_comes_back() {
        let (header, mac) = claims().seal(&SECRET, TO_ONE.0, TO_ONE.1);
        let sealed = Sealed::parse(&header).unwrap();
        assert_eq!((&sealed.claims, sealed.mac), (&claims(), mac));
        assert_eq!(
            judged(&header, &origin("node-b", 4), &SECRET, TO_ONE),
            Ok(())
        );
    }

    #[test]
    fn whatever_is_changed_is_forged() {
        let own = origin("node-b", 4);
        let (header, _) = claims().seal(&SECRET, TO_ONE.0, TO_ONE.1);
        let refused = Err(Refused::Forged);
        assert_eq!(judged(&header, &own, &Secret([8; 32]), TO_ONE), refused);
        assert_eq!(judged(&header, &own, &SECRET, ("GET", TO_ONE.1)), refused);
        assert_eq!(judged(&header, &own, &SECRET, ("POST", "/peer/x")), refused);
        // Any one character of the header.
        for place in 0..header.len() {
            let mut bytes = header.clone().into_bytes();
            bytes[place] = if bytes[place] == b'3' { b'4' } else { b'3' };
            let changed = String::from_utf8(bytes).unwrap();
            let judged = judged(&changed, &own, &SECRET, TO_ONE);
            let expected = [Err(Refused::Forged), Err(Refused::Unsigned)];
            assert!(expected.contains(&judged), "{place}: {judged:?}");
        }
    }

    #[test]
    fn another_life_and_another_time_are_told_apart() {
        let (header, _) = claims().seal(&SECRET, TO_ONE.0, TO_ONE.1);
        for own in [origin("node-b", 5), origin("node-c", 4)] {
            assert_eq!(
                judged(&header, &own, &SECRET, TO_ONE),
                Err(Refused::WrongNode)
            );
        }
        let own = origin("node-b", 4);
        for (time_us, expected) in [
            (NOW.0 - NOW.1, Ok(())),
            (NOW.0 + NOW.1, Ok(())),
            (NOW.0 - NOW.1 - 1, Err(Refused::Expired)),
            (NOW.0 + NOW.1 + 1, Err(Refused::Expired)),
            (i64::MIN, Err(Refused::Expired)),
            (i64::MAX, Err(Refused::Expired)),
        ] {
            let claims = Claims {
                time_us,
                ..claims()
            };
            let (header, _) = claims.seal(&SECRET, TO_ONE.0, TO_ONE.1);
            assert_eq!(
                judged(&header, &own, &SECRET, TO_ONE),
                expected,
                "{time_us}"
            );
        }
    }

    #[test]
    fn what_is_no_header_is_unsigned() {
        let (header, _) = claims().seal(&SECRET, TO_ONE.0, TO_ONE.1);
        for bad in [
            "",
            "1",
            "2 a~1 b~1",
            &header[1..],
            &format!("{header} "),
            &format!(" {header}"),
            &header.replace(' ', "  "),
            &header.to_uppercase(),
            &"1 ".repeat(10_000),
        ] {
            assert_eq!(Sealed::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_answer_belongs_to_its_request() {
        let (_, request) = claims().seal(&SECRET, TO_ONE.0, TO_ONE.1);
        let header = seal_answer(&SECRET, &request, 200, b"yes");
        let is = |secret, request, status, body| is_answer(secret, request, status, body, &header);
        assert!(is(&SECRET, &request, 200, &b"yes"[..]));
        assert!(!is(&SECRET, &request, 200, b"no"));
        assert!(!is(&SECRET, &request, 503, b"yes"));
        assert!(!is(&SECRET, &[0; 32], 200, b"yes"));
        assert!(!is(&Secret([8; 32]), &request, 200, b"yes"));
        for bad in ["", "1", "1 x y", &header[2..]] {
            assert!(!is_answer(&SECRET, &request, 200, b"yes", bad), "{bad}");
        }
    }
}
