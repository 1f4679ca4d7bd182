//! The channels by which nodes tell each other who is present, and the one by which they tell what
//! was touched. They are named like rooms' channels, by ids that no room can have: a room's is of
//! UUID's version 7, these are of version 8.

use uuid::Uuid;

use crate::protocol::id::RoomId;

/// How many parts the rooms' presence is in, each with a channel. All nodes of all versions must
/// divide rooms alike, whatever machines they run on.
pub const SHARDS: u8 = 8;

const HIGH: u64 = 0x8000;
const LOW: u64 = 0x8000_0000_0000_0000;

/// Beyond any part's number.
const TOUCHED: u64 = 0x100;

/// The channel of a part.
#[must_use]
pub fn channel(shard: u8) -> RoomId {
    RoomId(Uuid::from_u64_pair(HIGH, LOW | u64::from(shard)))
}

/// The part that a channel is of, if it is none of a room.
#[must_use]
pub fn shard_of(channel: RoomId) -> Option<u8> {
    let (high, low) = channel.0.as_u64_pair();
    let shard = u8::try_from(low ^ LOW).ok()?;
    (high == HIGH && shard < SHARDS).then_some(shard)
}

/// The channel by which nodes tell what was touched in which room.
#[must_use]
pub fn touched_channel() -> RoomId {
    RoomId(Uuid::from_u64_pair(HIGH, LOW | TOUCHED))
}

/// How many rooms are among so many channels: a node listens to all of these before any room's.
pub(super) fn rooms_among(channels: usize) -> usize {
    channels.saturating_sub(usize::from(SHARDS) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_no_rooms() {
        for shard in 0..SHARDS {
            assert_eq!(shard_of(channel(shard)), Some(shard));
            assert_eq!(channel(shard).0.get_version_num(), 8);
        }
        assert_eq!(shard_of(channel(SHARDS)), None);
        assert_eq!(shard_of(touched_channel()), None);
        assert_eq!(touched_channel().0.get_version_num(), 8);
        assert_eq!(shard_of(RoomId::generate()), None);
    }
}
