use proptest::prelude::*;

use super::*;
use crate::hub::journal::entry::{MemberChange, ReplyTo};
use crate::protocol::event::MembershipChange;

const LIMITS: BatchLimits = BatchLimits {
    max_events: 4,
    max_bytes: 10_000,
};

fn entry(room_id: RoomId, user_id: UserId, content: Content) -> Entry {
    Entry {
        room_id,
        user_id,
        id: EventId::generate(),
        content,
        received_at: Instant::now(),
        reply_to: ReplyTo::caller().0,
        permit: None,
    }
}

fn message(room: RoomId, sender: UserId, client_id: &str) -> Entry {
    entry(
        room,
        sender,
        Content::Message {
            body: "x".into(),
            client_id: client_id.into(),
            thread: None,
            mentions: Box::default(),
        },
    )
}

fn leave(room: RoomId, member_id: UserId) -> Entry {
    entry(
        room,
        member_id,
        Content::Membership(MemberChange::new(member_id, MembershipChange::Left)),
    )
}

fn change(room: RoomId, user: UserId, message_id: EventId, change: MessageChange) -> Entry {
    let content = Content::Change {
        message_id,
        change,
        client_id: None,
    };
    entry(room, user, content)
}

fn react(emoji: &str) -> MessageChange {
    MessageChange::React {
        emoji: emoji.into(),
        remove: false,
    }
}

fn keys(batch: &[Entry]) -> Vec<&str> {
    batch
        .iter()
        .map(|e| e.content.client_id().unwrap_or("-"))
        .collect()
}

fn queue(entries: Vec<Entry>) -> Queue {
    let mut queue = Queue::new(LIMITS);
    for entry in entries {
        queue.push(entry);
    }
    queue
}

#[test]
fn batches_are_bounded_and_in_order() {
    let (room, user) = (RoomId::generate(), UserId::generate());
    let mut queue = queue(
        ["a", "b", "c", "d", "e"]
            .map(|k| message(room, user, k))
            .into(),
    );
    assert_eq!(keys(&queue.next_batch().entries), ["a", "b", "c", "d"]);
    assert_eq!(keys(&queue.next_batch().entries), ["e"]);
    assert!(queue.next_batch().entries.is_empty());
    assert!(queue.is_empty());
}

#[test]
fn one_entry_goes_whatever_its_size() {
    let (room, user) = (RoomId::generate(), UserId::generate());
    let big = Content::Message {
        body: "x".repeat(20_000).into(),
        client_id: "big".into(),
        thread: None,
        mentions: Box::default(),
    };
    let mut queue = queue(vec![entry(room, user, big), message(room, user, "small")]);
    assert_eq!(keys(&queue.next_batch().entries), ["big"]);
    assert_eq!(keys(&queue.next_batch().entries), ["small"]);
}

#[test]
fn a_key_is_in_a_batch_once_and_holds_nobody_up() {
    let (room, other, user) = (RoomId::generate(), RoomId::generate(), UserId::generate());
    let mut queue = queue(vec![
        message(room, user, "a"),
        message(room, user, "a"),
        message(room, user, "b"),
        message(other, user, "a"),
    ]);
    let batch = queue.next_batch();
    assert_eq!(keys(&batch.entries), ["a", "b", "a"]);
    assert_eq!(keys(&batch.followers), ["a"]);
    assert_eq!(batch.followers[0].room_id, room);
    assert!(queue.is_empty());
}

#[test]
fn something_else_under_a_used_key_is_not_taken_for_the_same() {
    let (room, user) = (RoomId::generate(), UserId::generate());
    let say = |body: &str| {
        let content = Content::Message {
            body: body.into(),
            client_id: "k".into(),
            thread: None,
            mentions: Box::default(),
        };
        entry(room, user, content)
    };
    let mut queue = queue(vec![say("one"), say("one"), say("other"), say("one")]);
    let sizes = std::iter::from_fn(|| {
        let batch = queue.next_batch();
        (!batch.entries.is_empty()).then_some((batch.entries.len(), batch.followers.len()))
    });
    // Each is judged by what the database knows of the key, not by a fate that is another's.
    assert_eq!(sizes.collect::<Vec<_>>(), [(1, 1), (1, 0), (1, 0)]);
}

#[test]
fn a_membership_change_is_alone_with_its_room() {
    let (room, other, user) = (RoomId::generate(), RoomId::generate(), UserId::generate());
    let mut queue = queue(vec![
        message(room, user, "a"),
        leave(room, user),
        message(room, user, "b"),
        leave(other, user),
    ]);
    assert_eq!(keys(&queue.next_batch().entries), ["a", "-"]);
    assert_eq!(keys(&queue.next_batch().entries), ["-"]);
    assert_eq!(keys(&queue.next_batch().entries), ["b"]);
}

#[test]
fn a_held_room_waits_and_the_others_go_on() {
    let (held, free, user) = (RoomId::generate(), RoomId::generate(), UserId::generate());
    let mut queue = queue(vec![message(held, user, "b"), message(free, user, "c")]);
    queue.hold(vec![message(held, user, "a")], Instant::now());
    assert_eq!(keys(&queue.next_batch().entries), ["c"]);
    assert_eq!(keys(&queue.next_patient().unwrap().entries), ["a"]);
    assert!(
        queue.next_batch().entries.is_empty(),
        "still held by the lane"
    );
    queue.release(held);
    assert_eq!(keys(&queue.next_batch().entries), ["b"]);
}

#[test]
fn held_rooms_are_tried_one_after_the_other_until_they_are_free() {
    let (one, other, user) = (RoomId::generate(), RoomId::generate(), UserId::generate());
    let mut queue = queue(vec![message(one, user, "later")]);
    let since = Instant::now();
    let entries = ["a", "b", "c"].map(|key| {
        let room = if key == "b" { other } else { one };
        message(room, user, key)
    });
    queue.hold(entries.into(), since);
    let first = queue.next_patient().unwrap();
    assert_eq!(keys(&first.entries), ["a", "c"]);
    queue.hold(first.entries, first.since);
    queue.release(one);
    assert!(
        queue.next_batch().entries.is_empty(),
        "locked again, so still held"
    );
    assert_eq!(keys(&queue.next_patient().unwrap().entries), ["b"]);
    let again = queue.next_patient().unwrap();
    assert_eq!((keys(&again.entries), again.since), (vec!["a", "c"], since));
    queue.release(one);
    assert_eq!(keys(&queue.next_batch().entries), ["later"]);
}

#[test]
fn everything_can_be_taken_out_of_both_lanes() {
    let (room, user) = (RoomId::generate(), UserId::generate());
    let mut queue = queue(vec![message(room, user, "b")]);
    queue.hold(vec![message(room, user, "a")], Instant::now());
    assert_eq!(queue.len(), 2);
    assert_eq!(keys(&queue.take_all()), ["a", "b"]);
    queue.push(message(room, user, "c"));
    assert_eq!(keys(&queue.next_batch().entries), ["c"]);
}

#[test]
fn what_a_sender_has_waiting_after_a_failure_is_taken_out() {
    let (room, user, other) = (RoomId::generate(), UserId::generate(), UserId::generate());
    let mut queue = queue(vec![
        message(room, user, "a"),
        message(room, other, "b"),
        message(room, user, "c"),
    ]);
    assert_eq!(keys(&queue.take_later(room, user)), ["a", "c"]);
    assert_eq!(keys(&queue.next_batch().entries), ["b"]);
}

#[test]
fn changes_of_messages_and_messages_are_apart() {
    let (room, other, user) = (RoomId::generate(), RoomId::generate(), UserId::generate());
    let message_id = EventId::generate();
    let mut queue = queue(vec![
        message(room, user, "a"),
        change(room, user, message_id, react("+1")),
        message(room, user, "b"),
        change(other, user, message_id, react("+1")),
    ]);
    assert_eq!(keys(&queue.next_batch().entries), ["a", "-"]);
    assert_eq!(keys(&queue.next_batch().entries), ["-"]);
    assert_eq!(keys(&queue.next_batch().entries), ["b"]);
}

#[test]
fn changes_that_touch_each_other_come_one_after_the_other() {
    let (room, ada, bob) = (RoomId::generate(), UserId::generate(), UserId::generate());
    let (one, other) = (EventId::generate(), EventId::generate());
    let edit = || MessageChange::Edit { body: "x".into() };
    let pin = || MessageChange::Pin { pinned: true };
    let change = |user, message, what| change(room, user, message, what);
    let together = |entries: Vec<Entry>| queue(entries).next_batch().entries.len();
    assert_eq!(
        together(vec![change(ada, one, edit()), change(ada, other, pin())]),
        2
    );
    assert_eq!(
        together(vec![change(ada, one, edit()), change(bob, one, pin())]),
        1
    );
    assert_eq!(
        together(vec![
            change(ada, one, react("a")),
            change(ada, one, react("b"))
        ]),
        2
    );
    assert_eq!(
        together(vec![
            change(ada, one, react("a")),
            change(bob, one, react("a"))
        ]),
        2
    );
    assert_eq!(
        together(vec![
            change(ada, one, react("a")),
            change(ada, one, react("a"))
        ]),
        1
    );
    assert_eq!(
        together(vec![change(ada, one, react("a")), change(bob, one, edit())]),
        1
    );
    assert_eq!(
        together(vec![
            change(bob, one, MessageChange::Delete),
            change(ada, one, react("a"))
        ]),
        1
    );
}

#[test]
fn a_key_holds_for_changes_too() {
    let (room, user, message_id) = (RoomId::generate(), UserId::generate(), EventId::generate());
    let keyed = || {
        let content = Content::Change {
            message_id,
            change: MessageChange::Delete,
            client_id: Some("k".into()),
        };
        entry(room, user, content)
    };
    let batch = queue(vec![keyed(), keyed()]).next_batch();
    assert_eq!((batch.entries.len(), batch.followers.len()), (1, 1));
}

/// Something to queue: of room, message, user, emoji and kind, each one of two or three.
fn arbitrary() -> impl Strategy<Value = (usize, usize, usize, usize, usize)> {
    (0..2_usize, 0..2_usize, 0..2_usize, 0..2_usize, 0..6_usize)
}

proptest! {
    /// Whatever comes leaves in the order of its room, and no batch mixes what must be apart.
    #[test]
    fn batches_keep_the_rules(given in prop::collection::vec(arbitrary(), 0..40)) {
        let rooms = [RoomId::generate(), RoomId::generate()];
        let users = [UserId::generate(), UserId::generate()];
        let messages = [EventId::generate(), EventId::generate()];
        let mut queue = Queue::new(BatchLimits { max_events: 7, max_bytes: 1_000_000 });
        let mut order = Vec::new();
        for (room, target, user, emoji, kind) in given {
            let (room, user, target) = (rooms[room], users[user], messages[target]);
            let emoji = ["a", "b"][emoji];
            let entry = match kind {
                0 => message(room, user, &order.len().to_string()),
                1 => leave(room, user),
                2 => change(room, user, target, MessageChange::Edit { body: "x".into() }),
                3 => change(room, user, target, MessageChange::Delete),
                _ => change(room, user, target, react(emoji)),
            };
            order.push((room, entry.id));
            queue.push(entry);
        }
        let mut left = Vec::new();
        while !queue.is_empty() {
            let batch = queue.next_batch().entries;
            prop_assert!(!batch.is_empty(), "it goes on");
            for room in rooms {
                let of_room: Vec<_> = batch.iter().filter(|it| it.room_id == room).collect();
                let count = |fits: fn(&Content) -> bool| of_room.iter().filter(|it| fits(&it.content)).count();
                let memberships = count(|it| matches!(it, Content::Membership(_)));
                let changes = count(|it| matches!(it, Content::Change { .. }));
                prop_assert!(memberships == 0 || of_room.len() == 1);
                prop_assert!(changes == 0 || changes == of_room.len());
                for (i, one) in of_room.iter().enumerate() {
                    for other in &of_room[..i] {
                        prop_assert!(!touch(one, other));
                    }
                }
            }
            left.extend(batch.iter().map(|it| (it.room_id, it.id)));
        }
        for room in rooms {
            let of_room = |all: &[(RoomId, EventId)]| -> Vec<EventId> {
                all.iter().filter(|it| it.0 == room).map(|it| it.1).collect()
            };
            prop_assert_eq!(of_room(&left), of_room(&order));
        }
    }
}

/// Whether the order of two entries of a room matters to the statement that writes them.
fn touch(one: &Entry, other: &Entry) -> bool {
    let target = |entry: &Entry| match &entry.content {
        Content::Change {
            message_id, change, ..
        } => Some((*message_id, change.clone())),
        _ => None,
    };
    let (Some((one_message, one_change)), Some((other_message, other_change))) =
        (target(one), target(other))
    else {
        return false;
    };
    if one_message != other_message {
        return false;
    }
    match (one_change, other_change) {
        (MessageChange::React { emoji: a, .. }, MessageChange::React { emoji: b, .. }) => {
            (one.user_id, a) == (other.user_id, b)
        }
        _ => true,
    }
}
