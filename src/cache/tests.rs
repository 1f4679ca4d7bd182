//! The whole of it, over a database that is a list: what is asked, read and told, when.

mod model;

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::copy::{Object, Rendered};
use super::key::{MessagesKey, Place};
use super::version::Version;
use super::*;
use crate::protocol::copies::CopiesQuery;
use crate::protocol::cursor;
use crate::protocol::event::{Epoch, Seq};
use crate::protocol::touched::{Parts, Touched};

const EPOCH: Epoch = Epoch(7);

fn settings(set: &[(&str, &str)]) -> Settings {
    let environment = set
        .iter()
        .map(|(key, value)| (format!("HUBBUB__CACHE__{key}"), (*value).to_owned()))
        .chain([("HUBBUB__HUB__ANTI_ENTROPY_MS".into(), "60000".into())]);
    Settings::new(&Config::from_sources(None, environment).unwrap())
}

/// The room's log: which events changed an earlier message.
#[derive(Default)]
struct Database {
    changes: Vec<bool>,
    /// Loads that wait: to read, or to give what they have read.
    held: Vec<oneshot::Sender<()>>,
    reads: usize,
}

impl Database {
    fn head(&self) -> Seq {
        self.changes.len() as Seq
    }

    /// What a page of before says at a moment: the last change up to then.
    fn changed_by(&self, seq: Seq) -> Seq {
        let upto = usize::try_from(seq).unwrap().min(self.changes.len());
        let last = self.changes[..upto].iter().rposition(|&it| it);
        last.map_or(0, |at| at as Seq + 1)
    }
}

type Shared = Arc<Mutex<Database>>;

/// Waits until the test lets it go on.
async fn hold(database: &Shared) {
    let (go, wait) = oneshot::channel();
    database.lock().held.push(go);
    wait.await.ok();
}

fn key(room: RoomId, is_newest: bool) -> Key {
    Key::Messages(MessagesKey {
        room,
        floor: 0,
        place: if is_newest {
            Place::Newest
        } else {
            Place::Before(1000)
        },
        limit: 50,
        thread: None,
    })
}

/// A page: its body is what it was read from.
fn page(head: Seq, says: Seq) -> Loaded {
    let body = Rendered::new("e", Bytes::from(says.to_string()), None);
    Loaded::new(Version::new(EPOCH, head), Object::Body(body))
}

/// One that nothing but a change of what is on it touches.
fn closed(room: RoomId, head: Seq, says: Seq) -> Loaded {
    Loaded {
        tags: Some(vec![Tag::Earlier(room)]),
        ..page(head, says)
    }
}

fn says(copy: &Copy) -> Seq {
    match &copy.object {
        Object::Body(rendered) => str::from_utf8(&rendered.body).unwrap().parse().unwrap(),
        _ => panic!("not a page"),
    }
}

async fn load(
    database: Shared,
    room: RoomId,
    is_newest: bool,
) -> Result<Option<Loaded>, CacheError> {
    hold(&database).await;
    let page = {
        let mut database = database.lock();
        database.reads += 1;
        let head = database.head();
        if is_newest {
            page(head, head)
        } else {
            closed(room, head, database.changed_by(head))
        }
    };
    hold(&database).await;
    Ok(Some(page))
}

/// Lets everything go on that can.
async fn settle() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

#[actix_rt::test]
async fn a_thousand_equal_requests_are_read_once() {
    let (cache, database) = (Cache::with(settings(&[]), None, None), Shared::default());
    let room = RoomId::generate();
    let ask = || {
        let (cache, database) = (cache.clone(), Arc::clone(&database));
        tokio::spawn(async move {
            let read = || load(Arc::clone(&database), room, true);
            let answer = cache.get(key(room, true), &Least::none(), read).await;
            answer.unwrap().unwrap().how
        })
    };
    let asking: Vec<_> = (0..1000).map(|_| ask()).collect();
    let mut counts = [0; 4];
    for asked in asking {
        while !asked.is_finished() {
            let held: Vec<_> = database.lock().held.drain(..).collect();
            for go in held {
                go.send(()).ok();
            }
            tokio::task::yield_now().await;
        }
        counts[asked.await.unwrap() as usize] += 1;
    }
    assert_eq!(database.lock().reads, 1);
    assert_eq!(counts, [0, 1, 999, 0]);
}

#[actix_rt::test]
async fn a_load_goes_on_when_who_began_it_has_gone() {
    let (cache, database) = (Cache::with(settings(&[]), None, None), Shared::default());
    let room = RoomId::generate();
    let asking = {
        let (cache, database) = (cache.clone(), Arc::clone(&database));
        tokio::spawn(async move {
            let read = || load(Arc::clone(&database), room, true);
            cache.get(key(room, true), &Least::none(), read).await
        })
    };
    settle().await;
    asking.abort();
    for _ in 0..2 {
        settle().await;
        let held: Vec<_> = database.lock().held.drain(..).collect();
        assert_eq!(held.len(), 1);
        for go in held {
            go.send(()).ok();
        }
    }
    settle().await;
    let never = || async { panic!("there is a copy") };
    let answer = cache.get(key(room, true), &Least::none(), never).await;
    assert_eq!(answer.unwrap().unwrap().how, How::Hit);
}

#[actix_rt::test]
async fn a_load_that_panics_or_hangs_keeps_nobody() {
    let cache = Cache::with(settings(&[("LOAD_TIMEOUT_MS", "50")]), None, None);
    let room = RoomId::generate();
    let panics = || async { panic!("a defect of a test") };
    let answer = cache.get(key(room, true), &Least::none(), panics).await;
    assert!(matches!(answer, Err(CacheError::Failed)));
    let hangs = || async { std::future::pending().await };
    let answer = cache.get(key(room, true), &Least::none(), hangs).await;
    assert!(matches!(answer, Err(CacheError::Timeout)));
    let reads = || async { Ok(Some(page(1, 1))) };
    let answer = cache.get(key(room, true), &Least::none(), reads).await;
    assert_eq!(answer.unwrap().unwrap().how, How::Miss);
    settle().await;
    let none = CopiesQuery {
        room: None,
        limit: 0,
    };
    assert_eq!(cache.report(&none).loading, 0);
}

#[actix_rt::test]
async fn more_loads_than_may_wait_are_refused() {
    let few = [("LOADS_MAX", "1"), ("LOADS_WAITING_MAX", "2")];
    let (cache, database) = (Cache::with(settings(&few), None, None), Shared::default());
    for _ in 0..2 {
        let (cache, database) = (cache.clone(), Arc::clone(&database));
        tokio::spawn(async move {
            let room = RoomId::generate();
            let read = || load(Arc::clone(&database), room, true);
            cache.get(key(room, true), &Least::none(), read).await
        });
    }
    settle().await;
    assert_eq!(
        database.lock().held.len(),
        1,
        "the other waits for its turn"
    );
    let room = RoomId::generate();
    let read = || load(Arc::clone(&database), room, true);
    let answer = cache.get(key(room, true), &Least::none(), read).await;
    assert!(matches!(answer, Err(CacheError::Overloaded)));
}

#[actix_rt::test]
async fn without_the_database_a_copy_is_given_as_stale_but_not_what_was_changed() {
    let (outage, outages) = watch::channel(false);
    let cache = Cache::with(settings(&[]), Some(outages), None);
    let room = RoomId::generate();
    let reads = || async { Ok(Some(page(5, 5))) };
    let fails = || async { Err(StoreError::unavailable("away").into()) };
    for is_newest in [true, false] {
        let answer = cache.get(key(room, is_newest), &Least::none(), reads).await;
        assert_eq!(answer.unwrap().unwrap().how, How::Miss);
    }
    outage.send_replace(true);
    cache.lost("test");
    for is_newest in [true, false] {
        let answer = cache.get(key(room, is_newest), &Least::none(), fails).await;
        assert_eq!(answer.unwrap().unwrap().how, How::Stale);
    }
    let position = |seq| Position {
        room_id: room,
        epoch: EPOCH,
        seq,
    };
    let least = |seq| Least::read(&cursor::encode(&[position(seq)]).unwrap()).unwrap();
    let answer = cache.get(key(room, true), &least(5), fails).await;
    assert_eq!(answer.unwrap().unwrap().how, How::Stale);
    let answer = cache.get(key(room, true), &least(6), fails).await;
    assert!(
        matches!(answer, Err(CacheError::Store(_))),
        "it has seen more"
    );
    cache.touched(&[Touched {
        parts: Parts::EARLIER,
        ..Touched::everything(room, Some(EPOCH), 6)
    }]);
    for is_newest in [true, false] {
        let answer = cache.get(key(room, is_newest), &Least::none(), fails).await;
        assert!(matches!(answer, Err(CacheError::Store(_))));
    }
}

#[actix_rt::test]
async fn a_cursor_of_what_is_not_there_is_refused_and_one_of_another_life_is_not() {
    let cache = Cache::with(settings(&[]), None, None);
    let room = RoomId::generate();
    let reads = || async { Ok(Some(page(5, 5))) };
    let seen = |epoch, seq| {
        let position = Position {
            room_id: room,
            epoch: Epoch(epoch),
            seq,
        };
        Least::read(&cursor::encode(&[position]).unwrap()).unwrap()
    };
    let answer = cache.get(key(room, true), &seen(7, 6), reads).await;
    assert!(matches!(answer, Err(CacheError::Ahead)));
    let answer = cache.get(key(room, true), &seen(8, 6), reads).await;
    assert_eq!(answer.unwrap().unwrap().how, How::Miss);
    let answer = cache.get(key(room, true), &seen(7, 5), reads).await;
    assert_eq!(answer.unwrap().unwrap().how, How::Hit);
}
