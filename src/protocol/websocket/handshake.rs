//! The opening handshake, RFC 6455 §4.2: a request's headers → yes, or which status.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

use super::extensions::{self, Deflate, Malformed};

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The yes: what to answer with status 101, beside `Upgrade: websocket` and
/// `Connection: Upgrade`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// `Sec-WebSocket-Accept`.
    pub accept: String,
    /// `Sec-WebSocket-Protocol`, if one that was offered is spoken here.
    pub subprotocol: Option<&'static str>,
    /// Messages may be compressed; [`Deflate::answer`] is `Sec-WebSocket-Extensions`.
    pub deflate: Option<Deflate>,
}

/// What is spoken beside plain WebSocket.
#[derive(Clone, Copy, Debug)]
pub struct Spoken<'a> {
    /// Subprotocols.
    pub subprotocols: &'a [&'static str],
    /// permessage-deflate.
    pub deflate: bool,
}

/// Why a handshake is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// Another method than GET.
    #[error("a WebSocket is opened with GET")]
    Method,
    /// Another version than HTTP/1.1.
    #[error("a WebSocket is opened over HTTP/1.1")]
    HttpVersion,
    /// An ordinary request.
    #[error(
        "this address speaks WebSocket: `Upgrade: websocket` and `Connection: Upgrade` are needed"
    )]
    NotAnUpgrade,
    /// Another version of the protocol.
    #[error("`Sec-WebSocket-Version` must be 13")]
    Version,
    /// No key, several, or not 16 bytes.
    #[error("`Sec-WebSocket-Key` must be 16 bytes in base64")]
    Key,
    /// No or several `Host`s.
    #[error("one `Host` is needed")]
    Host,
    /// Extensions that cannot be read.
    #[error(transparent)]
    Extensions(#[from] Malformed),
}

impl HandshakeError {
    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Method => 405,
            Self::HttpVersion => 505,
            Self::NotAnUpgrade | Self::Version => 426,
            Self::Key | Self::Host | Self::Extensions(_) => 400,
        }
    }

    /// Headers that go with the status.
    #[must_use]
    pub const fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Method => &[("allow", "GET")],
            Self::NotAnUpgrade => &[("upgrade", "websocket"), ("connection", "upgrade")],
            Self::Version => &[
                ("sec-websocket-version", "13"),
                ("upgrade", "websocket"),
                ("connection", "upgrade"),
            ],
            Self::HttpVersion | Self::Key | Self::Host | Self::Extensions(_) => &[],
        }
    }
}

/// A header that must stand alone.
#[derive(Clone, Copy, Debug, Default)]
enum Single<'a> {
    #[default]
    Missing,
    Once(&'a [u8]),
    Repeated,
}

impl<'a> Single<'a> {
    fn add(&mut self, value: &'a [u8]) {
        *self = match self {
            Self::Missing => Self::Once(value.trim_ascii()),
            Self::Once(_) | Self::Repeated => Self::Repeated,
        };
    }

    fn once(self) -> Option<&'a [u8]> {
        match self {
            Self::Once(value) => Some(value),
            Self::Missing | Self::Repeated => None,
        }
    }
}

/// Judges a request. Header names may be in any case and repeated. Of the subprotocols that the
/// client offers, its first that is spoken is chosen, and so of its offers of permessage-deflate
/// the first that can be given; that there is none is no error.
///
/// Whether the origin is allowed and who asks is judged elsewhere.
pub fn accept<'a>(
    method: &str,
    is_http_1_1: bool,
    headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    spoken: Spoken<'_>,
) -> Result<Accepted, HandshakeError> {
    if method != "GET" {
        return Err(HandshakeError::Method);
    }
    if !is_http_1_1 {
        return Err(HandshakeError::HttpVersion);
    }

    let (mut upgrade, mut connection) = (false, false);
    let (mut host, mut version, mut key) =
        (Single::default(), Single::default(), Single::default());
    let mut subprotocol = None;
    let (mut deflate, mut extensions) = (None, Ok(()));
    for (name, value) in headers {
        if name.eq_ignore_ascii_case("upgrade") {
            upgrade |= tokens(value).any(|it| it.eq_ignore_ascii_case(b"websocket"));
        } else if name.eq_ignore_ascii_case("connection") {
            connection |= tokens(value).any(|it| it.eq_ignore_ascii_case(b"upgrade"));
        } else if name.eq_ignore_ascii_case("host") {
            host.add(value);
        } else if name.eq_ignore_ascii_case("sec-websocket-version") {
            version.add(value);
        } else if name.eq_ignore_ascii_case("sec-websocket-key") {
            key.add(value);
        } else if name.eq_ignore_ascii_case("sec-websocket-protocol") && subprotocol.is_none() {
            let known = |offer: &[u8]| {
                let mut known = spoken.subprotocols.iter().copied();
                known.find(|it| it.as_bytes() == offer)
            };
            subprotocol = tokens(value).find_map(known);
        } else if name.eq_ignore_ascii_case("sec-websocket-extensions") {
            match extensions::negotiate(value) {
                Ok(agreed) => deflate = deflate.or(agreed),
                Err(malformed) => extensions = Err(malformed),
            }
        }
    }

    if !(upgrade && connection) {
        return Err(HandshakeError::NotAnUpgrade);
    }
    if version.once() != Some(b"13") {
        return Err(HandshakeError::Version);
    }
    host.once().ok_or(HandshakeError::Host)?;
    let key = key.once().ok_or(HandshakeError::Key)?;
    if STANDARD.decode(key).map_or(0, |bytes| bytes.len()) != 16 {
        return Err(HandshakeError::Key);
    }
    extensions?;
    Ok(Accepted {
        accept: accept_of(key),
        subprotocol,
        deflate: deflate.filter(|_| spoken.deflate),
    })
}

/// What `Sec-WebSocket-Accept` answers to a key.
#[must_use]
pub fn accept_of(key: &[u8]) -> String {
    let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    STANDARD.encode(hash)
}

fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 5] = [
        ("Host", "example.com"),
        ("Upgrade", "WebSocket"),
        ("Connection", "keep-alive, Upgrade"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
    ];

    const SPOKEN: Spoken<'_> = Spoken {
        subprotocols: &["hubbub.json.v1", "hubbub.msgpack.v1"],
        deflate: true,
    };

    fn judge(headers: &[(&str, &str)]) -> Result<Accepted, HandshakeError> {
        let headers = headers
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()));
        accept("GET", true, headers, SPOKEN)
    }

    fn with(name: &str, value: Option<&'static str>) -> Result<Accepted, HandshakeError> {
        let headers: Vec<_> = GOOD
            .into_iter()
            .filter_map(|(n, v)| {
                if n == name {
                    value.map(|v| (n, v))
                } else {
                    Some((n, v))
                }
            })
            .collect();
        judge(&headers)
    }

    #[test]
    fn the_example_of_the_rfc() {
        let accepted = judge(&GOOD).unwrap();
        assert_eq!(accepted.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(accepted.subprotocol, None);
    }

    #[test]
    fn each_header_is_needed() {
        for (name, value, error) in [
            ("Host", None, HandshakeError::Host),
            ("Upgrade", None, HandshakeError::NotAnUpgrade),
            ("Upgrade", Some("h2c"), HandshakeError::NotAnUpgrade),
            ("Connection", None, HandshakeError::NotAnUpgrade),
            (
                "Connection",
                Some("keep-alive"),
                HandshakeError::NotAnUpgrade,
            ),
            ("Sec-WebSocket-Version", None, HandshakeError::Version),
            ("Sec-WebSocket-Version", Some("8"), HandshakeError::Version),
            (
                "Sec-WebSocket-Version",
                Some("13, 8"),
                HandshakeError::Version,
            ),
            ("Sec-WebSocket-Key", None, HandshakeError::Key),
            ("Sec-WebSocket-Key", Some(""), HandshakeError::Key),
            ("Sec-WebSocket-Key", Some("c2hvcnQ="), HandshakeError::Key),
            (
                "Sec-WebSocket-Key",
                Some("!!!!IHNhbXBsZSBub25jZQ=="),
                HandshakeError::Key,
            ),
        ] {
            assert_eq!(with(name, value), Err(error), "{name}: {value:?}");
        }
        assert_eq!(with("Upgrade", Some("websocket")), judge(&GOOD));
    }

    #[test]
    fn a_repeated_key_is_refused_and_a_repeated_connection_is_not() {
        let mut headers = GOOD.to_vec();
        headers.push(("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="));
        assert_eq!(judge(&headers), Err(HandshakeError::Key));
        let mut headers = GOOD.to_vec();
        headers.push(("connection", "close"));
        assert!(judge(&headers).is_ok());
    }

    #[test]
    fn method_and_version() {
        let headers = || GOOD.iter().map(|(name, value)| (*name, value.as_bytes()));
        assert_eq!(
            accept("POST", true, headers(), SPOKEN),
            Err(HandshakeError::Method)
        );
        assert_eq!(
            accept("GET", false, headers(), SPOKEN),
            Err(HandshakeError::HttpVersion)
        );
        assert_eq!(HandshakeError::Version.status(), 426);
        assert!(
            HandshakeError::Version
                .headers()
                .contains(&("sec-websocket-version", "13"))
        );
    }

    #[test]
    fn the_clients_first_choice_that_is_spoken() {
        let mut headers = GOOD.to_vec();
        headers.push(("Sec-WebSocket-Protocol", "soap, hubbub.msgpack.v1"));
        headers.push(("Sec-WebSocket-Protocol", "hubbub.json.v1"));
        assert_eq!(
            judge(&headers).unwrap().subprotocol,
            Some("hubbub.msgpack.v1")
        );
        headers.truncate(5);
        headers.push(("Sec-WebSocket-Protocol", "soap"));
        assert_eq!(judge(&headers).unwrap().subprotocol, None);
    }

    #[test]
    fn extensions_are_agreed_on_or_not() {
        let mut headers = GOOD.to_vec();
        assert_eq!(judge(&headers).unwrap().deflate, None);
        headers.push((
            "Sec-WebSocket-Extensions",
            "foo, permessage-deflate; server_max_window_bits=9",
        ));
        assert_eq!(judge(&headers).unwrap().deflate, None);
        headers.push((
            "sec-websocket-extensions",
            "permessage-deflate; client_max_window_bits",
        ));
        let agreed = judge(&headers).unwrap().deflate.unwrap();
        assert_eq!(
            agreed.answer(),
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
        );
        let off = Spoken {
            deflate: false,
            ..SPOKEN
        };
        let bytes = |(name, value): (&'static str, &'static str)| (name, value.as_bytes());
        let plain = accept("GET", true, headers.iter().copied().map(bytes), off);
        assert_eq!(plain.unwrap().deflate, None);
        // What is malformed is refused, whether it would be wanted or not.
        headers.push(("Sec-WebSocket-Extensions", "permessage-deflate;"));
        assert_eq!(judge(&headers).unwrap_err().status(), 400);
        let refused = accept("GET", true, headers.iter().copied().map(bytes), off);
        assert_eq!(refused, Err(HandshakeError::Extensions(Malformed)));
    }
}
