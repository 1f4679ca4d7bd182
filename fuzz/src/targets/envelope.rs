//! What comes from the bus: what is read can be written and read again as the same.

use uuid::Uuid;

use crate::bus::envelope::Payload;
use crate::protocol::id::RoomId;

pub(super) fn run(data: &[u8]) {
    let room_id = RoomId(Uuid::from_u128(7));
    let Ok(payload) = Payload::decode(room_id, data) else {
        return;
    };
    let written = payload.encode().expect("what was read can be written");
    let again = Payload::decode(room_id, &written).expect("what was written can be read");
    assert_eq!(again, payload);
}
