//! A model of two nodes' caches over one database: writes, feeds that are delayed, doubled, lost and out
//! of order, and loads that are held up before and after they read. Whatever happens, no answer is older
//! than what its cache was told before it was asked, nor than what the client has seen.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;
use crate::store::room_events::Head;

const STEPS: usize = 300;

/// A node: its cache, what is on its way to it, and up to where it was told of each kind of change.
struct Node {
    cache: Cache,
    feed: Vec<Touched>,
    told_head: Seq,
    told_change: Seq,
}

struct Model {
    random: StdRng,
    room: RoomId,
    database: Shared,
    nodes: [Node; 2],
    /// What was answered too old, if anything was.
    faults: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<[usize; 4]>>,
}

impl Model {
    fn new(seed: u64) -> Self {
        let node = || Node {
            cache: Cache::with(settings(&[]), None, None),
            feed: Vec::new(),
            told_head: 0,
            told_change: 0,
        };
        Self {
            random: StdRng::seed_from_u64(seed),
            room: RoomId::generate(),
            database: Arc::default(),
            nodes: [node(), node()],
            faults: Arc::default(),
            answers: Arc::default(),
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }

    fn write(&mut self) {
        let is_change = self.chance(30);
        let seq = {
            let mut database = self.database.lock();
            database.changes.push(is_change);
            database.head()
        };
        let touched = Touched {
            room_id: self.room,
            epoch: Some(EPOCH),
            first: seq,
            seq,
            parts: if is_change {
                Parts::EARLIER
            } else {
                Parts::NONE
            },
            members: Vec::new(),
        };
        for node in 0..2 {
            // Lost, or told twice.
            let times = [0, 1, 1, 1, 1, 1, 1, 2][self.random.random_range(0..8)];
            for _ in 0..times {
                self.nodes[node].feed.push(touched.clone());
            }
        }
    }

    /// One thing of what is on its way arrives, in any order.
    fn deliver(&mut self) {
        let at = self.random.random_range(0..2);
        let node = &mut self.nodes[at];
        if node.feed.is_empty() {
            return;
        }
        let next = self.random.random_range(0..node.feed.len());
        let touched = node.feed.swap_remove(next);
        node.cache.touched(std::slice::from_ref(&touched));
        node.told_head = node.told_head.max(touched.seq);
        if touched.parts.has(Parts::EARLIER) {
            node.told_change = node.told_change.max(touched.seq);
        }
    }

    fn compare(&mut self) {
        let at = self.random.random_range(0..2);
        let (database, node) = (self.database.lock(), &mut self.nodes[at]);
        let head = database.head();
        let others: Vec<_> = node
            .cache
            .followed()
            .into_iter()
            .filter(|it| it.last_seq != head)
            .map(|it| Head {
                last_seq: head,
                ..it
            })
            .collect();
        node.cache.compared(&others);
        if !others.is_empty() {
            node.told_head = head;
            node.told_change = database.changed_by(head);
        }
    }

    /// Somebody asks, perhaps with a cursor.
    fn ask(&mut self) {
        let (at, is_newest) = (self.random.random_range(0..2), self.chance(50));
        let head = self.database.lock().head();
        let seen = if self.chance(50) && head > 0 {
            self.random.random_range(1..=head)
        } else {
            0
        };
        let node = &self.nodes[at];
        let (cache, room) = (node.cache.clone(), self.room);
        let least = if seen == 0 {
            Least::none()
        } else {
            let position = Position {
                room_id: room,
                epoch: EPOCH,
                seq: seen,
            };
            Least::read(&cursor::encode(&[position]).unwrap()).unwrap()
        };
        let expected = if is_newest {
            node.told_head.max(seen)
        } else {
            let seen = self.database.lock().changed_by(seen);
            node.told_change.max(seen)
        };
        let (database, faults) = (Arc::clone(&self.database), Arc::clone(&self.faults));
        let answers = Arc::clone(&self.answers);
        tokio::spawn(async move {
            let read = || load(Arc::clone(&database), room, is_newest);
            let answer = cache.get(key(room, is_newest), &least, read).await;
            let answer = answer.unwrap().unwrap();
            answers.lock()[answer.how as usize] += 1;
            let found = says(&answer.copy);
            if found < expected {
                faults.lock().push(format!(
                    "node {at}, newest {is_newest}: {found} of {expected}, seen {seen}, {:?}",
                    answer.how
                ));
            }
        });
    }

    fn release(&mut self) {
        let mut database = self.database.lock();
        if !database.held.is_empty() {
            let next = self.random.random_range(0..database.held.len());
            database.held.swap_remove(next).send(()).ok();
        }
    }

    async fn step(&mut self) {
        match self.random.random_range(0..100) {
            0..20 => self.write(),
            20..45 => self.deliver(),
            45..70 => self.ask(),
            70..95 => self.release(),
            95..98 => self.compare(),
            98 => {
                let at = self.random.random_range(0..2);
                self.nodes[at].cache.lost("model");
            }
            _ => {
                let at = self.random.random_range(0..2);
                self.nodes[at].cache.doubtful(&[self.room]);
            }
        }
        settle().await;
    }

    /// Everything arrives and lands; then both nodes tell the same, and the same again without reading.
    async fn end(&mut self) {
        loop {
            self.release();
            settle().await;
            if self.database.lock().held.is_empty() {
                break;
            }
        }
        for node in &mut self.nodes {
            for touched in node.feed.drain(..) {
                node.cache.touched(&[touched]);
            }
        }
        for node in &self.nodes {
            let head = self.database.lock().head();
            let here = Head {
                room_id: self.room,
                epoch: EPOCH,
                last_seq: head,
            };
            let is_other = node.cache.followed().iter().any(|it| it.last_seq != head);
            node.cache.compared(if is_other {
                std::slice::from_ref(&here)
            } else {
                &[]
            });
            for is_newest in [true, false] {
                let expected = {
                    let database = self.database.lock();
                    if is_newest {
                        head
                    } else {
                        database.changed_by(head)
                    }
                };
                for _ in 0..2 {
                    let at_once = || {
                        let page = if is_newest {
                            page(head, expected)
                        } else {
                            closed(self.room, head, expected)
                        };
                        async move { Ok(Some(page)) }
                    };
                    let answer = node
                        .cache
                        .get(key(self.room, is_newest), &Least::none(), at_once)
                        .await;
                    let answer = answer.unwrap().unwrap();
                    assert_eq!(says(&answer.copy), expected, "{:?}", answer.how);
                }
                let never = || async { panic!("there is a copy") };
                let answer = node
                    .cache
                    .get(key(self.room, is_newest), &Least::none(), never)
                    .await;
                assert_eq!(answer.unwrap().unwrap().how, How::Hit);
            }
        }
    }
}

#[actix_rt::test]
async fn no_answer_is_older_than_what_was_told_or_seen() {
    let seeds = std::env::var("CACHE_SEEDS").map_or(40, |it| it.parse().unwrap());
    let first = rand::random::<u32>();
    let mut answers = [0; 4];
    for seed in 0..seeds {
        let seed = u64::from(first) + seed;
        let mut model = Model::new(seed);
        for _ in 0..STEPS {
            model.step().await;
        }
        model.end().await;
        let faults = model.faults.lock();
        assert!(faults.is_empty(), "seed {seed}: {faults:#?}");
        for (sum, one) in answers.iter_mut().zip(*model.answers.lock()) {
            *sum += one;
        }
    }
    let [hits, misses, coalesced, _] = answers;
    assert!(
        hits > 100 && misses > 100 && coalesced > 100,
        "hits, misses, coalesced, stale: {answers:?}"
    );
}
