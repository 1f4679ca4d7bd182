use proptest::prelude::*;

use super::*;
use crate::protocol::engineio::Revision::{V3, V4};

fn read(revision: Revision, body: Body<'_>) -> Result<Vec<Packet<'_>>, PacketError> {
    Packets::of(revision, body).collect()
}

fn write(form: Form, packets: &[Packet<'_>]) -> Bytes {
    let mut payload = Payload::new(form);
    for packet in packets {
        payload.packet(packet);
    }
    payload.finish()
}

fn text(text: &str) -> Packet<'_> {
    Packet::Text(text.into())
}

fn body(form: Form, payload: &[u8]) -> Body<'_> {
    match form {
        Form::Framed => Body::Bytes(payload),
        _ => Body::Text(std::str::from_utf8(payload).unwrap()),
    }
}

/// The examples of both protocols' documents.
#[test]
fn the_documents_examples() {
    let bytes = Packet::Binary((&[1, 2, 3, 4][..]).into());
    let examples: &[(Form, &[Packet<'_>], &[u8])] = &[
        (
            Form::Records,
            &[text("hello"), Packet::Ping("".into()), text("world")],
            b"4hello\x1e2\x1e4world",
        ),
        (
            Form::Records,
            &[text("hello"), bytes.clone()],
            b"4hello\x1ebAQIDBA==",
        ),
        (
            Form::Counted,
            &[text("hello"), text("€")],
            "6:4hello2:4€".as_bytes(),
        ),
        (
            Form::Counted,
            &[text("€"), bytes.clone()],
            "2:4€10:b4AQIDBA==".as_bytes(),
        ),
        (
            // The document's example leaves out the type before the bytes, its parser does not.
            Form::Framed,
            &[text("€"), bytes.clone()],
            &[0, 4, 255, 0x34, 0xe2, 0x82, 0xac, 1, 5, 255, 4, 1, 2, 3, 4],
        ),
        (
            Form::Framed,
            &[text("hello"), bytes],
            &[
                0, 6, 255, 52, 104, 101, 108, 108, 111, 1, 5, 255, 4, 1, 2, 3, 4,
            ],
        ),
        (Form::Counted, &[], b"0:"),
    ];
    for (form, packets, payload) in examples {
        assert_eq!(write(*form, packets), payload, "{form:?}");
        let revision = form.revision();
        assert_eq!(
            read(revision, body(*form, payload)).as_deref(),
            Ok(*packets)
        );
    }
}

#[test]
fn lengths_are_in_utf16_code_units() {
    let packets = [text("\u{1f600}"), text("x")];
    let payload = write(Form::Counted, &packets);
    assert_eq!(payload, "3:4\u{1f600}2:4x".as_bytes());
    assert_eq!(
        read(V3, body(Form::Counted, &payload)).as_deref(),
        Ok(&packets[..])
    );
    assert_eq!(utf16_units("a€\u{1f600}".as_bytes()), 4);
}

/// A client that counts characters would take `4😀2` here.
#[test]
fn what_may_be_counted_wrong_goes_as_bytes() {
    assert_eq!(Form::of(V3, true, false, true), Form::Framed);
    assert_eq!(Form::of(V3, true, true, false), Form::Framed);
    assert_eq!(Form::of(V3, true, false, false), Form::Counted);
    // Nothing else is left for those that cannot read bytes.
    assert_eq!(Form::of(V3, false, true, true), Form::Counted);
    assert_eq!(Form::of(V4, true, true, true), Form::Records);
    assert!(has_pairs("a\u{1f600}".as_bytes()) && !has_pairs("a€".as_bytes()));
}

#[test]
fn lengths_that_lie_are_refused() {
    for payload in [
        "",
        "4hello",
        ":4hello",
        "5:4hello",
        "7:4hello",
        "6:4hello6:4",
        "6:4hello6",
        "06:4hello",
        "00:",
        "+6:4hello",
        "6.0:4hello",
        "6 :4hello",
        "-1:4",
        "1e1:4hellohell",
        "99999999999999999999:4",
        "1000000000:4",
        // Within a character.
        "2:4\u{1f600}",
        "1:\u{1f600}",
        // Not a packet.
        "1:x",
        "2:1x",
    ] {
        assert!(read(V3, Body::Text(payload)).is_err(), "{payload:?}");
    }
    for payload in [
        &[0][..],
        &[0, 255],
        &[0, 1, 255],
        &[0, 2, 255, 0x34],
        &[0, 10, 255, 0x34],
        &[0, 0, 1, 255, 0x34],
        &[2, 1, 255, 0x34],
        &[0, 1, 255, 0xff],
        &[1, 1, 255, 0x34],
        &[1, 0, 255],
        &[0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 255],
        b"6:4hello",
    ] {
        assert!(read(V3, Body::Bytes(payload)).is_err(), "{payload:?}");
    }
}

#[test]
fn what_is_before_an_error_is_read_and_nothing_behind_it() {
    let mut packets = Packets::of(V4, Body::Text("4a\x1ex\x1e4b"));
    assert_eq!(packets.next(), Some(Ok(text("a"))));
    assert_eq!(packets.next(), Some(Err(PacketError::Type)));
    assert_eq!(packets.next(), None);
    for empty in ["", "4a\x1e", "\x1e4a", "4a\x1e\x1e4b"] {
        assert!(read(V4, Body::Text(empty)).is_err(), "{empty:?}");
    }
}

#[test]
fn there_are_not_too_many_packets() {
    let many = vec!["6"; PACKETS_MAX].join("\x1e");
    assert_eq!(
        read(V4, Body::Text(&many)).map(|it| it.len()),
        Ok(PACKETS_MAX)
    );
    let more = format!("{many}\x1e6");
    assert_eq!(read(V4, Body::Text(&more)), Err(PacketError::TooMany));
    // What counts as no packet does not make it go on for ever either.
    let nothing = "0:".repeat(100_000);
    assert_eq!(read(V3, Body::Text(&nothing)), Ok(vec![]));
}

fn packets() -> impl Strategy<Value = Vec<Packet<'static>>> {
    let data = "[^\u{1e}]{0,12}";
    let packet = prop_oneof![
        data.prop_map(|it| Packet::Open(it.into())),
        Just(Packet::Close),
        data.prop_map(|it| Packet::Ping(it.into())),
        data.prop_map(|it| Packet::Pong(it.into())),
        data.prop_map(|it| Packet::Text(it.into())),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|it| Packet::Binary(it.into())),
        Just(Packet::Upgrade),
        Just(Packet::Noop),
    ];
    prop::collection::vec(packet, 1..6)
}

proptest! {
    #[test]
    fn what_is_written_is_read(packets in packets()) {
        for form in [Form::Records, Form::Counted, Form::Framed] {
            let payload = write(form, &packets);
            prop_assert_eq!(
                read(form.revision(), body(form, &payload)),
                Ok(packets.clone()),
                "{:?}",
                form
            );
        }
        for packet in &packets {
            for revision in [V3, V4] {
                let mut out = Vec::new();
                packet.append(revision, &mut out);
                let read = if packet.is_binary() {
                    Packet::from_bytes(revision, &out)
                } else {
                    Packet::from_text(revision, std::str::from_utf8(&out).unwrap())
                };
                prop_assert_eq!(read.as_ref(), Ok(packet));
            }
        }
    }

    #[test]
    fn text_is_counted_as_javascript_does(text in any::<String>()) {
        prop_assert_eq!(utf16_units(text.as_bytes()), text.encode_utf16().count());
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[0-9b:€\u{1f600}\u{1e}ax=]{0,40}") {
        for revision in [V3, V4] {
            let _ = read(revision, Body::Text(&text));
            let _ = Packet::from_text(revision, &text);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in prop::collection::vec(prop_oneof![Just(255u8), 0..10u8, any::<u8>()], 0..60)
    ) {
        let _ = read(V3, Body::Bytes(&bytes));
        let _ = Packet::from_bytes(V3, &bytes);
    }
}
