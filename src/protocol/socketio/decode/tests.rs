use proptest::prelude::*;

use super::*;
use crate::protocol::engineio::Revision::{V3, V4};

const BYTES_MAX: usize = 1000;

fn one(revision: Revision, text: &str) -> Result<Packet<'_>, DecodeError> {
    let mut decoder = Decoder::new(revision, BYTES_MAX);
    decoder
        .text(text)
        .map(|packet| packet.expect("a whole packet"))
}

fn event<'a>(nsp: &'a str, id: Option<u64>, args: &'a str) -> Packet<'a> {
    Packet::Event {
        nsp: nsp.into(),
        id,
        args: Value::json(args),
    }
}

/// The examples of both documents, as far as they are the same in both revisions.
#[test]
fn the_documents_examples() {
    let nsp = Cow::Borrowed("/admin");
    let ack = Packet::Ack {
        nsp: nsp.clone(),
        id: 13,
        args: Value::json(r#"["bar"]"#),
    };
    let none = Packet::Connect {
        nsp: "/".into(),
        data: None,
    };
    let admin = Packet::Connect {
        nsp: nsp.clone(),
        data: None,
    };
    let sid = Packet::Connect {
        nsp: nsp.clone(),
        data: Some(Value::json(r#"{"sid":"oSO0OpakMV_3jnilAAAA"}"#)),
    };
    let error = Packet::ConnectError {
        nsp: "/".into(),
        data: Value::json(r#"{"message":"Not authorized"}"#),
    };
    let text = Packet::ConnectError {
        nsp: nsp.clone(),
        data: Value::json(r#""Not authorized""#),
    };
    for (wire, packet) in [
        ("0", none),
        ("0/admin,", admin),
        (r#"0/admin,{"sid":"oSO0OpakMV_3jnilAAAA"}"#, sid),
        (r#"4{"message":"Not authorized"}"#, error),
        (r#"4/admin,"Not authorized""#, text),
        (r#"2["foo"]"#, event("/", None, r#"["foo"]"#)),
        (r#"2/admin,["bar"]"#, event("/admin", None, r#"["bar"]"#)),
        (r#"212["foo"]"#, event("/", Some(12), r#"["foo"]"#)),
        (
            r#"2/admin,456["project:delete",123]"#,
            event("/admin", Some(456), r#"["project:delete",123]"#),
        ),
        (r#"3/admin,13["bar"]"#, ack),
        ("1", Packet::Disconnect { nsp: "/".into() }),
        ("1/admin,", Packet::Disconnect { nsp }),
    ] {
        for revision in [V3, V4] {
            assert_eq!(one(revision, wire).as_ref(), Ok(&packet), "{wire}");
        }
    }
    // The comma may be missing where nothing follows.
    assert_eq!(
        one(V4, "0/admin").map(|it| it.nsp().to_owned()),
        Ok("/admin".into())
    );
}

#[test]
fn the_documents_binary_examples() {
    for (wire, attachments, id, is_ack, args) in [
        (
            r#"51-["baz",{"_placeholder":true,"num":0}]"#,
            &[&[1, 2, 3, 4][..]][..],
            None,
            false,
            &b"\x92\xa3baz\xc4\x04\x01\x02\x03\x04"[..],
        ),
        (
            r#"52-/admin,["baz",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#,
            &[&[1, 2], &[3, 4]],
            None,
            false,
            b"\x93\xa3baz\xc4\x02\x01\x02\xc4\x02\x03\x04",
        ),
        (
            r#"61-15["bar",{"_placeholder":true,"num":0}]"#,
            &[&[1, 2, 3, 4]],
            Some(15),
            true,
            b"\x92\xa3bar\xc4\x04\x01\x02\x03\x04",
        ),
        (
            r#"61-/admin,456[{"_placeholder":true,"num":0}]"#,
            &[&[3, 2, 1]],
            Some(456),
            true,
            b"\x91\xc4\x03\x03\x02\x01",
        ),
    ] {
        for revision in [V3, V4] {
            let mut decoder = Decoder::new(revision, BYTES_MAX);
            assert_eq!(decoder.text(wire), Ok(None), "{wire}");
            let (last, before) = attachments.split_last().unwrap();
            for bytes in before {
                assert!(decoder.is_waiting());
                assert_eq!(decoder.bytes(bytes), Ok(None));
            }
            let packet = decoder.bytes(last).unwrap().expect("a whole packet");
            assert!(!decoder.is_waiting());
            let nsp = if wire.contains("/admin") {
                "/admin"
            } else {
                "/"
            };
            let expected = match (is_ack, id) {
                (true, Some(id)) => Packet::Ack {
                    nsp: nsp.into(),
                    id,
                    args: Value::packed(args),
                },
                _ => Packet::Event {
                    nsp: nsp.into(),
                    id,
                    args: Value::packed(args),
                },
            };
            assert_eq!(packet, expected, "{wire}");
            // And the next may come.
            assert!(decoder.text("2[\"a\"]").is_ok());
        }
    }
}

/// "The payload is mandatory and MUST be a non-empty array. If that's not the case, then the
/// receiver MUST close the connection." Of an acknowledgement: "MUST be an array (possibly empty)".
#[test]
fn what_breaks_the_rules_is_refused() {
    use DecodeError as E;
    let many = format!("2[\"a\"{}]", ",0".repeat(300));
    let long_nsp = format!("0/{},", "x".repeat(NAMESPACE_MAX_BYTES));
    for (wire, error) in [
        ("", E::Kind),
        ("abc", E::Kind),
        ("7", E::Kind),
        ("9[]", E::Kind),
        ("-1", E::Kind),
        ("€", E::Kind),
        ("2", E::Data),
        ("2{}", E::Data),
        ("2[]", E::Data),
        ("2null", E::Data),
        ("2\"a\"", E::Data),
        ("2[null]", E::Data),
        ("2[true]", E::Data),
        ("2[{}]", E::Data),
        ("2[[\"a\"]]", E::Data),
        ("2[\"a\"", E::Data),
        ("2[\"a\"]x", E::Data),
        ("2[\"a\",]", E::Data),
        ("2[\"\\ud800\"]", E::Data),
        ("2abc[\"message-with-ack\",1]", E::Data),
        ("2/admin[\"a\"]", E::Data),
        ("2-1[\"a\"]", E::Data),
        ("2 1[\"a\"]", E::Data),
        ("29007199254740992[\"a\"]", E::Id),
        ("299999999999999999999999[\"a\"]", E::Id),
        ("3[]", E::Id),
        ("31", E::Data),
        ("31{}", E::Data),
        ("0[]", E::Data),
        ("0\"a\"", E::Data),
        ("0null", E::Data),
        ("0{", E::Data),
        ("05", E::Id),
        ("05{}", E::Id),
        ("1{}", E::Data),
        ("1x", E::Data),
        ("12", E::Id),
        ("4", E::Data),
        ("45", E::Id),
        ("5[\"a\"]", E::Attachments),
        ("5-[\"a\"]", E::Attachments),
        ("5x-[\"a\"]", E::Attachments),
        ("51", E::Attachments),
        ("50-[\"a\"]", E::Attachments),
        ("5+1-[\"a\"]", E::Attachments),
        ("51.0-[\"a\"]", E::Attachments),
        ("5-1-[\"a\"]", E::Attachments),
        ("511-[\"a\"]", E::TooManyAttachments),
        ("5999999-[\"a\"]", E::TooManyAttachments),
        ("51-", E::Data),
        ("51-{}", E::Data),
        ("51-[{\"_placeholder\":true,\"num\":0}]", E::Data),
        (
            "51-[\"connect\",{\"_placeholder\":true,\"num\":0}]",
            E::Reserved,
        ),
        (&many, E::Data),
        (&long_nsp, E::Namespace),
    ] {
        for revision in [V3, V4] {
            let refused = Decoder::new(revision, BYTES_MAX * 2).text(wire).map(|_| ());
            assert_eq!(refused, Err(error.clone()), "{wire:?}");
        }
    }
    for name in RESERVED_EVENTS {
        let wire = format!("2[\"{name}\"]");
        assert_eq!(one(V4, &wire), Err(E::Reserved));
    }
    let long = format!("2[\"{}\"]", "x".repeat(BYTES_MAX));
    assert_eq!(one(V4, &long), Err(E::TooLarge));
}

#[test]
fn what_revisions_differ_in() {
    // A refusal's reason may be anything in the older one.
    assert_eq!(one(V4, "4[1]"), Err(DecodeError::Data));
    assert!(one(V3, "4[1]").is_ok());
    // The older one has a query behind a namespace.
    assert_eq!(
        one(V3, "0/admin?token=1234&uid=abcd,").map(|it| it.nsp().to_owned()),
        Ok("/admin?token=1234&uid=abcd".into())
    );
}

#[test]
fn a_name_may_be_a_number() {
    assert_eq!(one(V4, "2[1,2]"), Ok(event("/", None, "[1,2]")));
    assert_eq!(one(V4, "2[-1.5e3]"), Ok(event("/", None, "[-1.5e3]")));
}

#[test]
fn attachments_come_one_after_the_other_and_nothing_else() {
    let wire = r#"52-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
    let mut decoder = Decoder::new(V4, BYTES_MAX);
    decoder.text(wire).unwrap();
    assert_eq!(decoder.text("2[\"a\"]"), Err(DecodeError::Text));
    let mut decoder = Decoder::new(V3, BYTES_MAX);
    assert_eq!(decoder.bytes(b"x"), Err(DecodeError::Bytes));
    let mut decoder = Decoder::new(V4, BYTES_MAX);
    decoder.text("0").unwrap();
    assert_eq!(decoder.bytes(b"x"), Err(DecodeError::Bytes));
}

#[test]
fn what_is_put_together_is_bounded() {
    let wire = r#"52-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
    let mut decoder = Decoder::new(V4, BYTES_MAX);
    decoder.text(wire).unwrap();
    let left = BYTES_MAX - wire.len();
    assert_eq!(decoder.bytes(&vec![0; left]), Ok(None));
    assert_eq!(decoder.bytes(&[0]), Err(DecodeError::TooLarge));
}

#[test]
fn placeholders_must_fit() {
    for args in [
        r#"["a"]"#,
        r#"["a",{"_placeholder":true,"num":1}]"#,
        r#"["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]"#,
        r#"["a",{"_placeholder":true,"num":"0"}]"#,
    ] {
        let wire = format!("51-{args}");
        let mut decoder = Decoder::new(V4, BYTES_MAX);
        assert_eq!(decoder.text(&wire), Ok(None));
        let refused = decoder.bytes(b"x");
        assert!(
            matches!(refused, Err(DecodeError::Placeholder(_))),
            "{args}"
        );
    }
    let deep = format!("51-[\"a\",{}{}]", "[".repeat(10_000), "]".repeat(10_000));
    let mut decoder = Decoder::new(V4, 100_000);
    assert_eq!(decoder.text(&deep), Ok(None));
    assert!(matches!(
        decoder.bytes(b"x"),
        Err(DecodeError::Placeholder(_))
    ));
    // Where nothing is put in, depth is the application's business.
    let deep = format!("2[\"a\",{}{}]", "[".repeat(10_000), "]".repeat(10_000));
    assert!(Decoder::new(V4, 100_000).text(&deep).is_ok());
}

#[test]
fn the_first_packet_says_how_a_client_writes() {
    let mut decoder = Decoder::new(V4, BYTES_MAX);
    assert_eq!(decoder.codec(), None);
    let connect = b"\x82\xa4type\x00\xa3nsp\xa1/";
    assert!(matches!(
        decoder.bytes(connect),
        Ok(Some(Packet::Connect { .. }))
    ));
    assert_eq!(decoder.codec(), Some(Codec::MessagePack));
    assert_eq!(decoder.text("0"), Err(DecodeError::Text));
    let mut decoder = Decoder::new(V4, BYTES_MAX);
    decoder.text("0").unwrap();
    assert_eq!(decoder.codec(), Some(Codec::Json));
    assert_eq!(decoder.bytes(connect), Err(DecodeError::Bytes));
    assert_eq!(Decoder::new(V3, BYTES_MAX).codec(), Some(Codec::Json));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(
        text in "[0-9]{0,2}-?(/[a-z?]{0,3},)?[0-9]{0,3}[\\[\\]{}\",:a-z0-9€ _.-]{0,30}"
    ) {
        for revision in [V3, V4] {
            let _ = Decoder::new(revision, BYTES_MAX).text(&text);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = Decoder::new(V4, BYTES_MAX).bytes(&bytes);
    }
}
