//! A copy: what was read, when, and what it depends on.

use std::io::Write as _;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::ledger::Stamp;
use super::tag::Tag;
use super::version::Version;
use crate::store::rooms::{Membership, Room, RoomAccess};

/// What a copy takes besides what is in it, bytes: about what was measured for its places in tables.
const OVERHEAD: usize = 512;

/// Level of compression: half of the time of the usual one for a few percent more.
const LEVEL: u32 = 4;

/// What is kept.
#[derive(Debug)]
pub enum Object {
    /// What a user is in a room.
    Access(RoomAccess),
    /// How far a user has read it.
    Membership(Membership),
    /// A room, without what is of the one who asks.
    Room(Box<Room>),
    /// An answer's body.
    Body(Rendered),
}

/// A finished body.
#[derive(Debug)]
pub struct Rendered {
    /// Its entity tag, as it stands in `ETag`.
    pub etag: Box<str>,
    /// The body, JSON.
    pub body: Bytes,
    /// What leads to the next page.
    pub next: Option<Box<str>>,
    gzip: OnceLock<Option<Bytes>>,
}

impl Rendered {
    /// Nothing is compressed yet.
    #[must_use]
    pub fn new(etag: impl Into<Box<str>>, body: Bytes, next: Option<Box<str>>) -> Self {
        Self {
            etag: etag.into(),
            body,
            next,
            gzip: OnceLock::new(),
        }
    }

    /// The body by gzip, made when it is first asked for and kept. None if it is not within these
    /// sizes, or does not become shorter.
    pub fn gzip(&self, least: usize, most: usize) -> Option<Bytes> {
        if !(least..=most).contains(&self.body.len()) {
            return None;
        }
        let packed = self.gzip.get_or_init(|| {
            let mut encoder = GzEncoder::new(
                Vec::with_capacity(self.body.len() / 3),
                Compression::new(LEVEL),
            );
            encoder.write_all(&self.body).ok()?;
            let packed = encoder.finish().ok()?;
            (packed.len() < self.body.len()).then(|| packed.into())
        });
        packed.clone()
    }
}

/// What a load has read.
#[derive(Debug)]
pub struct Loaded {
    /// What it was built from.
    pub version: Version,
    /// What it is.
    pub object: Object,
    /// What it depends on besides what its key says; or less.
    pub tags: Option<Vec<Tag>>,
    /// It is not good for longer than this.
    pub good_for: Option<Duration>,
    /// This node has not read it from the primary: another node has, or it is from a replica.
    pub is_shared: bool,
}

impl Loaded {
    /// As its key says.
    #[must_use]
    pub fn new(version: Version, object: Object) -> Self {
        Self {
            version,
            object,
            tags: None,
            good_for: None,
            is_shared: false,
        }
    }
}

/// Something that was read.
#[derive(Debug)]
pub struct Copy {
    /// What it was built from.
    pub version: Version,
    /// What it is.
    pub object: Object,
    pub(super) tags: Vec<Tag>,
    pub(super) began: Stamp,
    pub(super) loaded_at: Instant,
    pub(super) good_for: Option<Duration>,
    /// See [`Loaded::is_shared`].
    pub(super) is_shared: bool,
    /// Its own random part of the ttl, 0 to 1.
    pub(super) jitter: f64,
}

impl Copy {
    /// How long ago it was read.
    #[must_use]
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.loaded_at)
    }

    /// What it weighs, bytes, with its compressed form, which may come later.
    pub(super) fn weight(&self) -> usize {
        OVERHEAD
            + match &self.object {
                Object::Access(_) | Object::Membership(_) => 0,
                Object::Room(room) => room.name.len() + room.topic.len() + room.slug.len(),
                Object::Body(rendered) => rendered.body.len() * 3 / 2,
            }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn one_compressed_form_is_made_once_if_it_is_worth_it() {
        let text = "what was said ".repeat(200);
        let rendered = Rendered::new("e", Bytes::from(text.clone()), None);
        assert!(rendered.gzip(5000, 9000).is_none(), "too short");
        assert!(rendered.gzip(10, 100).is_none(), "too long");
        let packed = rendered.gzip(1000, 9000).unwrap();
        assert!(packed.len() < 200);
        assert_eq!(rendered.gzip(1000, 9000).unwrap().as_ptr(), packed.as_ptr());
        let mut back = String::new();
        GzDecoder::new(&*packed).read_to_string(&mut back).unwrap();
        assert_eq!(back, text);
        let noise: Vec<u8> = (0..2000).map(|_| rand::random()).collect();
        assert!(
            Rendered::new("e", noise.into(), None)
                .gzip(1, 9000)
                .is_none()
        );
    }
}
