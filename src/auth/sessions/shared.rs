//! Sessions in Redis, for all nodes: one that any node has found in Postgres need not be asked for
//! there by the next.
//!
//! Redis is not relied upon for anything. What it holds is [`sealed`](super::sealed); whether it still
//! holds is for the control log to say ([`ended`](super::ended)), so that it does no harm when an end
//! could not be told to Redis, or when an old value comes back. What cannot be understood is a miss.
//! Times are Postgres's, carried on by a clock that never jumps.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::Mutex;
use redis::Value;

use super::FoundSession;
use super::ended::{Ended, Verdict};
use super::sealed::{Entry, SEALED_BYTES, Seal};
use crate::auth::metrics::SHARED_SESSIONS;
use crate::auth::token::TokenHash;
use crate::config::Config;
use crate::metric::{CACHE_HITS, CACHE_MISSES};
use crate::protocol::id::SessionId;
use crate::redis::{CallError, Client, Purpose};
use crate::store::cluster::{ClockReading, Secret};

/// The label in metrics.
const CACHE_TYPE: &str = "session_shared";

/// After this a use is written down.
const TOUCH_AFTER_US: i64 = 60_000_000;

/// What a node needs for sharing sessions.
#[derive(Debug, Clone)]
pub struct Sharing {
    /// Asks Redis.
    pub client: Client,
    /// What sessions are sealed with.
    pub secret: Secret,
    /// The time by Postgres.
    pub clock: ClockReading,
}

/// The sessions in Redis.
pub(super) struct SharedSessions {
    client: Client,
    seal: Seal,
    ttl: Duration,
    ended: Mutex<Ended>,
    clock: Mutex<ClockReading>,
}

/// A session that was there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) entry: Entry,
    /// Whether this use must be written down.
    pub(super) is_due: bool,
}

impl Known {
    pub(super) fn session(&self) -> Option<FoundSession> {
        Some(FoundSession {
            id: self.entry.id,
            user_id: self.entry.user_id,
            expires_at: Timestamp::from_microsecond(self.entry.expires_us).ok()?,
            renewed: false,
        })
    }
}

impl SharedSessions {
    /// None if sessions are not to be shared.
    pub(super) fn new(sharing: Sharing, config: &Config) -> Option<Self> {
        let ttl = Duration::from_secs(config.auth.session_shared_s);
        if ttl.is_zero() {
            return None;
        }
        Some(Self {
            client: sharing.client,
            seal: Seal::new(&sharing.secret),
            ttl,
            ended: Mutex::new(Ended::new(config.auth.ended_sessions_max)),
            clock: Mutex::new(sharing.clock),
        })
    }

    /// The session of a token, if Redis has it and it is to be believed.
    pub(super) async fn get(&self, token: &TokenHash) -> Option<Known> {
        let found = self.look_up(token).await;
        let (result, known) = match found {
            Ok(known) if known.is_due => ("due", Some(known)),
            Ok(known) => ("hit", Some(known)),
            Err(reason) => {
                if matches!(reason, "bad" | "ended" | "expired") {
                    self.delete(token);
                }
                (reason, None)
            }
        };
        SHARED_SESSIONS.with_label_values(&[result]).inc();
        let counter = if known.is_some() {
            &CACHE_HITS
        } else {
            &CACHE_MISSES
        };
        counter.with_label_values(&[CACHE_TYPE]).inc();
        known
    }

    async fn look_up(&self, token: &TokenHash) -> Result<Known, &'static str> {
        let key = self.key(token);
        // No more of it than a session takes, whatever somebody has put there.
        let mut command = redis::cmd("GETRANGE");
        command.arg(&key).arg(0).arg(SEALED_BYTES);
        let answer = self
            .client
            .call(Purpose::Sessions, key.as_bytes(), &command)
            .await;
        let sealed = match answer {
            Ok(Value::BulkString(sealed)) if sealed.is_empty() => return Err("miss"),
            Ok(Value::BulkString(sealed)) => sealed,
            Ok(Value::Nil) => return Err("miss"),
            Ok(_) => return Err("bad"),
            Err(CallError::Refused(error)) if error.code() == Some("WRONGTYPE") => {
                return Err("bad");
            }
            Err(_) => return Err("unreachable"),
        };
        let entry = self.seal.unseal(token, &sealed).ok_or("bad")?;
        match self.ended.lock().judge(entry.id, entry.position) {
            Verdict::Lasts => {}
            Verdict::Ended => return Err("ended"),
            Verdict::Unknown => return Err("unknown"),
        }
        let now_us = self.now_us();
        if entry.expires_us <= now_us {
            return Err("expired");
        }
        let is_due = entry.seen_us.saturating_add(TOUCH_AFTER_US) < now_us;
        Ok(Known { entry, is_due })
    }

    /// What was found in Postgres, for the others.
    pub(super) fn put(&self, token: &TokenHash, entry: &Entry) {
        let left_us = entry.expires_us.saturating_sub(self.now_us());
        let left = Duration::from_micros(u64::try_from(left_us).unwrap_or(0));
        // Sessions that came together do not go together.
        let ttl = self
            .ttl
            .min(left)
            .mul_f64(0.9 + rand::random::<f64>() / 10.0);
        let Ok(ttl_ms @ 1..) = u64::try_from(ttl.as_millis()) else {
            return;
        };
        let key = self.key(token);
        let mut command = redis::cmd("SET");
        command
            .arg(&key)
            .arg(self.seal.seal(token, entry))
            .arg("PX")
            .arg(ttl_ms);
        self.send(key, command);
    }

    /// Redis need not keep it any longer.
    pub(super) fn delete(&self, token: &TokenHash) {
        let key = self.key(token);
        let mut command = redis::cmd("DEL");
        command.arg(&key);
        self.send(key, command);
    }

    /// Sends it, and goes on: whether it gets there is counted by the client and matters to nobody.
    fn send(&self, key: String, command: redis::Cmd) {
        if !self.client.is_up(key.as_bytes()) {
            return;
        }
        let client = self.client.clone();
        tokio::spawn(async move {
            let answer = client.call(Purpose::Sessions, key.as_bytes(), &command);
            if let Err(error) = answer.await {
                tracing::debug!(%error, "Redis was not told of a session");
            }
        });
    }

    /// A session has ended.
    pub(super) fn note_end(&self, session: SessionId) {
        self.ended.lock().note(session);
    }

    /// Any may have ended.
    pub(super) fn forget_ends(&self) {
        self.ended.lock().forget_all();
    }

    /// Of all ends up to this position of the control log this node has been told.
    pub(super) fn known_to(&self, position: u64) {
        self.ended.lock().known_to(position);
    }

    /// Postgres has shown its clock.
    pub(super) fn note_clock(&self, reading: ClockReading) {
        *self.clock.lock() = reading;
    }

    /// Microseconds since 1970 by Postgres's clock.
    pub(super) fn now_us(&self) -> i64 {
        self.clock.lock().micros_at(Instant::now())
    }

    fn key(&self, token: &TokenHash) -> String {
        use base64::Engine as _;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let digest = URL_SAFE_NO_PAD.encode(token);
        format!("{}session:{digest}", self.client.prefix())
    }
}
