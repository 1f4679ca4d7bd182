//! What is read for copies, and by which version it goes.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::copy::{Copy, Loaded, Object, Rendered};
use super::key::{Key, MessagesKey, Place};
use super::least::{Least, Standing, needed, stands};
use super::tag::Tag;
use super::version::{SCHEMA, Version};
use super::{Answer, Cache, CacheError, How};
use crate::protocol::cursor::Position;
use crate::protocol::event::{Epoch, Seq};
use crate::protocol::id::{RoomId, RoomRef, UserId};
use crate::store::messages::{self, TouchedPage};
use crate::store::rooms::{self, Membership, Room, RoomAccess};
use crate::store::{Store, StoreError};

/// What stands in a page's JSON before the room's last event. Only a number or `null` follows that.
const LAST_SEQ: &[u8] = b"\"last_seq\":";

/// A weak entity tag: `W/"schema-epoch-v"`.
#[must_use]
pub fn entity_tag(epoch: Epoch, version: impl std::fmt::Display) -> String {
    format!("W/\"{SCHEMA}-{}-{version}\"", epoch.0)
}

/// A digest of a body, for tags of what has no version of its own: half of its SHA-256.
#[must_use]
pub fn digest(body: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(32);
    for byte in &Sha256::digest(body)[..16] {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Serialises what was read.
pub fn to_body(value: &impl serde::Serialize) -> Result<Bytes, StoreError> {
    let body = serde_json::to_vec(value).map_err(|source| StoreError::Corrupt {
        what: "answer",
        source: source.into(),
    })?;
    Ok(body.into())
}

impl Cache {
    /// Which room is meant. What a slug names never changes.
    pub async fn resolve(
        &self,
        store: &Store,
        room: &RoomRef,
    ) -> Result<Option<RoomId>, CacheError> {
        let slug = match room {
            RoomRef::Id(id) => return Ok(Some(*id)),
            RoomRef::Slug(slug) => slug,
        };
        if let Some(id) = self.inner.slugs.get(slug) {
            return Ok(Some(id));
        }
        let conn = store.get().await?;
        let found = rooms::resolve(&conn, room).await?;
        if let Some(id) = found {
            self.inner.slugs.insert(slug.clone(), id);
        }
        Ok(found)
    }

    /// What a user is in a room, and how that is known. None if there is no such room.
    pub async fn access(
        &self,
        store: &Store,
        room: RoomId,
        user: UserId,
        least: &Least,
    ) -> Result<Option<(RoomAccess, How)>, CacheError> {
        let load = || {
            let store = store.clone();
            async move {
                let access = rooms::access(&store, &RoomRef::Id(room), user).await?;
                Ok(access.map(|access| {
                    let version = Version::new(access.epoch, access.last_seq);
                    Loaded::new(version, Object::Access(access))
                }))
            }
        };
        let answer = self.get(Key::Access(room, user), least, load).await?;
        Ok(answer.and_then(|it| match it.copy.object {
            Object::Access(access) => Some((access, it.how)),
            _ => None,
        }))
    }

    /// A room as everybody sees it: nothing in it is of the one who asks.
    pub async fn room(
        &self,
        store: &Store,
        room: RoomId,
        least: &Least,
    ) -> Result<Option<Answer>, CacheError> {
        let load = || load_room(store.clone(), room);
        self.get(Key::Room(room), least, load).await
    }

    /// How far a member has read a room. That is told to nobody who keeps copies, so it is read each
    /// time; a copy is for when that fails. None: no member.
    pub async fn membership(
        &self,
        store: &Store,
        room: RoomId,
        user: UserId,
    ) -> Result<Option<(Membership, How)>, CacheError> {
        let load = || {
            let store = store.clone();
            async move {
                let membership = rooms::membership(&store, room, user).await?;
                Ok(membership.map(|it| {
                    let version = Version::new(it.epoch, it.last_seq);
                    Loaded::new(version, Object::Membership(it))
                }))
            }
        };
        let key = Key::Membership(room, user);
        let answer = self.get(key, &Least::none(), load).await?;
        Ok(answer.and_then(|it| match it.copy.object {
            Object::Membership(membership) => Some((membership, it.how)),
            _ => None,
        }))
    }

    /// A page of a room's messages.
    pub async fn messages(
        &self,
        store: &Store,
        key: MessagesKey,
        least: &Least,
    ) -> Result<Option<Answer>, CacheError> {
        let seen = least.of(key.room);
        let load = || {
            let (store, cache) = (store.clone(), self.clone());
            async move {
                if let Some(loaded) = cache.shared_page(&key, seen).await {
                    return Ok(Some(loaded));
                }
                let loaded = if let Some(loaded) = cache.replica_page(&key, seen).await {
                    loaded
                } else {
                    let Some(page) = read_page(&store, &key).await? else {
                        return Ok(None);
                    };
                    load_page(&key, &page)?
                };
                if let (Some(shared), Object::Body(rendered)) =
                    (&cache.inner.shared, &loaded.object)
                {
                    shared.put(&key, loaded.version, rendered);
                }
                Ok(Some(loaded))
            }
        };
        let copy_key = Key::Messages(key);
        let answer = self.get(copy_key.clone(), least, load).await?;
        Ok(answer.map(|it| self.with_present_head(copy_key, key.room, least, it)))
    }

    /// The page as another node has read it, if it is as new as what this one knows and the client has
    /// seen.
    async fn shared_page(&self, key: &MessagesKey, seen: Option<Position>) -> Option<Loaded> {
        // What it is held against is what was told, so somebody must tell.
        let shared = self
            .inner
            .shared
            .as_ref()
            .filter(|_| self.inner.is_sound())?;
        let tags = Key::Messages(*key).tags();
        let is_good = |version| {
            version_reaches(version, seen)
                && self.inner.ledger.read().takes(key.room, &tags, version)
        };
        let (version, rendered) = shared.get(key, is_good).await?;
        let mut loaded = Loaded::new(version, Object::Body(rendered));
        loaded.is_shared = true;
        Some(loaded)
    }

    /// A page of before may be as it was while the room went on: what it says of the room's last event
    /// is brought up to what is known.
    fn with_present_head(&self, key: Key, room: RoomId, least: &Least, answer: Answer) -> Answer {
        let copy = &answer.copy;
        let Object::Body(rendered) = &copy.object else {
            return answer;
        };
        if answer.how == How::Stale {
            return answer;
        }
        let seen = needed(copy.version, least.of(room));
        let ledger = self.inner.ledger.read();
        // What was told while it was read, or since it was found, it may lack. One guard for both: it
        // is asked whether the copy holds at the very moment up to which all is known.
        let holds = ledger.holds(&copy.tags, copy.began, copy.version);
        let known = ledger.known_to(room, copy.version).filter(|_| holds);
        drop(ledger);
        let head = known.unwrap_or(0).max(seen);
        let Some(body) = with_last_seq(&rendered.body, head) else {
            return answer;
        };
        let again = Rendered::new(rendered.etag.clone(), body, rendered.next.clone());
        let copy = Arc::new(Copy {
            version: copy.version,
            object: Object::Body(again),
            tags: copy.tags.clone(),
            began: copy.began,
            loaded_at: copy.loaded_at,
            good_for: copy.good_for,
            is_shared: copy.is_shared,
            jitter: copy.jitter,
        });
        let how = answer.how;
        if how == How::Hit {
            let ledger = self.inner.ledger.read();
            if ledger.holds(&copy.tags, copy.began, copy.version) {
                self.inner.local.put(key, &copy);
            }
        }
        Answer { copy, how }
    }
}

/// Reads a room, for all who may see it.
pub(super) async fn load_room(store: Store, room: RoomId) -> Result<Option<Loaded>, CacheError> {
    let found = rooms::shared(&store, &[room]).await?;
    Ok(found.into_iter().next().map(loaded_room))
}

/// A room that was read.
pub(super) fn loaded_room(room: Room) -> Loaded {
    let version = Version::new(room.epoch, room.last_seq);
    Loaded::new(version, Object::Room(Box::new(room)))
}

async fn read_page(store: &Store, key: &MessagesKey) -> Result<Option<TouchedPage>, StoreError> {
    if let Some(request) = key.page_request() {
        return messages::page_touched(store, key.room, key.floor, request).await;
    }
    let from = match key.place {
        Place::Pinned(after) => key.floor.max(after),
        Place::Newest | Place::Before(_) | Place::After(_) => key.floor,
    };
    messages::pinned(store, key.room, from, key.limit).await
}

pub(super) fn version_reaches(version: Version, seen: Option<Position>) -> bool {
    seen.is_none_or(|seen| stands(version, seen) == Standing::Reaches)
}

/// The page's JSON with another number for the room's last event; none if it is no less.
fn with_last_seq(body: &Bytes, head: Seq) -> Option<Bytes> {
    let at = body
        .windows(LAST_SEQ.len())
        .rposition(|window| window == LAST_SEQ)?
        + LAST_SEQ.len();
    let digits = body[at..].iter().take_while(|it| it.is_ascii_digit());
    let end = at + digits.count();
    let shown: Seq = str::from_utf8(&body[at..end]).ok()?.parse().ok()?;
    if shown >= head {
        return None;
    }
    let number = head.to_string();
    let mut again = Vec::with_capacity(body.len() + number.len());
    again.extend_from_slice(&body[..at]);
    again.extend_from_slice(number.as_bytes());
    again.extend_from_slice(&body[end..]);
    Some(again.into())
}

pub(super) fn load_page(key: &MessagesKey, read: &TouchedPage) -> Result<Loaded, StoreError> {
    let page = &read.page;
    let version = Version::new(page.epoch, page.last_seq);
    // A floor cuts a page for some members alone.
    let cut = if key.floor > 0 {
        format!("-f{}", key.floor)
    } else {
        String::new()
    };
    let etag = match key.place {
        Place::Newest => entity_tag(page.epoch, format_args!("{}{cut}", page.last_seq)),
        // With their number: a page may lose its last one to the length of another.
        Place::Before(_) | Place::After(_) | Place::Pinned(_) => {
            let (touched, count) = (read.touched, page.messages.len());
            entity_tag(page.epoch, format_args!("{touched}-{count}{cut}"))
        }
    };
    let next = page.next.map(|next| next.to_string().into());
    let rendered = Rendered::new(etag, to_body(page)?, next);
    let mut loaded = Loaded::new(version, Object::Body(rendered));
    let is_closed = match key.place {
        // Its key says so already.
        Place::Newest | Place::Pinned(_) => false,
        Place::Before(before) => before <= page.last_seq.saturating_add(1),
        Place::After(_) => page.next.is_some(),
    };
    if is_closed {
        // What is said next belongs to another.
        loaded.tags = Some(vec![Tag::Earlier(key.room)]);
    }
    Ok(loaded)
}

/// How old an answer is, whole seconds.
#[must_use]
pub fn age_s(answer: &Answer) -> u64 {
    answer.copy.age(Instant::now()).as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::settings::Settings;
    use crate::config::Config;
    use crate::protocol::touched::{Parts, Touched};

    #[test]
    fn the_last_event_is_brought_up_to_date_in_its_place() {
        let body =
            br#"{"messages":[{"body":"\"last_seq\":1"}],"epoch":7,"last_seq":9,"next":null}"#;
        let body = Bytes::from_static(body);
        assert_eq!(with_last_seq(&body, 9), None);
        let again = with_last_seq(&body, 1234).unwrap();
        let text = str::from_utf8(&again).unwrap();
        assert!(
            text.ends_with(r#""epoch":7,"last_seq":1234,"next":null}"#),
            "{text}"
        );
        assert!(text.contains(r#"\"last_seq\":1"#), "{text}");
    }

    #[actix_rt::test]
    async fn a_page_says_nothing_of_an_event_that_it_lacks() {
        let config = Config::from_sources(None, std::iter::empty()).unwrap();
        let cache = Cache::with(Settings::new(&config), None, None);
        let room = RoomId::generate();
        let ask = |place, tag| {
            let key = Key::Messages(MessagesKey {
                room,
                floor: 0,
                place,
                limit: 50,
                thread: None,
            });
            let load = move || async move {
                let body = Bytes::from_static(br#"{"messages":[],"last_seq":5}"#);
                let rendered = Object::Body(Rendered::new("e", body, None));
                let mut loaded = Loaded::new(Version::new(Epoch(7), 5), rendered);
                loaded.tags = Some(vec![tag]);
                Ok(Some(loaded))
            };
            let cache = cache.clone();
            async move {
                let answer = cache.get(key.clone(), &Least::none(), load).await;
                (key, answer.unwrap().unwrap())
            }
        };
        let newest = ask(Place::Newest, Tag::Head(room)).await;
        let earlier = ask(Place::Before(3), Tag::Earlier(room)).await;
        // It is told when they have been read, and not been given yet.
        cache.touched(&[Touched {
            first: 6,
            parts: Parts::NONE,
            ..Touched::everything(room, Some(Epoch(7)), 6)
        }]);
        for ((key, answer), says) in [(newest, r":5}"), (earlier, r":6}")] {
            assert_eq!(answer.how, How::Miss);
            let given = cache.with_present_head(key, room, &Least::none(), answer);
            let Object::Body(rendered) = &given.copy.object else {
                panic!("not a page");
            };
            let text = str::from_utf8(&rendered.body).unwrap();
            assert!(text.ends_with(says), "{text}");
        }
    }

    #[test]
    fn the_tag_says_form_life_and_version() {
        assert_eq!(entity_tag(Epoch(7), 42), "W/\"1-7-42\"");
    }
}
