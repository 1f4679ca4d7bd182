//! People who come back whatever happens, and what they were told and saw.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::harness::rest::{Room, User};
use crate::harness::socket::{Socket, refusal};
use crate::harness::stream::EventStream;

/// Before they try again where nobody was.
const AGAIN: Duration = Duration::from_millis(20);

/// What a talker was told: key and `seq`.
pub(super) type Acks = HashMap<String, i64>;

/// What a listener saw, in its order: `seq` and key.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) events: Vec<(i64, String)>,
    pub(super) connections: usize,
}

/// Says one thing after the other until told to stop. What was not acknowledged is said again under
/// the same key.
pub(super) async fn talk(
    user: User,
    address: String,
    room: Room,
    name: String,
    stop: watch::Receiver<bool>,
) -> Acks {
    let mut acks = Acks::new();
    'connection: loop {
        let Ok(mut socket) = Socket::try_connect_to(&address, &user).await else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        loop {
            if *stop.borrow() {
                return acks;
            }
            let key = format!("{name}-{}", acks.len());
            let fields = json!({ "room": room.id, "body": key, "client_id": key });
            let Ok(reply) = socket.try_request("publish", fields).await else {
                continue 'connection;
            };
            match refusal(&reply) {
                None => {
                    let seq = reply["ok"]["seq"].as_i64().expect("a seq");
                    acks.insert(key, seq);
                }
                Some(error) => {
                    assert_eq!(error["retry"], true, "{error}");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }
}

/// Listens on a socket up to the `seq` that it is told to stop at, and comes back from where it was.
pub(super) async fn listen(
    user: User,
    address: String,
    room: Room,
    mut until: watch::Receiver<Option<i64>>,
) -> Seen {
    let mut seen = Seen::default();
    loop {
        let Ok(mut socket) = Socket::try_connect_to(&address, &user).await else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        seen.connections += 1;
        let since = seen.events.last().map_or(0, |(seq, _)| *seq);
        let fields = json!({ "room": room.id, "since": since, "epoch": room.epoch });
        socket.send_command("join", fields).await;
        loop {
            if is_over(&seen, *until.borrow()) {
                return seen;
            }
            tokio::select! {
                message = socket.next_message() => match message {
                    Ok(message) => {
                        if let Some(error) = refusal(&message) {
                            // It could not join, as Postgres is away.
                            assert_eq!(error["retry"], true, "{error}");
                            seen.connections -= 1;
                            tokio::time::sleep(AGAIN).await;
                            break;
                        }
                        note(&mut seen, &message);
                    }
                    Err(_) => break,
                },
                changed = until.changed() => changed.expect("the test goes on"),
            }
        }
    }
}

/// The same on an event stream.
pub(super) async fn listen_to_stream(
    user: User,
    room: Room,
    mut until: watch::Receiver<Option<i64>>,
) -> Seen {
    let mut seen = Seen::default();
    let path = format!("/api/rooms/{}/events", room.id);
    let mut last_event_id = format!("{}-0", room.epoch);
    loop {
        let request = EventStream::request(&user, &path).header("last-event-id", &last_event_id);
        let Some(mut stream) = EventStream::by_proxy(request).await else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        seen.connections += 1;
        loop {
            if is_over(&seen, *until.borrow()) {
                return seen;
            }
            tokio::select! {
                event = stream.find(|_| true) => {
                    let Some(event) = event else { break };
                    if !event.last_event_id.is_empty() {
                        last_event_id.clone_from(&event.last_event_id);
                    }
                    if event.name != "close" {
                        note(&mut seen, &event.json());
                    }
                }
                changed = until.changed() => changed.expect("the test goes on"),
            }
        }
    }
}

fn note(seen: &mut Seen, message: &Value) {
    assert_ne!(message["push"], "gap", "{message}");
    if let Some(seq) = message["seq"].as_i64()
        && message.get("push").is_some_and(|it| it != "reply")
    {
        let key = message["client_id"].as_str().unwrap_or_default();
        seen.events.push((seq, key.to_owned()));
    }
}

fn is_over(seen: &Seen, until: Option<i64>) -> bool {
    until.is_some_and(|until| seen.events.last().is_some_and(|(seq, _)| *seq >= until))
}

/// Everything that was acknowledged is there once, and all is in order without a hole.
pub(super) fn verify(seen: &Seen, acks: &Acks) {
    let mut places = HashMap::new();
    for (place, (seq, key)) in (1..).zip(&seen.events) {
        assert_eq!(
            *seq, place,
            "a hole, a double or disorder: {:?}",
            seen.events
        );
        if !key.is_empty() {
            assert_eq!(
                places.insert(key.as_str(), *seq),
                None,
                "{key} is there twice"
            );
        }
    }
    for (key, seq) in acks {
        assert_eq!(
            places.get(key.as_str()),
            Some(seq),
            "{key} was acknowledged"
        );
    }
}
