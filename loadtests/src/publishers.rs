//! Publishers over WebSocket, each with so many publishes under way as its window says.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::error::LoadError;
use crate::people::People;
use crate::samples::{Rate, Samples};
use crate::socket::Socket;

/// How one measurement is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) publishers: usize,
    /// Publishes under way per publisher.
    pub(crate) window: usize,
    /// Whether publishers have joined their room, and so get every push of it.
    pub(crate) joined: bool,
    pub(crate) warm_up: Duration,
    pub(crate) time: Duration,
}

/// What came of it.
pub(crate) struct Measured {
    pub(crate) rate: Rate,
    /// Acks in all, with those of the warm-up and after the end.
    pub(crate) acknowledged: u64,
    /// Pushes received in all.
    pub(crate) pushes: u64,
}

struct Publisher {
    socket: Socket,
    room: String,
    body: String,
    key: String,
    next: u64,
    /// When each publish under way was sent, oldest first, by its number.
    under_way: VecDeque<(u64, Instant)>,
    samples: Samples,
    acknowledged: u64,
    pushes: u64,
}

/// Lets everybody publish.
pub(crate) async fn measure(
    address: &str,
    people: &People,
    run: u32,
    plan: Plan,
    body: &str,
) -> Result<Measured, LoadError> {
    let mut publishers = Vec::with_capacity(plan.publishers);
    for n in 0..plan.publishers {
        let room = &people.rooms[n % people.rooms.len()];
        let key = format!("{run}-{n}-");
        let mut publisher = Publisher::connect(address, &people.tokens[n], room, body, key).await?;
        if plan.joined {
            publisher.socket.join(room).await?;
        }
        publishers.push(publisher);
    }
    let measure_from = Instant::now() + plan.warm_up;
    let end = measure_from + plan.time;
    let mut tasks = JoinSet::new();
    for publisher in publishers {
        tasks.spawn(publisher.run(plan.window, measure_from, end));
    }
    let mut samples = Samples::new()?;
    let (mut acknowledged, mut pushes) = (0, 0);
    while let Some(done) = tasks.join_next().await {
        let done = done.map_err(|error| LoadError::Unexpected(error.to_string()))??;
        samples.merge(&done.samples);
        acknowledged += done.acknowledged;
        pushes += done.pushes;
    }
    Ok(Measured {
        rate: samples.rate(plan.time, 1),
        acknowledged,
        pushes,
    })
}

impl Publisher {
    async fn connect(
        address: &str,
        token: &str,
        room: &str,
        body: &str,
        key: String,
    ) -> Result<Self, LoadError> {
        Ok(Self {
            socket: Socket::connect(address, token).await?,
            room: room.to_owned(),
            body: body.to_owned(),
            key,
            next: 0,
            under_way: VecDeque::new(),
            samples: Samples::new()?,
            acknowledged: 0,
            pushes: 0,
        })
    }

    /// Publishes until the end, then waits for what is under way. Those count that were
    /// acknowledged between `measure_from` and `end`.
    async fn run(
        mut self,
        window: usize,
        measure_from: Instant,
        end: Instant,
    ) -> Result<Self, LoadError> {
        loop {
            let going_on = Instant::now() < end;
            while going_on && self.under_way.len() < window {
                self.next += 1;
                let (n, room, body, key) = (self.next, &self.room, &self.body, &self.key);
                let request = format!(
                    r#"{{"id":{n},"cmd":"publish","room":"{room}","body":"{body}","client_id":"{key}{n}"}}"#
                );
                self.under_way.push_back((n, Instant::now()));
                self.socket.feed(request).await?;
            }
            self.socket.flush().await?;
            if self.under_way.is_empty() {
                self.socket.close().await;
                return Ok(self);
            }
            let text = self.socket.read().await?;
            self.take(&text, measure_from, end)?;
        }
    }

    /// Deals with a message. It is not parsed as a whole: the generator shares the processor with
    /// what it measures.
    fn take(&mut self, text: &str, measure_from: Instant, end: Instant) -> Result<(), LoadError> {
        if text.starts_with(r#"{"push""#) {
            self.pushes += 1;
            return Ok(());
        }
        let acknowledged = text.strip_prefix(r#"{"id":"#).and_then(|rest| {
            let (id, rest) = rest.split_once(',')?;
            rest.starts_with(r#""ok""#).then(|| id.parse::<u64>())?.ok()
        });
        let Some(id) = acknowledged else {
            return Err(LoadError::Unexpected(text.to_owned()));
        };
        let place = self.under_way.iter().position(|(n, _)| *n == id);
        let Some((_, sent)) = place.and_then(|place| self.under_way.remove(place)) else {
            return Err(LoadError::Unexpected(format!("acknowledged twice: {text}")));
        };
        self.acknowledged += 1;
        let now = Instant::now();
        if (measure_from..end).contains(&now) {
            self.samples.add(now - sent);
        }
        Ok(())
    }
}
