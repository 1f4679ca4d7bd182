//! Requests in MessagePack: what is accepted is MessagePack and says what was understood.

use rmpv::Value;

use crate::protocol::command::Command;
use crate::protocol::native::request::decode_packed_request;

const MAX_BYTES: usize = 256;

pub(super) fn run(data: &[u8]) {
    let Ok(request) = decode_packed_request(data, MAX_BYTES) else {
        return;
    };
    let mut rest = data;
    let value = rmpv::decode::read_value(&mut rest).expect("what is accepted is MessagePack");
    assert!(rest.is_empty(), "what follows a request was ignored");
    let sent = |field: &str| {
        let fields = value.as_map().expect("what is accepted is a map");
        let found = fields.iter().find(|(key, _)| key.as_str() == Some(field));
        found.map(|(_, value)| value)
    };
    let said = |field: &str| sent(field).and_then(Value::as_str);
    match &request.command {
        Command::Publish {
            body, client_id, ..
        } => {
            assert!(body.len() <= MAX_BYTES);
            match sent("body") {
                Some(Value::Binary(bytes)) => assert_eq!(body.bytes(), Some(&**bytes)),
                _ if body.bytes().is_some() => assert_eq!(said("encoding"), Some("base64")),
                _ => assert_eq!(body.text(), said("body")),
            }
            assert_eq!(Some(&**client_id), said("client_id"));
        }
        Command::Emit { name, data, .. } => {
            assert!(data.message_pack().len() <= MAX_BYTES);
            let sent = rmpv::decode::read_value(&mut data.message_pack());
            assert!(matches!(sent, Ok(sent) if sent != Value::Nil || data.json() == "null"));
            assert_eq!(Some(&**name), said("name"));
        }
        Command::Resume { cursor } => assert_eq!(Some(&**cursor), said("cursor")),
        _ => {}
    }
}
