//! permessage-deflate: whatever was compressed inflates within its limit or not at all, and what we
//! compress comes back.

use crate::protocol::websocket::decode::{Decoder, Incoming, Input};
use crate::protocol::websocket::deflate::{Deflater, Inflater};
use crate::protocol::websocket::encode;

/// Limits of a message to choose from, bytes.
const MAX_MESSAGE_BYTES: [usize; 4] = [0, 100, 5000, 1_000_000];

/// Of a frame of a server the same of a client, whose mask changes nothing.
fn masked(frame: &[u8]) -> Vec<u8> {
    let head = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    let mut masked = frame[..head].to_vec();
    masked[1] |= 0x80;
    masked.extend([0; 4]);
    masked.extend_from_slice(&frame[head..]);
    masked
}

/// The message in a compressed frame; none if it is refused.
fn inflate(inflater: &mut Inflater, frame: &[u8], max_message_bytes: usize) -> Option<Vec<u8>> {
    let mut read = masked(frame);
    let mut input = Input::new(&mut read);
    let mut decoder = Decoder::with_deflate(max_message_bytes);
    let deflated = match decoder.next(&mut input) {
        Ok(Some(Incoming::Deflated(deflated))) => deflated,
        Err(_) => return None,
        other => panic!("{other:?}"),
    };
    let message = match inflater.message(deflated, max_message_bytes) {
        Ok(Incoming::Binary(bytes)) => bytes.to_vec(),
        Err(_) => return None,
        other => panic!("{other:?}"),
    };
    assert!(message.len() <= max_message_bytes);
    inflater.release();
    Some(message)
}

/// The first byte chooses the limit, the rest is a compressed message, and one to compress.
pub(super) fn run(data: &[u8]) {
    let [how, payload @ ..] = data else { return };
    let max_message_bytes = MAX_MESSAGE_BYTES[usize::from(how & 3)];
    let plain = encode::binary(payload);

    let mut frame = plain.to_vec();
    frame[0] |= 0x40;
    let mut inflater = Inflater::default();
    let message = inflate(&mut inflater, &frame, max_message_bytes);
    // Nothing is left of a message that was inflated, or refused.
    assert_eq!(inflate(&mut inflater, &frame, max_message_bytes), message);

    if let Some(deflated) = Deflater::new(6).deflate(&plain) {
        assert!(deflated.len() < plain.len());
        let back = inflate(&mut inflater, &deflated, 1 << 20);
        assert_eq!(back.as_deref(), Some(payload));
    }
}
