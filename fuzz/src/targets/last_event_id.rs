//! What a client gives back of an event stream.

use crate::protocol::cursor;
use crate::protocol::sse::LastEventId;

pub(super) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match LastEventId::parse(text) {
        Ok(LastEventId::Room(position)) => assert_eq!(position.to_string(), text),
        Ok(LastEventId::Cursor(positions)) => assert_eq!(cursor::decode(text), Ok(positions)),
        Err(_) => {}
    }
}
