use uuid::Uuid;

use super::*;
use crate::protocol::event::Epoch;
use crate::protocol::id::RoomId;

fn positions(count: u128) -> Vec<Position> {
    let position = |room| Position {
        room_id: RoomId(Uuid::from_u128(room)),
        epoch: Epoch(1),
        seq: 41,
    };
    (0..count).map(position).collect()
}

#[test]
fn up_to_32_rooms_an_offset_is_a_cursor() {
    for rooms in [0, 1, 32] {
        let offset = offset(&positions(rooms));
        assert_eq!(cursor::decode(&offset), Ok(positions(rooms)));
    }
    assert_eq!(offset(&positions(33)), "!");
}

#[test]
fn what_shows_who_a_client_is() {
    let json = Value::json(r#"{"pid":"p","offset":"AQ","token":"\u0074","cursor":null,"x":[{}]}"#);
    let packed = b"\x85\xa3pid\xa1p\xa6offset\xa2AQ\xa5token\xa1t\xa6cursor\xc0\xa1x\x91\x80";
    for data in [json, Value::packed(packed)] {
        let expected = Credentials {
            token: Some("t".into()),
            pid: Some("p".into()),
            offset: Some("AQ".into()),
            ..Credentials::default()
        };
        assert_eq!(Credentials::read(Some(&data)), expected);
    }
    assert_eq!(Credentials::read(None), Credentials::default());
    for nothing in ["{}", "[]", "{", r#"{"token":5,"pid":{},"offset":[]}"#] {
        let read = Credentials::read(Some(&Value::json(nothing)));
        assert_eq!(read, Credentials::default(), "{nothing}");
    }
    let single = Value::json(r#"{"rooms":"single"}"#);
    assert!(Credentials::read(Some(&single)).is_single_room);
    let query = [("token", "t"), ("offset", "AQ"), ("uid", "x")];
    let query = query.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let expected = Credentials {
        token: Some("t".into()),
        ..Credentials::default()
    };
    assert_eq!(Credentials::of_query(query), expected);
}

#[test]
fn where_a_client_stands_that_comes_back() {
    let stands = |pid: Option<&str>, offset: Option<&str>| {
        let credentials = Credentials {
            pid: pid.map(Into::into),
            offset: offset.map(Into::into),
            ..Credentials::default()
        };
        credentials.recovery()
    };
    let at = positions(2);
    let here = offset(&at);
    assert_eq!(stands(Some("p"), Some(&here)), Offset::At(at));
    assert_eq!(stands(None, Some(&here)), Offset::New);
    assert_eq!(stands(None, None), Offset::New);
    // No event with a cursor came yet, too many rooms, or what is not ours.
    for offset in [None, Some("!"), Some(""), Some("message"), Some("AQ!")] {
        assert_eq!(stands(Some("p"), offset), Offset::Lost, "{offset:?}");
    }
    let long = "x".repeat(PID_MAX_BYTES + 1);
    assert_eq!(stands(Some(&long), Some("AQ")), Offset::Lost);
    let many = cursor::encode(&positions(33)).unwrap();
    assert_eq!(stands(Some("p"), Some(&many)), Offset::Lost);
}

#[test]
fn official_clients_are_told_by_the_order_of_their_query() {
    let javascript = "EIO=4&transport=polling&t=abc";
    assert!(takes_offsets(javascript, Some("Mozilla/5.0")));
    assert!(takes_offsets("token=x&EIO=4&transport=websocket", None));
    assert!(!takes_offsets(javascript, Some("Dart/3.1 (dart:io)")));
    assert!(!takes_offsets("transport=polling&EIO=4", None));
    assert!(!takes_offsets("", None));
}

#[test]
fn no_tail_is_longer_than_the_most() {
    for rooms in [0, 1, 2, 31, 32, 33, 100] {
        let position = |_| Position {
            room_id: RoomId::generate(),
            epoch: Epoch(i32::MAX),
            seq: u64::MAX,
        };
        let positions: Vec<_> = (0..rooms).map(position).collect();
        assert!(
            offset(&positions).len() + 4 <= tail_max_bytes(rooms),
            "{rooms}"
        );
    }
}
