//! A client that listens to one room, and comes back from where it was.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use super::account::Heard;
use super::client::{Backoff, connect, in_time};
use crate::clock;
use crate::error::LoadError;
use crate::marker::Marker;
use crate::people::text;
use crate::socket::Socket;

/// Who listens where.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    pub(super) number: u64,
    pub(super) address: String,
    pub(super) token: String,
    pub(super) room: u32,
    pub(super) room_id: String,
}

/// When nothing more is said, and nothing has come for that long, nothing will.
const TAIL: Duration = Duration::from_secs(5);

/// How many messages there are in each room, when nothing more is said.
pub(super) type Until = watch::Receiver<Option<Vec<usize>>>;

impl Listener {
    /// Listens until all has come; tells `joined` when it is there for the first time.
    pub(super) async fn listen(
        self,
        joined: tokio::sync::mpsc::Sender<()>,
        mut until: Until,
    ) -> Result<Heard, LoadError> {
        let mut heard = Heard {
            room: self.room,
            ..Heard::default()
        };
        let mut socket = connect(&self.address, &self.token).await?;
        let (epoch, last_seq, _) = self.join(&mut socket, "").await?;
        heard.position = last_seq;
        let _ = joined.send(()).await;
        drop(joined);
        let mut backoff = Backoff::new(self.number);
        loop {
            let told = self.follow(&mut socket, &mut heard, &mut until).await;
            let Some(told) = told else { return Ok(heard) };
            if let Some(at) = told {
                tokio::time::sleep_until(at).await;
            } else {
                heard.cut += 1;
                tokio::time::sleep(backoff.pause()).await;
            }
            socket = loop {
                let since = format!(r#","since":{},"epoch":{epoch}"#, heard.position);
                let again = async {
                    let mut socket = connect(&self.address, &self.token).await?;
                    let (_, _, is_gap) = self.join(&mut socket, &since).await?;
                    Ok::<_, LoadError>((socket, is_gap))
                };
                if let Ok((socket, is_gap)) = again.await {
                    heard.gaps += u64::from(is_gap);
                    break socket;
                }
                heard.failed += 1;
                tokio::time::sleep(backoff.pause()).await;
            };
            backoff.reset();
            heard.reconnected_ns.push(clock::now());
        }
    }

    /// Joins; gives the epoch, the last event, and whether something is missing for ever.
    async fn join(&self, socket: &mut Socket, since: &str) -> Result<(i64, u64, bool), LoadError> {
        let fields = format!(r#""room":"{}"{since}"#, self.room_id);
        let reply = in_time(socket.join_with(&fields)).await?;
        let reply: Value = serde_json::from_str(&reply)
            .map_err(|error| LoadError::Unexpected(error.to_string()))?;
        let ok = &reply["ok"];
        match (ok["epoch"].as_i64(), ok["last_seq"].as_u64()) {
            (Some(epoch), Some(last_seq)) => Ok((epoch, last_seq, !ok["gap"].is_null())),
            _ => Err(LoadError::Unexpected(reply.to_string())),
        }
    }

    /// Takes what comes until the connection ends: when it was told to come back, if it was told. None
    /// when everything has come.
    async fn follow(
        &self,
        socket: &mut Socket,
        heard: &mut Heard,
        until: &mut Until,
    ) -> Option<Option<Instant>> {
        let mut place = 0;
        let mut told = None;
        loop {
            if let Some(counts) = &*until.borrow()
                && heard.has_all(counts.get(self.room as usize).copied().unwrap_or_default())
            {
                return None;
            }
            tokio::select! {
                next = socket.next() => match next {
                    Ok(Some(push)) => match Pushed::read(&push) {
                        Some(Pushed::Event(seq)) => {
                            let marker = Marker::find(push.as_bytes(), &mut place);
                            heard.note(seq, marker, clock::now());
                        }
                        Some(Pushed::Drain(after)) => told = Some(Instant::now() + after),
                        None => {}
                    },
                    Ok(None) | Err(_) => return Some(told),
                },
                () = tokio::time::sleep(TAIL), if until.borrow().is_some() => return None,
                changed = until.changed() => if changed.is_err() { return None },
            }
        }
    }
}

/// What matters of a push.
#[derive(Debug, PartialEq)]
enum Pushed {
    Event(u64),
    Drain(Duration),
}

impl Pushed {
    fn read(push: &str) -> Option<Self> {
        let push: Value = serde_json::from_str(push).ok()?;
        if text(&push["push"]).ok()? == "drain" {
            return push["after_ms"]
                .as_u64()
                .map(Duration::from_millis)
                .map(Self::Drain);
        }
        push["seq"].as_u64().map(Self::Event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_and_orders_to_move_are_told_from_the_rest() {
        let read = Pushed::read;
        assert_eq!(
            read(r#"{"push":"message","room":"r","seq":7,"body":"x"}"#),
            Some(Pushed::Event(7))
        );
        assert_eq!(
            read(r#"{"push":"drain","after_ms":250,"cursor":"c"}"#),
            Some(Pushed::Drain(Duration::from_millis(250)))
        );
        assert_eq!(read(r#"{"push":"presence","room":"r"}"#), None);
        assert_eq!(read(r#"{"id":1,"ok":{"seq":7}}"#), None);
    }
}
