//! Any events in any order: every request is answered once, what waits is bounded, and the end is
//! the end.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const BODIES: &[&str] = &[
    "4x", "3", "2", "1", "5", "6", "4x\x1e4y", "x", "2:4x", "1:2", "1:1",
];

fn events() -> impl Strategy<Value = Vec<(u64, Event<'static, Said>)>> {
    let id = 2..7u64;
    let text = prop::sample::select(&["2probe", "5", "4x", "3", "2", "1", "zzz"][..]);
    let body = prop::sample::select(BODIES);
    let event = prop_oneof![
        id.clone().prop_map(Event::Poll),
        id.clone().prop_map(Event::PollRepeated),
        id.clone().prop_map(Event::PollAborted),
        (id.clone(), any::<bool>()).prop_map(|(id, is_bytes)| Event::PostBegun { id, is_bytes }),
        id.clone().prop_map(Event::PostTooLarge),
        id.clone().prop_map(Event::PostAborted),
        (id.clone(), body).prop_map(|(id, body)| Event::Posted {
            id,
            body: Body::Text(body)
        }),
        id.clone().prop_map(Event::SocketOpened),
        (id.clone(), text).prop_map(|(id, text)| Event::SocketMessage(id, Message::Text(text))),
        id.prop_map(Event::SocketClosed),
        Just(send("m")),
        Just(volatile("v")),
        Just(Event::Flush),
        Just(Event::Close),
        Just(Event::Tick),
    ];
    prop::collection::vec((prop_oneof![Just(0), 0..400u64], event), 1..60)
}

/// What must be true of the requests that are open.
#[derive(Default)]
struct Requests {
    polls: BTreeSet<PeerId>,
    posts: BTreeSet<PeerId>,
}

impl Requests {
    /// Whether this can happen.
    fn came(&mut self, event: &Event<'static, Said>) -> bool {
        match event {
            // A number is never used twice while its request is open.
            Event::Poll(id) | Event::PollRepeated(id) => {
                !self.posts.contains(id) && self.polls.insert(*id)
            }
            Event::PostBegun { id, .. } => !self.polls.contains(id) && self.posts.insert(*id),
            Event::PollAborted(id) => self.polls.remove(id),
            Event::PostAborted(id) => self.posts.remove(id),
            _ => true,
        }
    }

    fn are_none(&self) -> bool {
        self.polls.is_empty() && self.posts.is_empty()
    }

    fn answered(&mut self, action: &Did, gone: Option<PeerId>) {
        let (Action::Payload(id, _)
        | Action::Ok(id)
        | Action::BadRequest(id)
        | Action::TooLarge(id)) = action
        else {
            return;
        };
        assert!(
            gone == Some(*id) || self.polls.remove(id) || self.posts.remove(id),
            "answered what was not asked: {action:?}"
        );
    }
}

proptest! {
    #[test]
    fn any_events_in_any_order(events in events(), is_v3: bool, is_socket: bool) {
        let transport = if is_socket { Transport::Websocket } else { Transport::Polling };
        let mut it = Scene::new(if is_v3 { V3 } else { V4 }, transport);
        let mut requests = Requests::default();
        for (after, event) in events {
            if !requests.came(&event) {
                continue;
            }
            let was_closed = it.session.is_closed();
            // Its time may be over before it is known that its client has gone.
            let gone = match &event {
                Event::PollAborted(id) | Event::PostAborted(id) => Some(*id),
                _ => None,
            };
            let did = it.at(ms(after)).on(event);
            for action in &did {
                requests.answered(action, gone);
                if let Action::Payload(_, packets) = action
                    && packets.contains(&own(Packet::Close))
                {
                    prop_assert_eq!(packets.len(), 1, "the end comes by itself");
                }
            }
            let end = did.iter().position(|it| matches!(it, Action::Closed(_)));
            if let Some(end) = end {
                let refusal = |it: &Did| matches!(it, Action::BadRequest(_) | Action::CloseSocket(_));
                prop_assert!(did[end + 1..].iter().all(refusal), "after the end: {:?}", &did);
                prop_assert!(!was_closed);
            }
            prop_assert_eq!(it.session.is_closed(), was_closed || end.is_some());
            prop_assert_eq!(it.session.deadline().is_none(), it.session.is_closed());
            prop_assert!(it.session.queued_bytes() <= settings().queue_bytes);
            if it.session.is_closed() {
                prop_assert!(requests.are_none(), "left open");
            }
            // One poll and one POST at most.
            prop_assert!(requests.polls.len() <= 1 && requests.posts.len() <= 1);
        }
    }
}
