//! What is told of an entry that is settled: to its sender, and to its room.

use super::entry::{Committed, Content, Entry, Outcome, unavailable};
use super::flight::Place;
use super::write::Fate;
use crate::protocol::command::MessageChange;
use crate::protocol::event::{Event, EventBody};
use crate::protocol::id::EventId;

/// What a follower is told when the entry that it follows, and that says the same, is settled.
pub(super) fn shared_fate(fate: &Fate) -> Outcome {
    match fate {
        Fate::Committed(place) | Fate::Known(Some(place)) => Ok(Some(committed(place))),
        Fate::Known(None) => Ok(None),
        Fate::Failed(refusal) => Err(refusal.clone()),
        Fate::Held => Err(unavailable()),
    }
}

pub(super) fn committed(place: &Place) -> Committed {
    Committed {
        seq: place.seq,
        msg_no: place.msg_no,
        id: place.id,
        created_at: place.created_at,
    }
}

/// The event of a change.
pub(super) fn changed(message_id: EventId, change: &MessageChange) -> EventBody {
    match change {
        MessageChange::Edit { body } => EventBody::Edit {
            message_id,
            body: body.clone(),
            deleted: false,
        },
        MessageChange::Delete => EventBody::Delete { message_id },
        MessageChange::React { emoji, remove } => EventBody::Reaction {
            message_id,
            emoji: emoji.clone(),
            removed: *remove,
        },
        MessageChange::Pin { pinned } => EventBody::Pin {
            message_id,
            pinned: *pinned,
        },
    }
}

pub(super) fn event(entry: &Entry, place: &Place) -> Event {
    let body = match &entry.content {
        Content::Message {
            body,
            client_id,
            thread,
            mentions,
        } => EventBody::Message {
            msg_no: place.msg_no.unwrap_or_default(),
            body: body.clone(),
            client_id: client_id.clone(),
            thread: *thread,
            mentions: mentions.clone(),
            deleted: false,
        },
        Content::Change {
            message_id, change, ..
        } => changed(*message_id, change),
        Content::Custom {
            name,
            data,
            client_id,
        } => EventBody::Custom {
            name: name.clone(),
            data: data.clone(),
            client_id: client_id.clone(),
        },
        Content::Membership(change) => EventBody::Membership {
            user_id: change.member_id,
            change: change.change,
            // Who joins a room that nobody owns gets another one than was asked for.
            role: place.role.or(change.role),
            until: change.until,
        },
        Content::Room(change) => EventBody::Room(change.settings.clone()),
    };
    Event {
        room_id: entry.room_id,
        epoch: place.epoch,
        seq: place.seq,
        id: place.id,
        user_id: entry.user_id,
        created_at: place.created_at,
        body,
    }
}
