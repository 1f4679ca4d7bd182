//! What is in the database when a run is over: each room's log, and the state that was changed
//! with it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;

use hubbub::protocol::event::{Epoch, Event, EventBody};
use hubbub::protocol::id::{EventId, RoomId, UserId};
use hubbub::protocol::push::Push;
use serde_json::Value;
use tokio_postgres::{Client, Row};

use super::model::{Message, Model, Text};

/// The rooms, by their ids.
pub(super) type Stored = BTreeMap<String, StoredRoom>;

/// A room as it is stored.
#[derive(Clone, Debug, Default)]
pub(super) struct StoredRoom {
    pub(super) epoch: u64,
    pub(super) last_seq: u64,
    pub(super) last_msg_no: u64,
    /// The first event that retention has left.
    pub(super) first_seq: u64,
    /// Each event as it is pushed, by its `seq`.
    pub(super) log: BTreeMap<u64, Value>,
    /// The state beside the log.
    pub(super) state: Model,
}

/// Reads all rooms, as of one moment.
pub(super) async fn read(client: &Client) -> Stored {
    let begun = client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    begun.await.expect("a transaction can be begun");
    let stored = read_rooms(client).await;
    client
        .batch_execute("COMMIT")
        .await
        .expect("it can be ended");
    stored
}

async fn read_rooms(client: &Client) -> Stored {
    let heads = client
        .query(
            "SELECT room_id::text, epoch, last_seq, last_msg_no, first_seq FROM room_heads",
            &[],
        )
        .await
        .expect("the heads can be read");
    let mut stored = Stored::new();
    for row in &heads {
        let id: String = row.get(0);
        let room = StoredRoom {
            epoch: u64::try_from(row.get::<_, i32>(1)).expect("an epoch"),
            last_seq: unsigned(row, 2),
            last_msg_no: unsigned(row, 3),
            first_seq: unsigned(row, 4),
            log: log(client, &id).await,
            state: state(client, &id).await,
        };
        stored.insert(id, room);
    }
    stored
}

async fn log(client: &Client, room: &str) -> BTreeMap<u64, Value> {
    let rows = client
        .query(
            "SELECT e.seq, e.kind, e.msg_no, e.data, e.room_id, e.id, e.user_id, e.created_at,
                    h.epoch, e.message_id
             FROM room_events e JOIN room_heads h USING (room_id)
             WHERE e.room_id = $1::text::uuid ORDER BY e.seq",
            &[&room],
        )
        .await
        .expect("the log can be read");
    rows.iter()
        .map(|row| {
            let msg_no: Option<i64> = row.get(2);
            let msg_no = msg_no.map(|n| u64::try_from(n).expect("a msg_no"));
            let message_id: Option<uuid::Uuid> = row.get(9);
            let message_id = message_id.map(EventId);
            let body = EventBody::from_log(row.get(1), msg_no, message_id, row.get(3));
            let event = Event {
                room_id: RoomId(row.get(4)),
                epoch: Epoch(row.get(8)),
                seq: unsigned(row, 0),
                id: EventId(row.get(5)),
                user_id: UserId(row.get(6)),
                created_at: row.get(7),
                body: body.unwrap_or_else(|error| panic!("{room} {row:?}: {error}")),
            };
            let push = serde_json::to_value(Push::from(&event)).expect("a push is JSON");
            (event.seq, push)
        })
        .collect()
}

async fn state(client: &Client, room: &str) -> Model {
    let mut model = Model::default();
    let rows = client
        .query(
            "SELECT msg_no, seq, id::text, user_id::text, body, edited_at IS NOT NULL,
                    deleted_at IS NOT NULL, pinned_at IS NOT NULL,
                    thread_id::text, replies, mentions::text[], body_bytes
             FROM messages WHERE room_id = $1::text::uuid",
            &[&room],
        )
        .await
        .expect("the messages can be read");
    for row in &rows {
        let is_deleted = row.get(6);
        let body: String = row.get(4);
        let bytes: Option<&[u8]> = row.get(11);
        let message = Message {
            seq: unsigned(row, 1),
            id: row.get(2),
            user_id: row.get(3),
            text: match bytes {
                Some(bytes) => Text::of_bytes(&STANDARD.encode(bytes)),
                None if is_deleted && body.is_empty() => Text::Redacted,
                None => Text::Is(body),
            },
            is_edited: row.get(5),
            is_deleted,
            is_pinned: row.get(7),
            reactions: std::collections::BTreeSet::new(),
            thread: row.get(8),
            replies: unsigned(row, 9),
            mentions: row
                .get::<_, Option<Vec<String>>>(10)
                .unwrap_or_default()
                .into_iter()
                .collect(),
        };
        model.messages.insert(unsigned(row, 0), message);
    }
    let rows = client
        .query(
            "SELECT m.msg_no, r.emoji, r.user_id::text
             FROM reactions r JOIN messages m ON m.id = r.message_id
             WHERE r.room_id = $1::text::uuid",
            &[&room],
        )
        .await
        .expect("the reactions can be read");
    for row in &rows {
        let message = model.messages.get_mut(&unsigned(row, 0));
        let reactions = &mut message.expect("it is in the room").reactions;
        reactions.insert((row.get(1), row.get(2)));
    }
    let rows = client
        .query(
            "SELECT user_id::text, role FROM room_members WHERE room_id = $1::text::uuid",
            &[&room],
        )
        .await
        .expect("the members can be read");
    model.members = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let rows = client
        .query(
            "SELECT user_id::text FROM room_members
             WHERE room_id = $1::text::uuid AND muted_until > now()
             UNION ALL
             SELECT user_id::text FROM room_mutes
             WHERE room_id = $1::text::uuid AND until > now()",
            &[&room],
        )
        .await
        .expect("the mutes can be read");
    model.muted = rows.iter().map(|row| row.get(0)).collect();
    let rows = client
        .query(
            "SELECT user_id::text FROM room_bans WHERE room_id = $1::text::uuid",
            &[&room],
        )
        .await
        .expect("the bans can be read");
    model.banned = rows.iter().map(|row| row.get(0)).collect();
    model
}

fn unsigned(row: &Row, column: usize) -> u64 {
    u64::try_from(row.get::<_, i64>(column)).expect("a number from 0")
}
