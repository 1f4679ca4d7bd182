//! Rows of a room's log: what is read can be written and read again as the same.

use uuid::Uuid;

use crate::protocol::event::EventBody;
use crate::protocol::id::EventId;

/// The first byte: the kind; the second: which of the row's columns are there.
pub(super) fn run(data: &[u8]) {
    let [kind, columns, data @ ..] = data else {
        return;
    };
    let msg_no = (columns & 1 != 0).then_some(30);
    let message_id = (columns & 2 != 0).then_some(EventId(Uuid::from_u128(7)));
    let Ok(body) = EventBody::from_log(i16::from(*kind), msg_no, message_id, data) else {
        return;
    };
    assert_eq!(body.kind() as i16, i16::from(*kind));
    let written = body.to_log().expect("what was read can be written");
    let again = EventBody::from_log(
        body.kind() as i16,
        body.msg_no(),
        body.message_id(),
        &written,
    );
    assert_eq!(again.expect("what was written can be read"), body);
}
