//! One of everything that the document describes.

use hubbub::protocol::body::{Body, Encoding};
use hubbub::protocol::command::{Command, MessageChange, PageAnchor, PageRequest};
use hubbub::protocol::data::Data;
use hubbub::protocol::error::Refusal;
use hubbub::protocol::event::{Epoch, History, MembershipChange, Role};
use hubbub::protocol::id::{EventId, RoomId, UserId};
use hubbub::protocol::push::Push;
use hubbub::protocol::reply::{
    Changed, Emitted, Gap, GapReason, Joined, MessagePage, MessageView, Published, ReactionView,
    ReadMarker, Reply, Resumed, RoomPresence,
};
use uuid::Uuid;

const ROOM: RoomId = RoomId(Uuid::from_u128(1));
const USER: UserId = UserId(Uuid::from_u128(2));
const EVENT: EventId = EventId(Uuid::from_u128(3));

/// One of each command. Whoever adds a variant finds here that it needs a place in the document.
pub(super) fn commands() -> Vec<Command> {
    let room = || "general".parse().unwrap();
    let change = |change| Command::Change {
        room: room(),
        message_id: EVENT,
        change,
        client_id: None,
    };
    let all = vec![
        Command::Join {
            room: room(),
            since: None,
            epoch: None,
        },
        Command::Resume {
            cursor: "AQ".into(),
        },
        Command::Leave { room: room() },
        Command::Publish {
            room: room(),
            body: "hi".into(),
            client_id: "c1".into(),
            thread: None,
            mentions: Vec::new(),
        },
        change(MessageChange::Edit { body: "ho".into() }),
        change(MessageChange::Delete),
        change(MessageChange::React {
            emoji: "+1".into(),
            remove: false,
        }),
        change(MessageChange::Pin { pinned: true }),
        Command::History {
            room: room(),
            page: PageRequest {
                anchor: PageAnchor::Newest,
                limit: 1,
                thread: None,
            },
        },
        Command::Read {
            room: room(),
            msg_no: 1,
        },
        Command::Typing {
            room: room(),
            typing: true,
        },
        Command::Emit {
            room: room(),
            name: "cursor".into(),
            data: data(),
            volatile: true,
            client_id: None,
        },
        Command::Presence { room: room() },
        Command::Ping,
        Command::AuthRefresh { token: "t".into() },
    ];
    for command in &all {
        match command {
            Command::Join { .. }
            | Command::Resume { .. }
            | Command::Leave { .. }
            | Command::Publish { .. }
            | Command::Change {
                change:
                    MessageChange::Edit { .. }
                    | MessageChange::Delete
                    | MessageChange::React { .. }
                    | MessageChange::Pin { .. },
                ..
            }
            | Command::History { .. }
            | Command::Read { .. }
            | Command::Typing { .. }
            | Command::Emit { .. }
            | Command::Presence { .. }
            | Command::Ping
            | Command::AuthRefresh { .. } => {}
        }
    }
    all
}

pub(super) fn data() -> Data {
    serde_json::from_str(r#"{"at":[1,-7,0.5,{"$bin":"AP8="}]}"#).unwrap()
}

/// What a message may say.
pub(super) fn bodies() -> [Body; 2] {
    ["hi".into(), Body::Bytes([0, 255].into())]
}

fn now() -> jiff::Timestamp {
    "2026-01-02T03:04:05.678901Z".parse().unwrap()
}

/// For each command the least and the most that its reply has.
pub(super) fn replies() -> Vec<(&'static str, Vec<Reply>)> {
    let joined = |gap, cursor| {
        Reply::Joined(Joined {
            room: ROOM,
            epoch: Epoch(1),
            last_seq: 1,
            replayed: 0,
            gap,
            cursor,
        })
    };
    let resumed = |cursor| {
        Reply::Resumed(Resumed {
            resumed: 1,
            refused: 0,
            cursor,
        })
    };
    let left = |cursor| Reply::Left { room: ROOM, cursor };
    let changed = || {
        let all = Changed {
            seq: Some(1),
            id: Some(EVENT),
            created_at: Some(now()),
        };
        [Changed::default(), all].map(Reply::Changed).into()
    };
    let gap = Gap {
        from: 1,
        to: 2,
        reason: GapReason::Epoch,
    };
    vec![
        (
            "join",
            vec![joined(None, None), joined(Some(gap), Some(String::new()))],
        ),
        ("resume", vec![resumed(None), resumed(Some(String::new()))]),
        ("leave", vec![left(None), left(Some(String::new()))]),
        (
            "publish",
            vec![Reply::Published(Published {
                seq: 1,
                msg_no: 1,
                id: EVENT,
                created_at: now(),
            })],
        ),
        ("message.edit", changed()),
        ("message.delete", changed()),
        ("message.react", changed()),
        ("message.pin", changed()),
        (
            "history",
            vec![Reply::History(MessagePage {
                messages: message_views().into(),
                epoch: Epoch(1),
                last_seq: 0,
                next: None,
            })],
        ),
        ("read", vec![Reply::Read(ReadMarker { msg_no: 1 })]),
        ("typing", vec![Reply::Done {}]),
        (
            "emit",
            vec![Reply::Emitted(Emitted {
                seq: 1,
                id: EVENT,
                created_at: now(),
            })],
        ),
        (
            "presence",
            [false, true]
                .map(|flag| {
                    Reply::Presence(RoomPresence {
                        room: ROOM,
                        count: 0,
                        users: Vec::new(),
                        only_count: flag,
                        stale: flag,
                    })
                })
                .into(),
        ),
        ("ping", vec![Reply::Done {}]),
        (
            "auth.refresh",
            vec![Reply::Authenticated {
                user_id: USER,
                expires_at: now(),
            }],
        ),
    ]
}

/// Those about messages.
fn message_pushes<'a>([text, bytes]: [&'a Body; 2]) -> Vec<Push<'a>> {
    let message = |body: &'a Body, thread, mentions, deleted| Push::Message {
        room: ROOM,
        seq: 1,
        msg_no: 1,
        id: EVENT,
        user_id: USER,
        body,
        encoding: body.encoding(),
        client_id: "c1",
        thread,
        mentions,
        deleted,
        created_at: now(),
    };
    let edit = |body: &'a Body, deleted| Push::Edit {
        room: ROOM,
        seq: 1,
        id: EVENT,
        message_id: EVENT,
        user_id: USER,
        body,
        encoding: body.encoding(),
        deleted,
        created_at: now(),
    };
    vec![
        message(text, None, &[], false),
        message(bytes, Some(EVENT), &[USER], true),
        edit(text, false),
        edit(bytes, true),
        Push::Delete {
            room: ROOM,
            seq: 1,
            id: EVENT,
            message_id: EVENT,
            user_id: USER,
            created_at: now(),
        },
        Push::React {
            room: ROOM,
            seq: 1,
            id: EVENT,
            message_id: EVENT,
            user_id: USER,
            emoji: "+1",
            removed: false,
            created_at: now(),
        },
        Push::Pin {
            room: ROOM,
            seq: 1,
            id: EVENT,
            message_id: EVENT,
            user_id: USER,
            pinned: true,
            created_at: now(),
        },
    ]
}

/// Each push with the least, then with the most that it has.
pub(super) fn pushes<'a>(
    bodies: [&'a Body; 2],
    data: &'a Data,
    refusal: &'a Refusal,
) -> Vec<Push<'a>> {
    let event = |seq, id, client_id, created_at| Push::Event {
        room: ROOM,
        seq,
        id,
        name: "n",
        data,
        user_id: USER,
        client_id,
        created_at,
    };
    let presence = |flag| Push::Presence {
        room: ROOM,
        joins: &[],
        leaves: &[],
        count: 0,
        reset: flag,
        only_count: flag,
        stale: flag,
    };
    let member = |role, until| Push::Member {
        room: ROOM,
        seq: 1,
        id: EVENT,
        user_id: USER,
        change: MembershipChange::Joined,
        role,
        until,
        by: USER,
        created_at: now(),
    };
    let mut all = message_pushes(bodies);
    all.extend([
        event(None, None, None, None),
        event(Some(1), Some(EVENT), Some("c1"), Some(now())),
        member(None, None),
        member(Some(Role::Member), Some(now())),
        Push::Room {
            room: ROOM,
            seq: 1,
            id: EVENT,
            name: "General",
            topic: "",
            history: History::All,
            is_private: false,
            by: USER,
            created_at: now(),
        },
        Push::Typing {
            room: ROOM,
            user_id: USER,
            typing: true,
        },
        presence(false),
        presence(true),
        Push::Read {
            room: ROOM,
            user_id: USER,
            msg_no: 1,
        },
        Push::Removed { room: ROOM },
        Push::NotResumed {
            room: ROOM,
            err: refusal,
        },
        Push::Resumed {
            room: ROOM,
            epoch: Epoch(1),
            last_seq: 1,
            replayed: 0,
            gap: Some(Gap {
                from: 1,
                to: 2,
                reason: GapReason::Epoch,
            }),
        },
        Push::Drain {
            after_ms: 0,
            cursor: "",
        },
    ]);
    for push in &all {
        match push {
            Push::Message { .. }
            | Push::Edit { .. }
            | Push::Delete { .. }
            | Push::React { .. }
            | Push::Pin { .. }
            | Push::Event { .. }
            | Push::Member { .. }
            | Push::Room { .. }
            | Push::Typing { .. }
            | Push::Presence { .. }
            | Push::Read { .. }
            | Push::Removed { .. }
            | Push::NotResumed { .. }
            | Push::Resumed { .. }
            | Push::Drain { .. } => {}
        }
    }
    all
}

/// A message in a page, with the least and with the most that it has.
pub(super) fn message_views() -> [MessageView; 2] {
    let plain = MessageView {
        seq: 1,
        msg_no: 1,
        id: EVENT,
        user_id: USER,
        body: Body::default(),
        encoding: None,
        client_id: String::new(),
        created_at: now(),
        edited_at: None,
        deleted: false,
        thread: None,
        replies: 0,
        mentions: Vec::new(),
        reactions: Vec::new(),
        pinned_at: None,
    };
    let full = MessageView {
        body: Body::Bytes([0, 255].into()),
        encoding: Some(Encoding::Base64),
        edited_at: Some(now()),
        deleted: true,
        thread: Some(EVENT),
        replies: 1,
        mentions: vec![USER],
        reactions: vec![ReactionView {
            emoji: "+1".into(),
            count: 1,
            users: vec![USER],
        }],
        pinned_at: Some(now()),
        ..plain.clone()
    };
    [plain, full]
}
