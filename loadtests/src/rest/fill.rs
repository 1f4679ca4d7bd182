//! Rooms with many messages, put into the node's database by a few statements.

use std::fmt::Write as _;

use serde::Serialize;
use tokio_postgres::Client;

use crate::error::LoadError;

/// Rooms that nobody asks for before a storm does.
const STORMS_MAX: u32 = 32;

/// A room has at least twice as many messages as a page.
const PAGES_MIN: u32 = 2;

/// Which rooms are for what, by their number, and how many messages each has.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Rooms {
    /// Of the mix, for each server that is given it.
    pub(super) mixed: u32,
    /// Messages of each room.
    pub(super) messages: u32,
}

impl Rooms {
    /// For so many messages in all, on pages of so many; at most so many rooms in a mix.
    pub(super) fn of(messages: u32, mixed: u32, limit: u32) -> Self {
        let rooms_max = messages / (limit * PAGES_MIN);
        let mixed = mixed
            .min(rooms_max.saturating_sub(Self::others()) / 2)
            .max(1);
        let mut rooms = Self { mixed, messages: 0 };
        rooms.messages = messages.div_ceil(rooms.count()).max(limit * PAGES_MIN);
        rooms
    }

    fn others() -> u32 {
        STORMS_MAX * 2 + 1
    }

    pub(super) fn count(self) -> u32 {
        self.mixed * 2 + Self::others()
    }

    /// The first room of the mix of a node, or of the other server.
    pub(super) fn first_mixed(self, node: bool) -> u32 {
        if node { 0 } else { self.mixed }
    }

    /// Rooms, from the first one on, whose older pages are read.
    pub(super) fn walked(self) -> u32 {
        self.mixed * 2
    }

    /// The room whose newest page everybody reads.
    pub(super) fn hot(self) -> u32 {
        self.mixed * 2
    }

    /// The room of a storm.
    pub(super) fn of_storm(self, node: bool, number: u32) -> u32 {
        let turn = if node { 0 } else { STORMS_MAX };
        self.hot() + 1 + turn + number % STORMS_MAX
    }
}

/// The id of a room, by its number.
pub(super) fn room_id(number: u32) -> String {
    let mut id = String::with_capacity(36);
    // Writing to a string does not fail.
    let _ = write!(id, "01900000-0000-7000-8000-{number:012x}");
    id
}

/// Every user becomes a member of all rooms. Messages of a room are not beside each other on the disk,
/// as those that are said at the same time are not. Their events are not there, as if retention had
/// removed them.
pub(super) async fn fill(
    database: &mut Client,
    rooms: Rooms,
    body_bytes: usize,
) -> Result<(), LoadError> {
    let (count, each) = (rooms.count(), rooms.messages);
    let total = u64::from(count) * u64::from(each);
    let room = |number: &str| {
        format!("('01900000-0000-7000-8000-' || lpad(to_hex({number}), 12, '0'))::uuid")
    };
    let (of_room, of_message) = (room("n"), room("n % count"));
    let statements = format!(
        "SET LOCAL synchronous_commit = off;
         INSERT INTO rooms (id, slug, name, created_by)
         SELECT {of_room}, 'bench-' || n, 'Bench ' || n, (SELECT min(id::text)::uuid FROM users)
         FROM generate_series(0, {count} - 1) AS n;
         INSERT INTO room_heads (room_id, epoch, last_seq, last_msg_no, first_seq)
         SELECT {of_room}, 1, {each}, {each}, {each} + 1 FROM generate_series(0, {count} - 1) AS n;
         INSERT INTO room_members (room_id, user_id, role, joined_seq)
         SELECT {of_room}, users.id, 'member', 0 FROM generate_series(0, {count} - 1) AS n, users;
         INSERT INTO messages (id, room_id, seq, msg_no, user_id, client_id, body, created_at)
         SELECT
             ('01910000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, {of_message},
             n / count + 1, n / count + 1, users.ids[(1 + n % cardinality(users.ids))::int], 'bench-' || n,
             rpad('message ' || n / count + 1 || ' of room ' || n % count || ' ', {body_bytes}, 'words '),
             now() - make_interval(secs => ({total} - n) / 100.0)
         FROM
             (SELECT array_agg(id) AS ids FROM users) AS users, (SELECT {count}::bigint AS count) AS rooms,
             generate_series(0, {total}::bigint - 1) AS n;"
    );
    let filling = database.transaction().await?;
    filling.batch_execute(&statements).await?;
    filling.commit().await?;
    // What would otherwise be done while something is measured.
    for statement in [
        "VACUUM (ANALYZE) messages, room_members, rooms, room_heads",
        "CHECKPOINT",
    ] {
        database.batch_execute(statement).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_room_is_for_two_purposes() {
        for messages in [1, 20_000, 1_000_000] {
            let rooms = Rooms::of(messages, 1000, 50);
            let mixed = (0..rooms.mixed)
                .flat_map(|n| [true, false].map(|node| rooms.first_mixed(node) + n));
            let storms =
                (0..STORMS_MAX).flat_map(|n| [true, false].map(|node| rooms.of_storm(node, n)));
            let mut all: Vec<u32> = mixed.chain([rooms.hot()]).chain(storms).collect();
            all.sort_unstable();
            assert!(all.iter().copied().eq(0..rooms.count()), "{messages}");
            assert!(rooms.messages >= 100, "{messages}");
        }
    }

    #[test]
    fn there_are_as_many_messages_as_are_asked_for() {
        let rooms = Rooms::of(1_000_000, 1000, 50);
        let total = rooms.count() * rooms.messages;
        assert_eq!(rooms.mixed, 1000);
        assert!((1_000_000..1_003_000).contains(&total), "{total}");
    }
}
