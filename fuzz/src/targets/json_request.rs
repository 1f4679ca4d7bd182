//! Requests in JSON: what is accepted is JSON and says what was understood.

use std::collections::HashMap;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::protocol::command::Command;
use crate::protocol::native::request::decode_request;

const MAX_BYTES: usize = 256;

pub(super) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(request) = decode_request(text, MAX_BYTES) else {
        return;
    };
    // Raw: numbers that nobody asks for may be larger than any that can be held.
    let fields: HashMap<String, Box<RawValue>> =
        serde_json::from_str(text).expect("what is accepted is JSON");
    let said = |field: &str| -> Option<String> {
        let raw = fields.get(field)?;
        serde_json::from_str(raw.get()).ok()
    };
    if let Some(id) = &request.id {
        let raw: Value = serde_json::from_str(fields["id"].get()).expect("an id");
        assert_eq!(serde_json::to_value(id).expect("an id"), raw);
    }
    match &request.command {
        Command::Publish {
            body, client_id, ..
        } => {
            assert!(body.len() <= MAX_BYTES);
            if body.bytes().is_some() {
                assert_eq!(said("encoding").as_deref(), Some("base64"));
                let again = serde_json::to_value(body).expect("a body");
                assert_eq!(again.as_str(), said("body").as_deref());
            } else {
                assert_eq!(body.text(), said("body").as_deref());
            }
            assert_eq!(Some(&**client_id), said("client_id").as_deref());
        }
        Command::Emit { name, data, .. } => {
            assert!(data.json().len() <= MAX_BYTES);
            assert_eq!(data.json(), fields["data"].get());
            assert_eq!(Some(&**name), said("name").as_deref());
        }
        Command::Resume { cursor } => assert_eq!(Some(&**cursor), said("cursor").as_deref()),
        _ => {}
    }
}
