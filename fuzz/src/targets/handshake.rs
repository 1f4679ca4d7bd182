//! The headers of a handshake.

use crate::protocol::websocket::handshake::{accept, accept_of};

const SPOKEN: [&str; 2] = ["hubbub.json.v1", "hubbub.msgpack.v1"];

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
    let Ok(accepted) = accept("GET", true, headers.iter().copied(), &SPOKEN) else {
        return;
    };
    let is_key = |name: &str| name.eq_ignore_ascii_case("sec-websocket-key");
    let key = headers.iter().find(|(name, _)| is_key(name));
    let (_, key) = key.expect("no handshake is accepted without a key");
    assert_eq!(accepted.accept, accept_of(key.trim_ascii()));
    assert!(accept("POST", true, headers.iter().copied(), &SPOKEN).is_err());
}
