//! Socket.IO's packets in JSON, and in MessagePack: what is read can be written and read again, and
//! what is put together is bounded.

use crate::protocol::engineio::Revision;
use crate::protocol::native::Codec;
use crate::protocol::socketio::Packet;
use crate::protocol::socketio::command::command;
use crate::protocol::socketio::decode::Decoder;
use crate::protocol::socketio::encode::encode;
use crate::protocol::socketio::message::Message;

const MAX_BYTES: usize = 4096;

/// A packet, and behind each byte 0xff an attachment.
pub(super) fn json(data: &[u8]) {
    for revision in [Revision::V3, Revision::V4] {
        let mut parts = data.split(|byte| *byte == 0xff);
        let Ok(text) = std::str::from_utf8(parts.next().unwrap_or_default()) else {
            return;
        };
        let mut decoder = Decoder::new(revision, MAX_BYTES);
        let Ok(mut packet) = decoder.text(text) else {
            continue;
        };
        for attachment in parts {
            if packet.is_some() {
                break;
            }
            match decoder.bytes(attachment) {
                Ok(next) => packet = next,
                Err(_) => return,
            }
        }
        if let Some(packet) = packet {
            again(Codec::Json, revision, &packet);
        }
    }
}

pub(super) fn packed(data: &[u8]) {
    let mut decoder = Decoder::new(Revision::V4, MAX_BYTES);
    if let Ok(Some(packet)) = decoder.bytes(data) {
        again(Codec::MessagePack, Revision::V4, &packet);
    }
}

fn again(codec: Codec, revision: Revision, packet: &Packet<'_>) {
    if let Packet::Event { args, .. } = packet {
        let _ = command(args, 256);
    }
    // JSON that is too deep to be carried is refused where it is used.
    let Ok(message) = encode(codec, revision, packet) else {
        assert_eq!(codec, Codec::Json);
        return;
    };
    let mut decoder = Decoder::new(revision, 4 * MAX_BYTES);
    let read = read(&mut decoder, &message);
    // Of the older revision a query stands behind the namespace: it is a part of it here.
    assert_eq!(read.as_ref(), Some(packet));
}

fn read<'m>(decoder: &mut Decoder, message: &'m Message) -> Option<Packet<'m>> {
    let body = message.body();
    let mut packet = if message.is_text() {
        let text = std::str::from_utf8(&body[1..]).expect("text");
        decoder.text(text).expect("what we write")
    } else {
        decoder.bytes(body).expect("what we write")
    };
    for bytes in message.attachments() {
        assert!(packet.is_none());
        packet = decoder.bytes(bytes).expect("what we write");
    }
    packet
}
