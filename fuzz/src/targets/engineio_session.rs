//! A session of Engine.IO and whatever happens to it: what waits is bounded, and the end is the end.

use std::time::{Duration, Instant};

use crate::protocol::engineio::payload::Body;
use crate::protocol::engineio::session::{
    Action, Event, Message, Outgoing, PeerId, Session, Settings,
};
use crate::protocol::engineio::{Revision, Transport};

const QUEUE_BYTES: usize = 500;

#[derive(Clone, Debug)]
struct Said(usize);

impl Outgoing for Said {
    fn size_bytes(&self) -> usize {
        self.0
    }
}

/// Each event is two bytes, what it is and for whom, and, if something comes, its length and itself.
pub(super) fn run(data: &[u8]) {
    let Some((first, mut rest)) = data.split_first() else {
        return;
    };
    let settings = Settings {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(200),
        upgrade_timeout: Duration::from_millis(400),
        close_timeout: Duration::from_millis(500),
        may_upgrade: first & 1 == 0,
        max_payload_bytes: 1000,
        queue_bytes: QUEUE_BYTES,
        queue_packets: 10,
    };
    let revision = if first & 2 == 0 {
        Revision::V4
    } else {
        Revision::V3
    };
    let transport = if first & 4 == 0 {
        Transport::Polling
    } else {
        Transport::Websocket
    };
    let mut now = Instant::now();
    let mut actions = Vec::new();
    let mut session = Session::open(
        &settings.into(),
        revision,
        "s",
        transport,
        1,
        now,
        &mut actions,
    );
    while let [kind, id, left @ ..] = rest {
        now += Duration::from_millis(u64::from(kind >> 4) * 10);
        rest = left;
        let mut actions = Vec::new();
        let was_closed = session.is_closed();
        let event = event(kind & 0x0f, PeerId::from(*id), &mut rest);
        session.handle(now, event, &mut actions);
        let ends = actions.iter().filter(|it| matches!(it, Action::Closed(_)));
        assert_eq!(
            ends.count(),
            usize::from(!was_closed && session.is_closed())
        );
        assert!(session.queued_bytes() <= QUEUE_BYTES);
        assert_eq!(session.deadline().is_none(), session.is_closed());
    }
}

fn event<'a>(kind: u8, id: PeerId, rest: &mut &'a [u8]) -> Event<'a, Said> {
    match kind {
        0 => Event::Poll(id),
        1 => Event::PollAborted(id),
        2 => Event::PostBegun {
            id,
            is_bytes: false,
        },
        3 => Event::PostBegun { id, is_bytes: true },
        4 => Event::PostTooLarge(id),
        5 => Event::PostAborted(id),
        6 => Event::Posted {
            id,
            body: Body::Bytes(take(rest)),
        },
        7 => Event::Posted {
            id,
            body: Body::Text(text(take(rest))),
        },
        8 => Event::SocketOpened(id),
        9 => Event::SocketMessage(id, Message::Text(text(take(rest)))),
        10 => Event::SocketMessage(id, Message::Bytes(take(rest))),
        11 => Event::SocketClosed(id),
        12 | 13 => Event::Send {
            message: Said(usize::try_from(id).unwrap_or_default()),
            is_volatile: kind == 13,
        },
        14 => Event::Flush,
        _ => Event::Close,
    }
}

fn take<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let (length, after) = rest.split_first().unwrap_or((&0, &[]));
    let (taken, after) = after.split_at(after.len().min(usize::from(*length)));
    *rest = after;
    taken
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}
