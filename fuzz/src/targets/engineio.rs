//! Engine.IO's packets and payloads, of both revisions: what is read can be written and read again,
//! in each form.

use crate::protocol::engineio::payload::{Body, Form, Packets, Payload, utf16_units};
use crate::protocol::engineio::{Packet, PacketError, Revision};

pub(super) fn run(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    let text = std::str::from_utf8(data);
    if let Ok(text) = text {
        assert_eq!(utf16_units(data), text.encode_utf16().count());
    }
    let read = match (kind % 5, text) {
        (0, Ok(text)) => payload(Revision::V4, Form::Records, Body::Text(text)),
        (1, Ok(text)) => payload(Revision::V3, Form::Counted, Body::Text(text)),
        (2, _) => payload(Revision::V3, Form::Framed, Body::Bytes(data)),
        (3, _) => {
            let _ = Packet::from_bytes(Revision::V3, data);
            return;
        }
        (4, Ok(text)) => {
            for revision in [Revision::V3, Revision::V4] {
                if let Ok(packet) = Packet::from_text(revision, text) {
                    again(revision, &packet);
                }
            }
            return;
        }
        _ => return,
    };
    let _ = read;
}

fn payload(revision: Revision, form: Form, body: Body<'_>) -> Result<(), PacketError> {
    let packets: Vec<_> = Packets::of(revision, body).collect::<Result<_, _>>()?;
    let mut payload = Payload::new(form);
    for packet in &packets {
        payload.packet(packet);
        again(revision, packet);
    }
    let written = payload.finish();
    let body = match form {
        Form::Framed => Body::Bytes(&written),
        _ => Body::Text(std::str::from_utf8(&written).expect("text")),
    };
    let read: Vec<_> = Packets::of(revision, body)
        .collect::<Result<_, _>>()
        .expect("what we write");
    assert_eq!(read, packets);
    Ok(())
}

fn again(revision: Revision, packet: &Packet<'_>) {
    let mut out = Vec::new();
    packet.append(revision, &mut out);
    let read = if packet.is_binary() {
        Packet::from_bytes(revision, &out)
    } else {
        Packet::from_text(revision, std::str::from_utf8(&out).expect("text"))
    };
    assert_eq!(read.as_ref(), Ok(packet));
}
