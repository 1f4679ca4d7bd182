//! The headers of a handshake, with its offers of extensions.

use crate::protocol::native::Codec;
use crate::protocol::websocket::extensions::negotiate;
use crate::protocol::websocket::handshake::{Spoken, accept, accept_of};

/// Lines of `name: value`.
pub(super) fn run(data: &[u8]) {
    let lines = data.split(|byte| *byte == b'\n');
    let headers: Vec<(&str, &[u8])> = lines
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = std::str::from_utf8(&line[..colon]).ok()?;
            Some((name, &line[colon + 1..]))
        })
        .collect();
    let named = |wanted: &'static str| {
        let found = headers.iter();
        found.filter(move |(name, _)| name.eq_ignore_ascii_case(wanted))
    };
    let judge = |method, deflate| {
        let spoken = Spoken {
            subprotocols: Codec::SUBPROTOCOLS,
            deflate,
        };
        accept(method, true, headers.iter().copied(), spoken)
    };
    let Ok(accepted) = judge("GET", true) else {
        return;
    };
    let key = named("sec-websocket-key").next();
    let (_, key) = key.expect("no handshake is accepted without a key");
    assert_eq!(accepted.accept, accept_of(key.trim_ascii()));
    if let Some(deflate) = accepted.deflate {
        // Only what was offered is answered, and what we answer could be offered.
        assert!(named("sec-websocket-extensions").next().is_some());
        assert_eq!(negotiate(deflate.answer().as_bytes()), Ok(Some(deflate)));
    }
    let without = judge("GET", false).expect("extensions are no condition");
    assert_eq!(without.deflate, None);
    assert!(judge("POST", true).is_err());
}
