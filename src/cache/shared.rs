//! Pages of messages in Redis, for all nodes: one that any node has read need not be read by the next.
//!
//! Nothing here is relied upon. Whether a page that is found may be given is for the ledger to say: it must
//! have been built from no less than what this node has read of the room and was told since. So it does no
//! harm if an invalidation could not be told to Redis, or an old page comes back. A room's pages are one
//! hash, so that they go together when something is deleted. Values begin with their version; the form of
//! bodies is part of their names ([`SCHEMA`]).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redis::Value;

use super::copy::Rendered;
use super::key::{MessagesKey, Place};
use super::metrics::SHARED;
use super::version::{SCHEMA, Version};
use crate::config::Config;
use crate::protocol::event::Epoch;
use crate::protocol::id::RoomId;
use crate::redis::{CallError, Client, Purpose, Script};

/// Pages of one room at most; with more, all are given up.
const PAGES_MAX: usize = 64;

/// Digits of a version, of which the first ten are the life's.
const VERSION: usize = 30;

/// Where the pages are.
#[derive(Debug)]
pub(super) struct SharedPages {
    client: Client,
    max_bytes: usize,
    ttl: Duration,
    scripts: Arc<Scripts>,
}

#[derive(Debug)]
struct Scripts {
    fill: Script,
    forget: Script,
    fetch: Script,
}

impl SharedPages {
    /// None if nothing is to be kept there.
    pub(super) fn new(client: Client, config: &Config) -> Option<Self> {
        let cache = &config.cache;
        let ttl = Duration::from_secs(cache.messages_ttl_s.min(cache.max_age_s));
        if !cache.shared || ttl.is_zero() {
            return None;
        }
        Some(Self {
            client,
            max_bytes: cache.shared_max_bytes,
            ttl,
            scripts: Arc::new(Scripts {
                fill: Script::new(include_str!("fill.lua")),
                forget: Script::new(include_str!("forget.lua")),
                fetch: Script::new(include_str!("fetch.lua")),
            }),
        })
    }

    /// A page, if it is there and `is_good`.
    pub(super) async fn get(
        &self,
        key: &MessagesKey,
        is_good: impl FnOnce(Version) -> bool,
    ) -> Option<(Version, Rendered)> {
        let found = self.fetch(key, is_good).await;
        let result = found.as_ref().map_or_else(|why| *why, |_| "hit");
        SHARED.with_label_values(&[result]).inc();
        found.ok()
    }

    async fn fetch(
        &self,
        key: &MessagesKey,
        is_good: impl FnOnce(Version) -> bool,
    ) -> Result<(Version, Rendered), &'static str> {
        let name = self.name(key.room);
        let most = VERSION + self.max_bytes;
        let arguments = [field(key).into_bytes(), most.to_string().into_bytes()];
        let answer = self
            .client
            .run(
                Purpose::Cache,
                name.as_bytes(),
                &self.scripts.fetch,
                &arguments,
            )
            .await;
        let value = match answer {
            Ok(Value::BulkString(value)) => value,
            Ok(Value::Nil) => return Err("miss"),
            Ok(_) => return Err("bad"),
            Err(CallError::Refused(error)) if error.code() == Some("WRONGTYPE") => {
                return Err("bad");
            }
            Err(_) => return Err("unreachable"),
        };
        let (version, rendered) = read(&value).ok_or("bad")?;
        if is_good(version) {
            Ok((version, rendered))
        } else {
            Err("older")
        }
    }

    /// A page was read: it is put there, and nobody waits for that.
    pub(super) fn put(&self, key: &MessagesKey, version: Version, rendered: &Rendered) {
        let page = write(rendered);
        if page.len() > self.max_bytes {
            return;
        }
        // Pages that came together do not go together.
        let ttl = self.ttl.mul_f64(0.9 + rand::random::<f64>() / 10.0);
        let arguments = vec![
            field(key).into_bytes(),
            digits(version).into_bytes(),
            page,
            ttl.as_millis().to_string().into_bytes(),
            PAGES_MAX.to_string().into_bytes(),
        ];
        self.send(self.name(key.room), arguments, |scripts| &scripts.fill);
    }

    /// Something that was said is gone.
    pub(super) fn forget(&self, room: RoomId, version: Version) {
        // As long as any page of before may still be on its way there.
        let ttl = self.ttl * 2;
        let arguments = vec![
            digits(version).into_bytes(),
            ttl.as_millis().to_string().into_bytes(),
        ];
        self.send(self.name(room), arguments, |scripts| &scripts.forget);
    }

    fn send(&self, name: String, arguments: Vec<Vec<u8>>, script: fn(&Scripts) -> &Script) {
        if !self.client.is_up(name.as_bytes()) {
            return;
        }
        let (client, scripts) = (self.client.clone(), Arc::clone(&self.scripts));
        tokio::spawn(async move {
            let script = script(&scripts);
            let answer = client.run(Purpose::Cache, name.as_bytes(), script, &arguments);
            if let Err(error) = answer.await {
                tracing::debug!(%error, "Redis was not told of a page");
            }
        });
    }

    fn name(&self, room: RoomId) -> String {
        format!("{}cache:messages:{room}", self.client.prefix())
    }
}

/// The name of a page among its room's.
fn field(key: &MessagesKey) -> String {
    let place = match key.place {
        Place::Newest => "n".to_owned(),
        Place::Before(seq) => format!("b{seq}"),
        Place::After(seq) => format!("a{seq}"),
        Place::Pinned(seq) => format!("p{seq}"),
    };
    let thread = key.thread.map(|it| it.to_string()).unwrap_or_default();
    format!("{SCHEMA}:{place}:{}:{}:{thread}", key.limit, key.floor)
}

/// A version in digits that sort as it does.
fn digits(version: Version) -> String {
    format!("{:010}{:020}", version.epoch.0, version.seq)
}

fn write(rendered: &Rendered) -> Vec<u8> {
    let next = rendered.next.as_deref().unwrap_or_default();
    let mut page = format!("{}\n{next}\n", rendered.etag).into_bytes();
    page.extend_from_slice(&rendered.body);
    page
}

/// Reads what the script keeps; none if it is not of ours.
fn read(value: &[u8]) -> Option<(Version, Rendered)> {
    let (version, page) = value.split_at_checked(VERSION)?;
    let epoch = number(&version[..10])?.parse().ok()?;
    let seq = number(&version[10..])?.parse().ok()?;
    let mut lines = page.splitn(3, |&byte| byte == b'\n');
    let etag = str::from_utf8(lines.next()?).ok()?;
    let next = str::from_utf8(lines.next()?).ok()?;
    let body = Bytes::copy_from_slice(lines.next()?);
    let next = (!next.is_empty()).then(|| next.into());
    let rendered = Rendered::new(etag, body, next);
    Some((Version::new(Epoch(epoch), seq), rendered))
}

/// The text of a number without a sign.
fn number(digits: &[u8]) -> Option<&str> {
    let is_number = digits.iter().all(u8::is_ascii_digit);
    str::from_utf8(digits).ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_come_back_and_nothing_else() {
        let version = Version::new(Epoch(7), 1 << 60);
        for next in [None, Some("41".into())] {
            let rendered = Rendered::new("W/\"1-7-42\"", Bytes::from_static(b"{}\n\n1"), next);
            let value = [digits(version).into_bytes(), write(&rendered)].concat();
            let (found, back) = read(&value).unwrap();
            assert_eq!((found, &back.body), (version, &rendered.body));
            assert_eq!((&back.etag, &back.next), (&rendered.etag, &rendered.next));
        }
        for nonsense in [
            &b""[..],
            b"short",
            &[b'1'; 40],
            &[b'x'; 60],
            b"-000000001+0000000000000000001\n\n",
        ] {
            assert!(read(nonsense).is_none(), "{nonsense:?}");
        }
    }

    #[test]
    fn versions_sort_as_their_digits() {
        let of = |seq| digits(Version::new(Epoch(i32::MAX), seq));
        for (less, more) in [(0, 1), (9, 10), (1 << 53, (1 << 53) + 1), (1, u64::MAX)] {
            assert!(of(less) < of(more));
        }
        assert_eq!(of(u64::MAX).len(), VERSION);
    }
}
