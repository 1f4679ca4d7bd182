//! Values between MessagePack and Socket.IO's JSON, in which bytes are attachments: they are sent
//! beside the JSON, and a placeholder stands where they belong.

use super::{PLACEHOLDER, pack, unpack};
use crate::protocol::msgpack::read::{Head, Malformed, Reader};

/// One packet has at most this many: clients refuse more.
pub const ATTACHMENTS_MAX: usize = 10;

/// A key that JavaScript's clients would not put an attachment beside, but change the map itself.
const PROTOTYPE: &[u8] = b"__proto__";

/// JSON and what belongs into it → MessagePack. Each attachment must have exactly one placeholder.
pub(crate) fn pack(
    json: &str,
    attachments: &[impl AsRef<[u8]>],
) -> Result<Vec<u8>, serde_json::Error> {
    pack::pack_with(json, attachments)
}

/// JSON without attachments → MessagePack.
pub(crate) fn pack_plain(json: &str) -> Result<Vec<u8>, serde_json::Error> {
    pack::pack(json)
}

/// MessagePack → JSON, appended, and the attachments for it. None are attached if clients could not
/// put them back: more than [`ATTACHMENTS_MAX`], or a key in the value that means something to
/// them. Then the JSON is as everywhere else, `{"$bin":…}`.
pub(crate) fn unpack<'b>(bytes: &'b [u8], out: &mut Vec<u8>) -> Result<Vec<&'b [u8]>, Malformed> {
    if can_attach(bytes) {
        return unpack::unpack_with(bytes, out);
    }
    unpack_plain(bytes, out)?;
    Ok(Vec::new())
}

/// MessagePack → JSON as everywhere else, appended.
pub(crate) fn unpack_plain(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    out.extend_from_slice(unpack::unpack(bytes)?.as_bytes());
    Ok(())
}

/// Whether the bytes are one value that has a form in JSON.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Malformed> {
    unpack::check(bytes)
}

/// Whether bytes are in a value.
pub(crate) fn has_bytes(value: &[u8]) -> bool {
    heads(value).any(|head| matches!(head, Head::Binary(_)))
}

/// Whether clients get the value right with attachments.
pub(crate) fn can_attach(value: &[u8]) -> bool {
    let mut attachments = 0;
    let confuses = |text: &[u8]| text == PLACEHOLDER.as_bytes() || text == PROTOTYPE;
    for head in heads(value) {
        match head {
            Head::Binary(_) => attachments += 1,
            // As a key. As a text it would do no harm; it is rare enough.
            Head::Text(text) if confuses(text) => return false,
            _ => {}
        }
    }
    (1..=ATTACHMENTS_MAX).contains(&attachments)
}

fn heads(value: &[u8]) -> impl Iterator<Item = Head<'_>> {
    let mut reader = Reader::new(value);
    std::iter::from_fn(move || reader.head().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TWO: &str =
        r#"["m",{"a":{"_placeholder":true,"num":1},"b":[{"num":0,"_placeholder":true}]}]"#;

    fn json_of(packed: &[u8]) -> (String, Vec<Vec<u8>>) {
        let mut out = Vec::new();
        let attachments = unpack(packed, &mut out).unwrap();
        let owned = attachments.into_iter().map(<[u8]>::to_vec).collect();
        (String::from_utf8(out).unwrap(), owned)
    }

    #[test]
    fn bytes_go_where_their_placeholders_are() {
        let packed = pack(TWO, &[b"x", b"y"]).unwrap();
        assert_eq!(
            packed,
            b"\x92\xa1m\x82\xa1a\xc4\x01y\xa1b\x91\xc4\x01x".as_slice()
        );
        let (json, attachments) = json_of(&packed);
        assert_eq!(
            json,
            r#"["m",{"a":{"_placeholder":true,"num":0},"b":[{"_placeholder":true,"num":1}]}]"#
        );
        assert_eq!(attachments, [b"y".to_vec(), b"x".to_vec()]);
    }

    #[test]
    fn placeholders_that_lie_are_refused() {
        for json in [
            // Out of range, no number, no whole number, none at all.
            r#"[{"_placeholder":true,"num":1}]"#,
            r#"[{"_placeholder":true,"num":-1}]"#,
            r#"[{"_placeholder":true,"num":0.5}]"#,
            r#"[{"_placeholder":true,"num":"0"}]"#,
            r#"[{"_placeholder":true,"num":null}]"#,
            r#"[{"_placeholder":true,"num":18446744073709551616}]"#,
            r#"[{"_placeholder":true,"num":"__proto__"}]"#,
            r#"[{"_placeholder":true}]"#,
            // The same bytes twice.
            r#"[{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]"#,
            r#"[{"_placeholder":true,"num":0,"num":0}]"#,
            // Nobody wants them.
            r#"["x"]"#,
            r#"[{"_placeholder":false,"num":0}]"#,
            r#"[{"_placeholder":1,"num":0}]"#,
            r#"[{"_placeholder":"true","num":0}]"#,
        ] {
            assert!(pack(json, &[b"x"]).is_err(), "{json}");
        }
        // Without attachments there are no placeholders: these are maps.
        let packed = pack_plain(r#"[{"_placeholder":true,"num":0}]"#).unwrap();
        assert_eq!(json_of(&packed).0, r#"[{"_placeholder":true,"num":0}]"#);
        assert!(pack(r#"[{"_placeholder":true,"num":0}]"#, &[] as &[&[u8]]).is_err());
    }

    #[test]
    fn keys_of_prototypes_are_keys() {
        let json = r#"[{"__proto__":{"constructor":1},"a":{"_placeholder":true,"num":0}}]"#;
        let packed = pack(json, &[b"x"]).unwrap();
        let (json, attachments) = json_of(&packed);
        // To clients the bytes go in the text: their reassembly would set a prototype.
        assert_eq!(
            json,
            r#"[{"__proto__":{"constructor":1},"a":{"$bin":"eA=="}}]"#
        );
        assert!(attachments.is_empty());
    }

    #[test]
    fn nobody_can_send_placeholders_beside_bytes() {
        // {"_placeholder": true, "num": 99} beside bytes would end a recipient's connection.
        let packed = b"\x92\xc4\x01x\x82\xac_placeholder\xc3\xa3num\x63";
        let (json, attachments) = json_of(packed);
        assert_eq!(json, r#"[{"$bin":"eA=="},{"_placeholder":true,"num":99}]"#);
        assert!(attachments.is_empty());
        let eleven = [&[0x9b][..], &[0xc4, 0].repeat(11)].concat();
        assert!(json_of(&eleven).1.is_empty());
        let ten = [&[0x9a][..], &[0xc4, 0].repeat(10)].concat();
        assert_eq!(json_of(&ten).1.len(), 10);
    }

    proptest! {
        #[test]
        fn what_is_taken_apart_comes_back_together(
            attachments in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..=10)
        ) {
            let mut packed = vec![0x90 | u8::try_from(attachments.len()).unwrap()];
            for bytes in &attachments {
                packed.extend_from_slice(&[0x81, 0xa1, b'k', 0xc4, u8::try_from(bytes.len()).unwrap()]);
                packed.extend_from_slice(bytes);
            }
            let (json, taken) = json_of(&packed);
            prop_assert_eq!(&taken, &attachments);
            prop_assert_eq!(pack(&json, &taken).unwrap(), packed);
        }
    }
}
