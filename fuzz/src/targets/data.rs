//! The value of a custom event: every value has one form in JSON and one in MessagePack, and comes
//! back the same from either.

use serde_json::value::RawValue;

use crate::protocol::data::Data;

/// MessagePack from a client, as JSON and back.
pub(super) fn packed(data: &[u8]) {
    let Ok(value) = Data::from_message_pack(data) else {
        return;
    };
    there_and_back(&value);
}

/// JSON from a client, as MessagePack and back.
pub(super) fn json(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(raw) = serde_json::from_str::<&RawValue>(text) else {
        return;
    };
    let Ok(value) = Data::from_json(raw.to_owned()) else {
        return;
    };
    assert_eq!(value.json(), raw.get());
    let unpacked = Data::from_message_pack(value.message_pack()).expect("ours can be read");
    there_and_back(&unpacked);
}

fn there_and_back(value: &Data) {
    let json = RawValue::from_string(value.json().to_owned()).expect("it is JSON");
    let again = Data::from_json(json).expect("our JSON can be read");
    let unpacked = Data::from_message_pack(again.message_pack()).expect("ours can be read");
    assert_eq!(unpacked.json(), value.json());
    // The shortest form of a value is always the same.
    assert_eq!(unpacked, again);
}
