//! How soon deliveries to the other node go on when Redis has died, and when it is back.
//!
//! A member on the first node says something every few milliseconds, in turn stored and volatile; a
//! member on the second listens. What is stored must come, whatever happens; what is volatile comes
//! only by Redis, so that its coming tells that Redis is in use again.

use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::times::Times;
use crate::clock::{self, NS_PER_S};
use crate::error::LoadError;
use crate::marker::Marker;
use crate::nodes::Nodes;
use crate::people::People;
use crate::redis::Redis;
use crate::samples::{Latency, Samples};
use crate::socket::Socket;

/// Between two messages.
const STEP: Duration = Duration::from_millis(10);

/// With Redis, and without it.
const BEFORE: Duration = Duration::from_secs(1);
const WITHOUT: Duration = Duration::from_secs(5);

/// How long Redis may not be in use again, and how long it is looked at when it is.
const AFTER: Duration = Duration::from_secs(15);
const SETTLED: Duration = Duration::from_secs(1);

/// How long the last messages are waited for.
const TAIL: Duration = Duration::from_secs(3);

/// Bytes of a message.
const BODY_BYTES: usize = 128;

/// What came of all rounds.
#[derive(Debug, Serialize)]
pub(crate) struct RedisGone {
    /// From Redis's death until a stored message that was sent after it came.
    pub(crate) goes_on: Times,
    /// From when Redis listened again until a volatile message that was sent after it came.
    pub(crate) is_back: Times,
    /// Stored messages that were sent with Redis, while it was away, and in the rest.
    pub(crate) with: Latency,
    pub(crate) without: Latency,
    pub(crate) after: Latency,
    pub(crate) stored: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) disordered: u64,
}

/// One round as it went.
#[derive(Debug, Default)]
struct Course {
    killed_ns: u64,
    back_ns: u64,
    /// Each message in the order in which they were sent.
    said: Vec<Said>,
    doubled: u64,
    disordered: u64,
}

#[derive(Clone, Copy, Debug)]
struct Said {
    stored: bool,
    sent_ns: u64,
    came_ns: Option<u64>,
}

/// Kills Redis so many times, and starts it again.
pub(super) async fn measure(
    nodes: &mut Nodes,
    people: &People,
    rounds: u16,
) -> Result<RedisGone, LoadError> {
    let mut gone = RedisGone::nothing_yet();
    let mut latencies = [Samples::new()?, Samples::new()?, Samples::new()?];
    for round in 0..rounds {
        let course = course(nodes, people, round).await?;
        gone.add(&course, &mut latencies);
    }
    let [with, without, after] = latencies;
    gone.with = with.latency();
    gone.without = without.latency();
    gone.after = after.latency();
    Ok(gone)
}

async fn course(nodes: &mut Nodes, people: &People, round: u16) -> Result<Course, LoadError> {
    let room = &people.rooms[0];
    let (Some(second), Some(redis)) = (&nodes.second, &mut nodes.redis) else {
        return Err(LoadError::Unexpected("one node alone".to_owned()));
    };
    let mut sender = Socket::connect(&nodes.first.address, &people.tokens[0]).await?;
    let mut listener = Socket::connect(&second.address, &people.tokens[1]).await?;
    sender.join(room).await?;
    listener.join(room).await?;
    let mut course = Course::default();
    let mut tick = tokio::time::interval(STEP);
    let mut faults = std::pin::pin!(faults(redis));
    // From then on nothing is said any more.
    let mut end_ns = u64::MAX;
    let mut place = 0;
    while !course.is_over(end_ns, clock::now()) {
        tokio::select! {
            times = &mut faults, if end_ns == u64::MAX => {
                (course.killed_ns, course.back_ns) = times?;
                end_ns = course.back_ns + clock::ns(AFTER);
            }
            _ = tick.tick() => if clock::now() < end_ns {
                course.say(&mut sender, room, round).await?;
            },
            // Acknowledgements, and its own messages.
            heard = sender.read() => drop(heard?),
            heard = listener.read() => {
                let heard = heard?;
                if let Some(marker) = Marker::find(heard.as_bytes(), &mut place)
                    && marker.run == round
                {
                    course.hear(marker, clock::now());
                    if end_ns < u64::MAX && course.first_after(course.back_ns, false).is_some() {
                        end_ns = end_ns.min(clock::now() + clock::ns(SETTLED));
                    }
                }
            }
        }
    }
    sender.close().await;
    listener.close().await;
    Ok(course)
}

/// Lets Redis die and come back; says when.
async fn faults(redis: &mut Redis) -> Result<(u64, u64), LoadError> {
    tokio::time::sleep(BEFORE).await;
    let killed_ns = clock::now();
    redis.kill().await?;
    tokio::time::sleep(WITHOUT).await;
    redis.start_again().await?;
    Ok((killed_ns, clock::now()))
}

impl Course {
    /// Says the next thing.
    async fn say(&mut self, sender: &mut Socket, room: &str, run: u16) -> Result<(), LoadError> {
        let seq = self.said.len() as u64;
        let stored = seq.is_multiple_of(2);
        let body = Marker { run, room: 0, seq }.body(BODY_BYTES);
        let request = if stored {
            let key = format!("gone-{run}-{seq}");
            json!({ "cmd": "publish", "room": room, "body": body, "client_id": key })
        } else {
            json!({ "cmd": "emit", "room": room, "name": "load", "data": body, "volatile": true })
        };
        self.said.push(Said {
            stored,
            sent_ns: clock::now(),
            came_ns: None,
        });
        sender.feed(request.to_string()).await?;
        sender.flush().await
    }

    /// Something has come on the other node.
    fn hear(&mut self, marker: Marker, now_ns: u64) {
        let at = usize::try_from(marker.seq).unwrap_or(usize::MAX);
        let stored = |said: &Said| said.stored;
        let later = self.said.iter().skip(at + 1);
        let overtaken = later.filter(|it| stored(it)).any(|it| it.came_ns.is_some());
        let Some(said) = self.said.get_mut(at) else {
            return;
        };
        if said.came_ns.is_some() {
            self.doubled += u64::from(said.stored);
            return;
        }
        said.came_ns = Some(now_ns);
        self.disordered += u64::from(said.stored && overtaken);
    }

    /// Whether everything has been said by now, and what was stored has come or will not.
    fn is_over(&self, end_ns: u64, now_ns: u64) -> bool {
        let complete = || {
            let mut stored = self.said.iter().filter(|said| said.stored);
            stored.all(|said| said.came_ns.is_some())
        };
        now_ns >= end_ns && (now_ns >= end_ns + clock::ns(TAIL) || complete())
    }

    /// From a moment until the first came of those of this kind that were sent after it.
    fn first_after(&self, moment_ns: u64, stored: bool) -> Option<Duration> {
        let later = self.said.iter();
        let later = later.filter(|it| it.stored == stored && it.sent_ns >= moment_ns);
        let came = later.filter_map(|it| it.came_ns).min()?;
        Some(Duration::from_nanos(came.saturating_sub(moment_ns)))
    }
}

impl RedisGone {
    /// Before the first round.
    fn nothing_yet() -> Self {
        Self {
            goes_on: Times::within(WITHOUT),
            is_back: Times::within(AFTER),
            with: Latency::default(),
            without: Latency::default(),
            after: Latency::default(),
            stored: 0,
            lost: 0,
            doubled: 0,
            disordered: 0,
        }
    }

    fn add(&mut self, course: &Course, [with, without, after]: &mut [Samples; 3]) {
        let in_time = |limit: Duration| move |took: &Duration| *took <= limit;
        let goes_on = course.first_after(course.killed_ns, true);
        self.goes_on.add(goes_on.filter(in_time(WITHOUT)));
        let is_back = course.first_after(course.back_ns, false);
        self.is_back.add(is_back.filter(in_time(AFTER)));
        self.doubled += course.doubled;
        self.disordered += course.disordered;
        for said in course.said.iter().filter(|said| said.stored) {
            self.stored += 1;
            let Some(came_ns) = said.came_ns else {
                self.lost += 1;
                continue;
            };
            // What is under way when it dies belongs to the time without it.
            let samples = if said.sent_ns + NS_PER_S / 100 < course.killed_ns {
                &mut *with
            } else if said.sent_ns < course.back_ns {
                &mut *without
            } else {
                &mut *after
            };
            samples.add(Duration::from_nanos(came_ns - said.sent_ns));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = NS_PER_S / 1000;

    fn marker(seq: u64) -> Marker {
        Marker {
            run: 0,
            room: 0,
            seq,
        }
    }

    /// Ten messages 10 ms apart, every second one stored; Redis dies at 35 ms and is back at 75.
    fn course() -> Course {
        Course {
            killed_ns: 35 * MS,
            back_ns: 75 * MS,
            said: (0..10)
                .map(|n| Said {
                    stored: n % 2 == 0,
                    sent_ns: n * 10 * MS,
                    came_ns: None,
                })
                .collect(),
            ..Course::default()
        }
    }

    #[test]
    fn what_goes_on_and_what_is_back_counts_from_what_was_sent_after() {
        let mut course = course();
        // Numbers 2 (stored, before) and 5 (volatile, while it is away) do not count.
        for (seq, came_ms) in [(2, 60), (4, 65), (6, 66), (5, 77), (9, 93)] {
            course.hear(marker(seq), came_ms * MS);
        }
        let ms = |took: Option<Duration>| took.map(|took| took.as_millis());
        assert_eq!(ms(course.first_after(course.killed_ns, true)), Some(30));
        assert_eq!(ms(course.first_after(course.back_ns, false)), Some(18));
    }

    #[test]
    fn losses_doubles_and_disorder_of_what_is_stored_are_counted() {
        let mut course = course();
        for (n, seq) in [0, 4, 2, 2, 1, 1, 6].into_iter().enumerate() {
            course.hear(marker(seq), (100 + n as u64) * MS);
        }
        let mut gone = RedisGone::nothing_yet();
        let mut samples = std::array::from_fn(|_| Samples::new().unwrap());
        gone.add(&course, &mut samples);
        // Number 8 never came, 2 came twice, the first time after 4.
        assert!(!course.is_over(100 * MS, 99 * MS));
        assert!(!course.is_over(100 * MS, 101 * MS));
        assert!(course.is_over(100 * MS, 100 * MS + clock::ns(TAIL)));
        let counts = (gone.stored, gone.lost, gone.doubled, gone.disordered);
        assert_eq!(counts, (5, 1, 1, 1));
        assert_eq!((gone.is_back.never, gone.goes_on.never), (1, 0));
    }
}
