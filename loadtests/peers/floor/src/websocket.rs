//! The little of RFC 6455 that is needed: a handshake, whole masked frames in, frames out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

/// What clients may send at once.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 1 << 20;

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A request that was read whole.
pub(crate) struct Handshake {
    pub(crate) room: String,
    pub(crate) answer: String,
    /// Where the first frame begins.
    pub(crate) length: usize,
}

/// Reads a handshake. `Ok(None)`: it is not all there yet.
pub(crate) fn handshake(bytes: &[u8]) -> Result<Option<Handshake>, &'static str> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if bytes.len() > 8192 {
            Err("the handshake is too long")
        } else {
            Ok(None)
        };
    };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| "the handshake is not UTF-8")?;
    let mut lines = head.split("\r\n");
    let path = lines.next().and_then(|line| line.split(' ').nth(1));
    let query = path
        .and_then(|path| path.split_once('?'))
        .map_or("", |it| it.1);
    let room = query.split('&').find_map(|pair| pair.strip_prefix("room="));
    let key = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key")
            .then(|| value.trim())
    });
    let key = key.ok_or("the handshake has no Sec-WebSocket-Key")?;
    let mut sha = Sha1::new();
    sha.update(key);
    sha.update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let accept = STANDARD.encode(sha.finalize());
    Ok(Some(Handshake {
        room: room.unwrap_or_default().to_owned(),
        answer: format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        ),
        length: end + 4,
    }))
}

/// What a frame asks for.
pub(crate) enum Received {
    /// `frame` is to be written to everybody in the room.
    Message,
    /// `frame` is to be written to the sender.
    Ping,
    Nothing,
    Close,
}

/// Takes one whole frame of a client off the front of `bytes`, and puts what is to be written
/// into `frame`. Answers how long it was; `Ok(None)`: it is not all there yet.
pub(crate) fn receive(
    bytes: &[u8],
    frame: &mut Vec<u8>,
) -> Result<Option<(usize, Received)>, &'static str> {
    let [first, second, ..] = *bytes else {
        return Ok(None);
    };
    if second & 0x80 == 0 {
        return Err("a frame is not masked");
    }
    if first & 0x80 == 0 {
        return Err("a message is in fragments");
    }
    let extended = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let head = 2 + extended + 4;
    if bytes.len() < head {
        return Ok(None);
    }
    let length = if extended == 0 {
        usize::from(second & 0x7f)
    } else {
        bytes[2..2 + extended]
            .iter()
            .fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte))
    };
    if length > MAX_PAYLOAD_BYTES {
        return Err("a message is too long");
    }
    let Some(payload) = bytes.get(head..head + length) else {
        return Ok(None);
    };
    let opcode = first & 0x0f;
    let received = match opcode {
        TEXT | BINARY => Received::Message,
        PING => Received::Ping,
        CLOSE => Received::Close,
        _ => Received::Nothing,
    };
    frame.clear();
    frame.push(0x80 | if opcode == PING { PONG } else { opcode });
    push_length(frame, length);
    let mask = &bytes[head - 4..head];
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b));
    Ok(Some((head + length, received)))
}

#[allow(clippy::cast_possible_truncation, reason = "each is asked about first")]
fn push_length(frame: &mut Vec<u8>, length: usize) {
    if length < 126 {
        frame.push(length as u8);
    } else if length <= 0xffff {
        frame.push(126);
        frame.extend((length as u16).to_be_bytes());
    } else {
        frame.push(127);
        frame.extend((length as u64).to_be_bytes());
    }
}
