//! Telling Redis what this node has counted, and hearing what all have.
//!
//! Requests do not wait for it. A counter that has something to tell waits in a list for
//! `limits.share_ms`, and no longer when it has `limits.share_percent` of its limit to tell. So most
//! requests of a busy key cost no call, and the nodes together admit no more than the limit and what
//! each of the others has not told yet; that is charged, too, and must drip before more passes.
//!
//! Buckets that are asked for ([`super::Bucket::is_asked`]) do wait, for `redis.call_timeout_ms` at
//! most, and then go on as the others do.

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::counter::{Counter, Telling};
use super::script::{self, Answer};
use super::tally::Verdict;
use super::{Counted, since_us, subject};
use crate::auth::metrics::{BAD_COUNTERS, COUNTERS_UNTOLD, COUNTERS_WAITING};
use crate::config;
use crate::redis::{Client, Purpose, Script};

/// Calls at once that tell of counters. More would take the places of those that somebody waits for.
const CALLS: usize = 64;

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(script::TEXT));

/// Tells and asks. Dropping it ends the telling.
pub(super) struct Telegraph {
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    client: Client,
    started: Instant,
    share_percent: u64,
    lists: Mutex<Lists>,
    /// Somebody cannot wait for the next time.
    urgent: Notify,
    waiting_max: usize,
    every_us: u64,
    /// Until then nothing is urgent: the last call was not answered.
    unheard_until_us: AtomicU64,
}

/// Counters that have something to tell; each once at most in each of them.
#[derive(Default)]
struct Lists {
    patient: Vec<Arc<Counted>>,
    urgent: Vec<Arc<Counted>>,
}

impl Drop for Telegraph {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Telegraph {
    pub(super) fn start(client: Client, config: &config::Limits, started: Instant) -> Self {
        let shared = Arc::new(Shared {
            client,
            started,
            share_percent: config.share_percent,
            lists: Mutex::default(),
            urgent: Notify::new(),
            waiting_max: usize::try_from(config.keys_max).unwrap_or(usize::MAX),
            every_us: config.share_ms * 1000,
            unheard_until_us: AtomicU64::new(0),
        });
        let every = Duration::from_millis(config.share_ms);
        let task = tokio::spawn(run(Arc::clone(&shared), every)).abort_handle();
        Self { shared, task }
    }

    /// A counter has counted.
    pub(super) fn note(&self, counted: &Arc<Counted>, counter: &mut Counter) {
        self.shared.note(counted, counter);
    }

    /// Asks for one more request. None if nobody answers, or if the node can refuse it by itself.
    pub(super) async fn ask(&self, counted: &Arc<Counted>) -> Option<Verdict> {
        let shared = &self.shared;
        if !shared.client.is_up(shared.name(counted).as_bytes()) {
            return None;
        }
        let telling = {
            let now_us = since_us(shared.started);
            let mut counter = counted.counter.lock();
            if counter.wait_us(&counted.rule, now_us) > 0 {
                return None;
            }
            counter.tell(&counted.rule, now_us, true)
        };
        let answer = shared.exchange(counted, &telling).await?;
        if answer.passes {
            return Some(Verdict::Admitted);
        }
        let wait_us = answer.tally.wait_us(&counted.rule, answer.now_us);
        Some(Verdict::Refused {
            wait_us: wait_us.max(1),
        })
    }
}

impl Shared {
    fn name(&self, counted: &Counted) -> String {
        format!("{}{}", self.client.prefix(), subject::name(&counted.key))
    }

    fn note(&self, counted: &Arc<Counted>, counter: &mut Counter) {
        let untold = counter.untold();
        if untold == 0 {
            return;
        }
        let part = u64::from(counted.rule.quota.limit()) * self.share_percent / 100;
        let is_urgent = untold >= part.max(1)
            && !counter.is_urgent
            && since_us(self.started) >= self.unheard_until_us.load(Ordering::Relaxed);
        if counter.is_waiting && !is_urgent {
            return;
        }
        let mut lists = self.lists.lock();
        if lists.patient.len() + lists.urgent.len() >= self.waiting_max {
            COUNTERS_UNTOLD.inc();
            return;
        }
        COUNTERS_WAITING.inc();
        if is_urgent {
            counter.is_urgent = true;
            lists.urgent.push(Arc::clone(counted));
            self.urgent.notify_one();
        } else {
            counter.is_waiting = true;
            lists.patient.push(Arc::clone(counted));
        }
    }

    /// Tells of one counter.
    async fn tell(&self, counted: Arc<Counted>, was_urgent: bool) {
        COUNTERS_WAITING.dec();
        let telling = {
            let mut counter = counted.counter.lock();
            if was_urgent {
                counter.is_urgent = false;
            } else {
                counter.is_waiting = false;
            }
            counter.tell(&counted.rule, since_us(self.started), false)
        };
        if telling.question.admitted + telling.question.refused == 0 {
            return;
        }
        if self.exchange(&counted, &telling).await.is_none() {
            // Nobody hears: everything waits for the next time.
            let until_us = since_us(self.started).saturating_add(self.every_us);
            self.unheard_until_us.store(until_us, Ordering::Relaxed);
            self.note(&counted, &mut counted.counter.lock());
        }
    }

    /// Tells, and hears the answer.
    async fn exchange(&self, counted: &Counted, telling: &Telling) -> Option<Answer> {
        let name = self.name(counted);
        let arguments = telling.question.arguments();
        let running = self
            .client
            .run(Purpose::Limits, name.as_bytes(), &SCRIPT, &arguments);
        let answer = match running.await {
            Ok(value) => Answer::read(&value),
            Err(error) => {
                // What may have been counted is not told twice.
                if error.was_not_sent() || error.is_refusal() {
                    counted.counter.lock().untell(telling);
                }
                return None;
            }
        };
        let Some(answer) = answer else {
            BAD_COUNTERS.inc();
            return None;
        };
        if answer.was_bad {
            BAD_COUNTERS.inc();
        }
        counted.counter.lock().told(telling, &answer);
        Some(answer)
    }
}

async fn run(shared: Arc<Shared>, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let all = tokio::select! {
            _ = ticks.tick() => true,
            () = shared.urgent.notified() => false,
        };
        let Lists { patient, urgent } = {
            let mut lists = shared.lists.lock();
            Lists {
                patient: if all {
                    std::mem::take(&mut lists.patient)
                } else {
                    Vec::new()
                },
                urgent: std::mem::take(&mut lists.urgent),
            }
        };
        let patient = patient.into_iter().map(|counted| (counted, false));
        let urgent = urgent.into_iter().map(|counted| (counted, true));
        futures_util::stream::iter(urgent.chain(patient))
            .for_each_concurrent(CALLS, |(counted, was_urgent)| {
                shared.tell(counted, was_urgent)
            })
            .await;
    }
}
