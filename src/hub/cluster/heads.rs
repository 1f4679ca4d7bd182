//! The heads of rooms that wait to be told, and how they are written. Pure.
//!
//! A notice is text: `h1`, the name and life of the node that tells, and pairs of a room and the
//! last `seq` that was committed in it, separated by commas. A room's id takes 22 characters
//! (base64url), the number follows it at once: some 250 rooms fit into one notice.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::bus::envelope::Origin;
use crate::protocol::event::Seq;
use crate::protocol::id::RoomId;
use crate::store::head_notices::NOTICE_MAX;

/// What a notice of this form begins with.
const VERSION: &str = "h1";

/// Characters of a room's id.
const ROOM: usize = 22;

/// Rooms with their highest `seq`, in the order in which they came.
#[derive(Debug)]
pub(super) struct HeadQueue {
    max: usize,
    heads: HashMap<RoomId, Seq>,
    order: VecDeque<RoomId>,
}

impl HeadQueue {
    /// For at most `max` rooms.
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            heads: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// A room's log has come to `seq`. False if there is no place for another room.
    pub(super) fn push(&mut self, room: RoomId, seq: Seq) -> bool {
        if let Some(waiting) = self.heads.get_mut(&room) {
            *waiting = seq.max(*waiting);
            return true;
        }
        if self.heads.len() >= self.max {
            return false;
        }
        self.heads.insert(room, seq);
        self.order.push_back(room);
        true
    }

    /// The next notice: as many rooms as fit, those first that wait longest; none if none waits.
    pub(super) fn next_notice(&mut self, origin: &Origin) -> Option<Outgoing> {
        self.order.front()?;
        let mut heads = Vec::new();
        let mut notice = format!("{VERSION} {} {} ", origin.node, origin.incarnation);
        let beginning = notice.len();
        while let Some(&room) = self.order.front() {
            let seq = self.heads.get(&room).copied().unwrap_or_default();
            let before = notice.len();
            if before > beginning {
                notice.push(',');
            }
            URL_SAFE_NO_PAD.encode_string(room.0.as_bytes(), &mut notice);
            let _ = write!(notice, "{seq}");
            if notice.len() > NOTICE_MAX {
                notice.truncate(before);
                break;
            }
            self.heads.remove(&room);
            self.order.pop_front();
            heads.push((room, seq));
        }
        Some(Outgoing {
            text: notice,
            heads,
        })
    }
}

/// A notice that is to be told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outgoing {
    /// As it is told.
    pub(super) text: String,
    /// What it tells.
    pub(super) heads: Vec<(RoomId, Seq)>,
}

/// What a notice tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Notice<'a> {
    /// The node that tells.
    pub(super) node: &'a str,
    /// Its life.
    pub(super) incarnation: u64,
    /// Rooms and where their logs have come to.
    pub(super) heads: Vec<(RoomId, Seq)>,
}

/// Why a notice cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoticeError {
    /// Another form, of a newer version perhaps.
    #[error("it is not of the form {VERSION}")]
    Form,
    /// The number of the node's life is none.
    #[error("it has no origin")]
    Origin,
    /// Not an id and a number.
    #[error("a head in it is none")]
    Head,
}

/// Reads a notice: all of it or nothing.
pub(super) fn read_notice(text: &str) -> Result<Notice<'_>, NoticeError> {
    let mut parts = text.split(' ');
    if parts.next() != Some(VERSION) {
        return Err(NoticeError::Form);
    }
    let node = parts.next().filter(|node| !node.is_empty());
    let node = node.ok_or(NoticeError::Origin)?;
    let incarnation = parts.next().and_then(number).ok_or(NoticeError::Origin)?;
    let heads = parts.next().ok_or(NoticeError::Head)?;
    if parts.next().is_some() {
        return Err(NoticeError::Form);
    }
    let heads = heads.split(',').map(read_head).collect::<Option<_>>();
    Ok(Notice {
        node,
        incarnation,
        heads: heads.ok_or(NoticeError::Head)?,
    })
}

fn read_head(pair: &str) -> Option<(RoomId, Seq)> {
    let (room, seq) = pair.split_at_checked(ROOM)?;
    let mut id = [0; 16];
    let length = URL_SAFE_NO_PAD.decode_slice(room, &mut id).ok()?;
    let seq = number(seq).filter(|seq| i64::try_from(*seq).is_ok())?;
    (length == 16).then_some((RoomId(Uuid::from_bytes(id)), seq))
}

/// A number as we write it.
fn number(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn origin() -> Origin {
        Origin {
            node: "node-1".into(),
            incarnation: 7,
        }
    }

    fn room(n: u128) -> RoomId {
        RoomId(Uuid::from_u128(n))
    }

    #[test]
    fn a_room_waits_once_with_its_highest_seq() {
        let mut queue = HeadQueue::new(2);
        assert!(queue.push(room(1), 5));
        assert!(queue.push(room(2), 1));
        assert!(queue.push(room(1), 4));
        assert!(queue.push(room(1), 6));
        assert!(!queue.push(room(3), 1), "it is full of others");
        assert!(queue.push(room(2), 2), "and has place for these");
        let notice = queue.next_notice(&origin()).unwrap();
        let read = read_notice(&notice.text).unwrap();
        assert_eq!(read.heads, notice.heads);
        assert_eq!((read.node, read.incarnation), ("node-1", 7));
        assert_eq!(read.heads, [(room(1), 6), (room(2), 2)]);
        assert_eq!(queue.next_notice(&origin()), None);
        assert!(queue.push(room(3), 1));
    }

    #[test]
    fn many_rooms_take_several_notices_each_within_the_limit() {
        let mut queue = HeadQueue::new(10_000);
        for n in 0..1000 {
            queue.push(room(n), u64::try_from(n).unwrap() * 1_000_000_007);
        }
        let mut told = Vec::new();
        let mut notices = 0;
        while let Some(notice) = queue.next_notice(&origin()) {
            assert!(notice.text.len() <= NOTICE_MAX, "{}", notice.text.len());
            told.extend(read_notice(&notice.text).unwrap().heads);
            notices += 1;
        }
        assert_eq!(told.len(), 1000);
        assert!(told.iter().zip(0..).all(|((id, _), n)| *id == room(n)));
        assert!((4..=6).contains(&notices), "{notices}");
    }

    #[test]
    fn what_is_no_notice_is_refused() {
        let id = "AAAAAAAAAAAAAAAAAAAAAQ";
        assert!(read_notice(&format!("h1 a 1 {id}5")).is_ok());
        for (text, error) in [
            (String::new(), NoticeError::Form),
            ("h2 a 1 x".into(), NoticeError::Form),
            (format!("h1 a 1 {id}5 more"), NoticeError::Form),
            (format!("h1  1 {id}5"), NoticeError::Origin),
            (format!("h1 a x {id}5"), NoticeError::Origin),
            (format!("h1 a -1 {id}5"), NoticeError::Origin),
            ("h1 a 1".into(), NoticeError::Head),
            ("h1 a 1 ".into(), NoticeError::Head),
            (format!("h1 a 1 {id}"), NoticeError::Head),
            (format!("h1 a 1 {id}+5"), NoticeError::Head),
            (format!("h1 a 1 {id}5,"), NoticeError::Head),
            (
                format!("h1 a 1 {id}99999999999999999999"),
                NoticeError::Head,
            ),
            (format!("h1 a 1 {id}9223372036854775808"), NoticeError::Head),
            ("h1 a 1 ééééééééééééééééééééé5".into(), NoticeError::Head),
        ] {
            assert_eq!(read_notice(&text), Err(error), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_heard_panics(text in ".{0,80}", pair in "h1 [a ]{1,3} ?[0-9]{1,3} .{0,60}") {
            let _ = (read_notice(&text), read_notice(&pair));
        }
    }
}
