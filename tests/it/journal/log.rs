//! A room's log as the tables have it, and the checks that hold for every log.

use std::collections::BTreeMap;

use hubbub::protocol::event::{EventBody, MembershipChange, Role};
use hubbub::protocol::id::EventId;
use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use crate::harness::rest::{User, text};

/// An event of a log.
#[derive(Debug)]
pub(super) struct Logged {
    pub(super) seq: i64,
    pub(super) id: Uuid,
    pub(super) user_id: Uuid,
    pub(super) created_at: Timestamp,
    pub(super) body: EventBody,
}

impl Logged {
    pub(super) fn client_id(&self) -> Option<&str> {
        match &self.body {
            EventBody::Message { client_id, .. } => Some(client_id),
            EventBody::Custom { client_id, .. } => client_id.as_deref(),
            _ => None,
        }
    }

    fn msg_no(&self) -> Option<i64> {
        let number = self.body.msg_no();
        number.map(|number| number.try_into().expect("it fits"))
    }

    /// Asserts that an ack tells of this event.
    pub(super) fn is_told_by(&self, ack: &Value) {
        assert_eq!(ack["seq"], self.seq, "{ack} is of {self:?}");
        assert_eq!(
            ack["msg_no"].as_i64(),
            self.msg_no(),
            "{ack} is of {self:?}"
        );
        assert_eq!(
            text(&ack["id"]),
            self.id.to_string(),
            "{ack} is of {self:?}"
        );
        let created_at: Timestamp = text(&ack["created_at"]).parse().expect("a time");
        assert_eq!(created_at, self.created_at, "{ack} is of {self:?}");
    }
}

/// Reads a room's log, and asserts what holds for every log: the numbers are dense up to the
/// head; the tables beside it tell the same; only members have a say in it; and the membership
/// events make the members.
pub(super) async fn verified(sql: &Client, room: &str) -> Vec<Logged> {
    let room: Uuid = room.parse().expect("a room's id");
    // One snapshot: nodes may still be writing.
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ";
    sql.batch_execute(begin).await.expect("it begins");
    let log = read(sql, room).await;
    verify_numbers(sql, room, &log).await;
    verify_messages(sql, room, &log).await;
    verify_keys(sql, room, &log).await;
    verify_members(sql, room, &log).await;
    sql.batch_execute("COMMIT").await.expect("it ends");
    log
}

async fn query(sql: &Client, statement: &str, room: Uuid) -> Vec<Row> {
    let rows = sql.query(statement, &[&room]).await;
    rows.unwrap_or_else(|error| panic!("{statement}: {error:?}"))
}

async fn read(sql: &Client, room: Uuid) -> Vec<Logged> {
    let events = "SELECT seq, id, user_id, created_at, kind, msg_no, message_id, data
                  FROM room_events WHERE room_id = $1 ORDER BY seq";
    let event = |row: &Row| {
        let msg_no: Option<i64> = row.get("msg_no");
        let msg_no = msg_no.map(|number| number.try_into().expect("above 0"));
        let body = EventBody::from_log(
            row.get("kind"),
            msg_no,
            row.get::<_, Option<Uuid>>("message_id").map(EventId),
            row.get("data"),
        );
        Logged {
            seq: row.get("seq"),
            id: row.get("id"),
            user_id: row.get("user_id"),
            created_at: row.get("created_at"),
            body: body.expect("the event's data can be read"),
        }
    };
    query(sql, events, room).await.iter().map(event).collect()
}

async fn verify_numbers(sql: &Client, room: Uuid, log: &[Logged]) {
    let head = "SELECT last_seq, last_msg_no FROM room_heads WHERE room_id = $1";
    let rows = query(sql, head, room).await;
    let (last_seq, last_msg_no): (i64, i64) = (rows[0].get(0), rows[0].get(1));
    let seqs = log.iter().map(|event| event.seq);
    assert!(seqs.eq(1..=last_seq), "seq is dense up to {last_seq}");
    let numbers = log.iter().filter_map(Logged::msg_no);
    assert!(numbers.eq(1..=last_msg_no), "msg_no up to {last_msg_no}");
}

async fn verify_messages(sql: &Client, room: Uuid, log: &[Logged]) {
    let messages = "SELECT seq, msg_no, id, user_id, client_id, body, created_at
                    FROM messages WHERE room_id = $1 ORDER BY seq";
    let rows = query(sql, messages, room).await;
    let mut rows = rows.iter();
    for event in log {
        let EventBody::Message {
            body, client_id, ..
        } = &event.body
        else {
            continue;
        };
        let row = rows.next().expect("a message for each message event");
        assert_eq!(row.get::<_, i64>("seq"), event.seq);
        assert_eq!(row.get::<_, Option<i64>>("msg_no"), event.msg_no());
        assert_eq!(row.get::<_, Uuid>("id"), event.id);
        assert_eq!(row.get::<_, Uuid>("user_id"), event.user_id);
        assert_eq!(row.get::<_, &str>("client_id"), &**client_id);
        assert_eq!(row.get::<_, &str>("body"), body.text().expect("text"));
        assert_eq!(row.get::<_, Timestamp>("created_at"), event.created_at);
    }
    assert!(rows.next().is_none(), "a message without an event");
}

async fn verify_keys(sql: &Client, room: Uuid, log: &[Logged]) {
    let keys = "SELECT seq, msg_no, id, user_id, client_id, created_at
                FROM publish_keys WHERE room_id = $1 ORDER BY seq";
    let rows = query(sql, keys, room).await;
    let mut rows = rows.iter();
    for event in log {
        let Some(client_id) = event.client_id() else {
            continue;
        };
        let row = rows.next().expect("a key for each event that has one");
        assert_eq!(row.get::<_, i64>("seq"), event.seq);
        assert_eq!(row.get::<_, Option<i64>>("msg_no"), event.msg_no());
        assert_eq!(row.get::<_, Uuid>("id"), event.id);
        assert_eq!(row.get::<_, Uuid>("user_id"), event.user_id);
        assert_eq!(row.get::<_, &str>("client_id"), client_id);
        assert_eq!(row.get::<_, Timestamp>("created_at"), event.created_at);
    }
    assert!(rows.next().is_none(), "a key without an event");
}

/// Applies the log to the room as it was made, and compares the members with the table.
async fn verify_members(sql: &Client, room: Uuid, log: &[Logged]) {
    let created_by = "SELECT created_by FROM rooms WHERE id = $1";
    let creator: Uuid = query(sql, created_by, room).await[0].get(0);
    let mut members = BTreeMap::from([(creator, (Role::Owner, 0))]);
    for event in log {
        let EventBody::Membership {
            user_id,
            change,
            role,
            ..
        } = event.body
        else {
            let is_member = members.contains_key(&event.user_id);
            assert!(is_member, "{event:?} is of nobody in the room");
            continue;
        };
        apply(&mut members, user_id.0, change, role, event);
        let has_owner = members.values().any(|(role, _)| *role == Role::Owner);
        assert!(has_owner || members.is_empty(), "no owner after {event:?}");
    }
    let stored = "SELECT user_id, role, joined_seq FROM room_members WHERE room_id = $1";
    let stored: BTreeMap<Uuid, (Role, i64)> = query(sql, stored, room)
        .await
        .iter()
        .map(|row| {
            let role = Role::parse(row.get("role")).expect("a role");
            (row.get("user_id"), (role, row.get("joined_seq")))
        })
        .collect();
    assert_eq!(members, stored, "the log makes the members");
}

fn apply(
    members: &mut BTreeMap<Uuid, (Role, i64)>,
    member: Uuid,
    change: MembershipChange,
    role: Option<Role>,
    event: &Logged,
) {
    let is_actor_member = members.contains_key(&event.user_id);
    assert!(
        is_actor_member || change == MembershipChange::Joined,
        "{event:?} is of nobody in the room"
    );
    match change {
        MembershipChange::Joined | MembershipChange::Added => {
            let role = role.expect("a role");
            let twice = members.insert(member, (role, event.seq));
            assert_eq!(twice, None, "{event:?} is of a member");
        }
        MembershipChange::Left | MembershipChange::Removed => {
            let gone = members.remove(&member);
            assert!(gone.is_some(), "{event:?} is of no member");
        }
        MembershipChange::Banned => {
            members.remove(&member);
        }
        // Whether somebody may speak or come back is not in the list that is compared.
        MembershipChange::Unbanned | MembershipChange::Muted | MembershipChange::Unmuted => {}
        MembershipChange::Role => {
            let place = members.get_mut(&member).expect("a role is of a member");
            let role = role.expect("a role");
            assert_ne!(place.0, role, "{event:?} changes nothing");
            place.0 = role;
        }
    }
}

/// Asserts that the history over REST, on the reader's node, is the log's messages.
pub(super) async fn verify_history(reader: &User, room: &str, log: &[Logged]) {
    let history = reader.history(room).await;
    let mut history = history.iter();
    for event in log {
        if let EventBody::Message {
            body, client_id, ..
        } = &event.body
        {
            let told = history.next().expect("each message is in the history");
            event.is_told_by(told);
            assert_eq!(told["user_id"], event.user_id.to_string());
            assert_eq!(told["body"], body.text().expect("text"));
            assert_eq!(told["client_id"], **client_id);
        }
    }
    assert_eq!(history.next(), None, "a message that the log does not have");
}
