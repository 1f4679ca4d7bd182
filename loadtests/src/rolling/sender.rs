//! A client that says something in its room at fixed times, and says again under the same key what
//! was not acknowledged.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::account::{Spoken, Timetable};
use super::client::{Backoff, connect};
use crate::clock;
use crate::error::LoadError;
use crate::marker::Marker;
use crate::socket::Socket;

/// Bytes of a message.
const BODY_BYTES: usize = 128;

/// What was refused is said again after this.
const AGAIN: Duration = Duration::from_millis(50);

/// Who speaks where.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    pub(super) address: String,
    pub(super) token: String,
    pub(super) room: u32,
    pub(super) room_id: String,
    pub(super) timetable: Timetable,
}

/// What it still has to do.
#[derive(Debug, Default)]
struct Course {
    spoken: Spoken,
    /// Numbers of what was said and not acknowledged.
    open: BTreeSet<u64>,
}

impl Sender {
    /// Speaks until told to stop, and all of it is acknowledged.
    pub(super) async fn speak(self, mut stop: watch::Receiver<bool>) -> Result<Spoken, LoadError> {
        let mut course = Course::default();
        let mut backoff = Backoff::new(1_000_000 + u64::from(self.room));
        loop {
            if let Ok(mut socket) = connect(&self.address, &self.token).await {
                backoff.reset();
                match self.stay(&mut socket, &mut course, &mut stop).await {
                    Ok(true) => {
                        socket.close().await;
                        return Ok(course.spoken);
                    }
                    // It was told when to come back, and has waited for as long.
                    Ok(false) => continue,
                    Err(error @ LoadError::Unexpected(_)) => return Err(error),
                    Err(_) => {}
                }
            }
            tokio::time::sleep(backoff.pause()).await;
        }
    }

    /// Speaks on a socket until it ends; whether everything is done.
    async fn stay(
        &self,
        socket: &mut Socket,
        course: &mut Course,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<bool, LoadError> {
        for number in course.open.clone() {
            socket.feed(self.message(number)).await?;
        }
        socket.flush().await?;
        let mut moves_at = None;
        let mut again: Option<Instant> = None;
        loop {
            let is_last = *stop.borrow();
            if is_last && course.open.is_empty() {
                return Ok(true);
            }
            let next = course.spoken.sent_ns.len() as u64;
            let due_ns = self.timetable.due(self.room, next);
            let far = Instant::now() + Duration::from_secs(3600);
            tokio::select! {
                heard = socket.next() => {
                    let Some(text) = heard? else {
                        tokio::time::sleep_until(moves_at.unwrap_or_else(Instant::now)).await;
                        return Ok(false);
                    };
                    match Answer::read(&text) {
                        Answer::Stored(number) => {
                            course.open.remove(&number);
                        }
                        Answer::Refused => again = Some(Instant::now() + AGAIN),
                        Answer::Drain(after) => moves_at = Some(Instant::now() + after),
                        Answer::Failed => return Err(LoadError::Unexpected(text)),
                        Answer::Other => {}
                    }
                },
                () = clock::sleep_until(due_ns), if !is_last => {
                    course.spoken.sent_ns.push(clock::now());
                    course.open.insert(next);
                    socket.feed(self.message(next)).await?;
                    socket.flush().await?;
                }
                () = tokio::time::sleep_until(again.unwrap_or(far)), if again.is_some() => {
                    again = None;
                    for number in course.open.clone() {
                        socket.feed(self.message(number)).await?;
                    }
                    socket.flush().await?;
                }
                changed = stop.changed(), if !is_last => if changed.is_err() {
                    return Ok(true);
                },
            }
        }
    }

    fn message(&self, number: u64) -> String {
        let body = Marker {
            run: 0,
            room: self.room,
            seq: number,
        }
        .body(BODY_BYTES);
        json!({
            "id": number,
            "cmd": "publish",
            "room": self.room_id,
            "body": body,
            "client_id": format!("rolling-{number}"),
        })
        .to_string()
    }
}

/// What a server says to who speaks.
#[derive(Debug, PartialEq)]
enum Answer {
    Stored(u64),
    /// Say it again.
    Refused,
    /// Never.
    Failed,
    Drain(Duration),
    Other,
}

impl Answer {
    fn read(text: &str) -> Self {
        let Ok(said) = serde_json::from_str::<Value>(text) else {
            return Self::Failed;
        };
        if said["push"] == "drain" {
            let after_ms = said["after_ms"].as_u64().unwrap_or_default();
            return Self::Drain(Duration::from_millis(after_ms));
        }
        match (&said["ok"], &said["err"], said["id"].as_u64()) {
            (Value::Object(_), _, Some(number)) => Self::Stored(number),
            (_, Value::Object(error), _) if error["retry"] == true => Self::Refused,
            (_, Value::Object(_), _) => Self::Failed,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_understood() {
        let read = Answer::read;
        assert_eq!(read(r#"{"id":3,"ok":{"seq":9}}"#), Answer::Stored(3));
        let refused = r#"{"id":3,"err":{"code":"unavailable","message":"","retry":true}}"#;
        assert_eq!(read(refused), Answer::Refused);
        assert_eq!(read(&refused.replace("true", "false")), Answer::Failed);
        let drain = Answer::Drain(Duration::from_millis(5));
        assert_eq!(read(r#"{"push":"drain","after_ms":5,"cursor":"c"}"#), drain);
        assert_eq!(read(r#"{"push":"user"}"#), Answer::Other);
    }
}
