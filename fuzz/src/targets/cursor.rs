//! Cursors, whoever wrote them: what is read can be written and read again.

use crate::protocol::cursor::{decode, encode};

pub(super) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(positions) = decode(text) else { return };
    // Ours is the shortest form: what we write is never longer than what we have read.
    let again = encode(&positions).expect("it has fitted into a cursor before");
    assert!(again.len() <= text.len());
    assert_eq!(decode(&again), Ok(positions));
}
