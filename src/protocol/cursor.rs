//! Cursors: where a client stands in several rooms, in one short string.
//!
//! It is base64url without padding over: one version byte, then for each room its id
//! (16 bytes), epoch (4 bytes, little-endian) and `seq` (LEB128). It carries no signature:
//! membership is checked again whenever one is used.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::event::{Epoch, Seq};
use super::id::RoomId;

/// A cursor is at most this long, characters.
pub const CURSOR_MAX_CHARS: usize = 4096;

/// So many positions always fit into a cursor, whatever their `seq`s: each is at most 30 bytes,
/// and 4 characters hold 3.
pub const CURSOR_ROOMS_MAX: usize = (CURSOR_MAX_CHARS / 4 * 3 - 1) / 30;

const VERSION: u8 = 1;

/// Where a client stands in one room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The room.
    pub room_id: RoomId,
    /// The log's life.
    pub epoch: Epoch,
    /// The last event that the client has.
    pub seq: Seq,
}

/// Why a cursor cannot be made or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// More rooms than fit.
    #[error("the positions of {0} rooms do not fit into a cursor of {CURSOR_MAX_CHARS} characters")]
    TooManyRooms(usize),
    /// Not one of ours.
    #[error("not a cursor")]
    Malformed,
}

/// Writes a cursor.
pub fn encode(positions: &[Position]) -> Result<String, CursorError> {
    let mut bytes = Vec::with_capacity(1 + positions.len() * 24);
    bytes.push(VERSION);
    for position in positions {
        bytes.extend_from_slice(position.room_id.0.as_bytes());
        bytes.extend_from_slice(&position.epoch.0.to_le_bytes());
        write_varint(&mut bytes, position.seq);
    }
    let text = URL_SAFE_NO_PAD.encode(&bytes);
    if text.len() > CURSOR_MAX_CHARS {
        return Err(CursorError::TooManyRooms(positions.len()));
    }
    Ok(text)
}

/// Reads a cursor, whoever wrote it. None of ours names a room twice.
pub fn decode(text: &str) -> Result<Vec<Position>, CursorError> {
    if text.len() > CURSOR_MAX_CHARS {
        return Err(CursorError::Malformed);
    }
    let bytes = URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| CursorError::Malformed)?;
    let Some((&VERSION, mut rest)) = bytes.split_first() else {
        return Err(CursorError::Malformed);
    };
    let mut positions: Vec<Position> = Vec::new();
    while !rest.is_empty() {
        let (id, tail) = rest
            .split_first_chunk::<16>()
            .ok_or(CursorError::Malformed)?;
        let (epoch, mut tail) = tail
            .split_first_chunk::<4>()
            .ok_or(CursorError::Malformed)?;
        let seq = read_varint(&mut tail).ok_or(CursorError::Malformed)?;
        let room_id = RoomId(Uuid::from_bytes(*id));
        if positions.iter().any(|known| known.room_id == room_id) {
            return Err(CursorError::Malformed);
        }
        positions.push(Position {
            room_id,
            epoch: Epoch(i32::from_le_bytes(*epoch)),
            seq,
        });
        rest = tail;
    }
    Ok(positions)
}

fn write_varint(bytes: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

/// Takes a `u64` off the front; none if it is cut short or does not fit.
fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let low = u64::from(byte & 0x7f);
        if shift == 63 && low > 1 {
            return None;
        }
        value |= low << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn position(seq: Seq) -> Position {
        Position {
            room_id: RoomId::generate(),
            epoch: Epoch(7),
            seq,
        }
    }

    #[test]
    fn it_comes_back() {
        let positions: Vec<_> = [0, 1, 127, 128, u64::MAX].map(position).into();
        assert_eq!(decode(&encode(&positions).unwrap()), Ok(positions));
        assert_eq!(decode(&encode(&[]).unwrap()), Ok(Vec::new()));
    }

    #[test]
    fn as_many_rooms_as_promised_fit_at_their_longest() {
        let longest: Vec<_> = (0..CURSOR_ROOMS_MAX).map(|_| position(u64::MAX)).collect();
        assert_eq!(encode(&longest).unwrap().len(), 4082);
    }

    #[test]
    fn a_hundred_rooms_fit_and_a_thousand_do_not() {
        let many: Vec<_> = (0..100).map(position).collect();
        assert!(encode(&many).is_ok());
        let too_many: Vec<_> = (0..1000).map(position).collect();
        assert_eq!(encode(&too_many), Err(CursorError::TooManyRooms(1000)));
    }

    #[test]
    fn a_room_stands_there_once() {
        let twice = position(3);
        let text = encode(&[twice, position(4), twice]).unwrap();
        assert_eq!(decode(&text), Err(CursorError::Malformed));
    }

    proptest! {
        #[test]
        fn whatever_bytes_it_holds_it_is_ours_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let text = URL_SAFE_NO_PAD.encode([&[VERSION], bytes.as_slice()].concat());
            if let Ok(positions) = decode(&text) {
                prop_assert_eq!(decode(&encode(&positions).unwrap()), Ok(positions));
            }
        }

        #[test]
        fn garbage_is_refused_or_read_but_never_more(text in ".{0,200}") {
            if let Ok(positions) = decode(&text) {
                prop_assert!(positions.len() * 21 <= text.len());
            }
        }

        #[test]
        fn cut_short_is_refused(cut in 1usize..28) {
            let text = encode(&[position(300)]).unwrap();
            prop_assert!(decode(&text[..text.len() - cut]).is_err() || cut + 2 >= text.len());
        }
    }
}
