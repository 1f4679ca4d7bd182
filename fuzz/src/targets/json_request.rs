//! Requests in JSON: what is accepted is JSON and says what was understood.

use serde_json::Value;

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
    let value: Value = serde_json::from_str(text).expect("what is accepted is JSON");
    let said = |field: &str| value[field].as_str();
    if let Some(id) = &request.id {
        assert_eq!(serde_json::to_value(id).expect("an id"), value["id"]);
    }
    match &request.command {
        Command::Publish {
            body, client_id, ..
        } => {
            assert!(body.len() <= MAX_BYTES);
            if body.bytes().is_some() {
                assert_eq!(said("encoding"), Some("base64"));
                let again = serde_json::to_value(body).expect("a body");
                assert_eq!(again.as_str(), said("body"));
            } else {
                assert_eq!(body.text(), said("body"));
            }
            assert_eq!(Some(&**client_id), said("client_id"));
        }
        Command::Emit { name, data, .. } => {
            assert!(data.json().len() <= MAX_BYTES);
            assert_eq!(Some(&**name), said("name"));
        }
        Command::Resume { cursor } => assert_eq!(Some(&**cursor), said("cursor")),
        _ => {}
    }
}
