//! What holds whatever happens: nodes on a bus that loses and doubles, and in the end all agree.

use std::collections::{BTreeSet, HashMap, HashSet};

use proptest::prelude::*;

use super::*;

const NODES: usize = 3;
const ROOMS: usize = 2;
const USERS: usize = 5;

#[derive(Debug, Clone, Copy)]
enum Deed {
    Shift(usize, usize, usize, Step),
    /// What a node has to say; which of the others hear it, and who hears it twice.
    Say(usize, [u8; NODES]),
    Digest(usize, [u8; NODES]),
    Pull(usize, bool),
    Bus(usize, bool),
    Restart(usize),
    Tell(usize),
    /// A client asks who is in a room.
    Ask(usize, usize),
    Wait(u8),
}

fn deeds() -> impl Strategy<Value = Deed> {
    let node = 0..NODES;
    let step = prop_oneof![Just(Step::Arrived), Just(Step::Left), Just(Step::Lost)];
    let heard = prop::array::uniform3(0..3u8);
    prop_oneof![
        8 => (node.clone(), 0..ROOMS, 0..USERS, step).prop_map(|(n, r, u, s)| Deed::Shift(n, r, u, s)),
        6 => (node.clone(), heard.clone()).prop_map(|(n, h)| Deed::Say(n, h)),
        2 => (node.clone(), heard).prop_map(|(n, h)| Deed::Digest(n, h)),
        4 => (node.clone(), any::<bool>()).prop_map(|(n, ok)| Deed::Pull(n, ok)),
        1 => (node.clone(), any::<bool>()).prop_map(|(n, up)| Deed::Bus(n, up)),
        1 => node.clone().prop_map(Deed::Restart),
        4 => node.clone().prop_map(Deed::Tell),
        2 => (node, 0..ROOMS).prop_map(|(n, r)| Deed::Ask(n, r)),
        2 => (0..8u8).prop_map(Deed::Wait),
    ]
}

struct Node {
    origin: Origin,
    state: State,
    /// Connections, by room and user: the truth.
    connections: HashMap<(RoomId, UserId), u32>,
    /// What its clients have been told, by room.
    told: HashMap<RoomId, HashSet<UserId>>,
    /// What those know who have asked, by room.
    asked: HashMap<RoomId, HashSet<UserId>>,
    /// Rooms in which somebody has asked since they were told something.
    asked_lately: HashSet<RoomId>,
}

impl Node {
    fn new(number: usize, incarnation: u64) -> Self {
        let rules = Rules {
            manner: Manner {
                list_max: 100,
                count_every: Duration::ZERO,
            },
            grace: Duration::from_secs(5),
            people_max: 1000,
            retry: Duration::from_millis(1),
        };
        Self {
            origin: Origin {
                node: format!("n{number}").into(),
                incarnation,
            },
            state: State::new(rules, 1 << 40, BusState::Redis),
            connections: HashMap::new(),
            told: HashMap::new(),
            asked: HashMap::new(),
            asked_lately: HashSet::new(),
        }
    }

    fn present(&self, room: RoomId) -> BTreeSet<UserId> {
        let here = self.connections.iter();
        here.filter(|((it, _), count)| *it == room && **count > 0)
            .map(|((_, user), _)| *user)
            .collect()
    }

    fn tell(&mut self, now: Instant) {
        for diff in self.state.take_diffs(now).0 {
            let was_asked = self.asked_lately.remove(&diff.room_id);
            let told = self.told.entry(diff.room_id).or_default();
            let asked = self.asked.get_mut(&diff.room_id);
            let mut all: Vec<_> = [Some(told), asked].into_iter().flatten().collect();
            if diff.is_whole {
                for known in &mut all {
                    known.clear();
                }
            }
            for user in diff.joins {
                let is_new = all.iter_mut().map(|known| known.insert(user));
                let is_new: Vec<bool> = is_new.collect();
                assert!(is_new[0] || was_asked, "a join of somebody who is here");
            }
            for user in diff.leaves {
                let was_here = all.iter_mut().map(|known| known.remove(&user));
                let was_here: Vec<bool> = was_here.collect();
                assert!(was_here[0] || was_asked, "a leave of somebody who is not");
            }
            for known in all {
                assert_eq!(diff.count, known.len() as u64);
            }
        }
    }

    fn ask(&mut self, room: RoomId) {
        let here = self.state.ask(room).users.expect("a list");
        self.asked.insert(room, here.into_iter().collect());
        self.asked_lately.insert(room);
    }
}

struct World {
    nodes: Vec<Node>,
    rooms: Vec<RoomId>,
    users: Vec<UserId>,
    now: Instant,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            nodes: (0..NODES).map(|number| Node::new(number, 1)).collect(),
            rooms: (0..ROOMS).map(|_| RoomId::generate()).collect(),
            users: (0..USERS).map(|_| UserId::generate()).collect(),
            now: Instant::now(),
        };
        world.meet();
        world
    }

    fn meet(&mut self) {
        let all: Vec<_> = self.nodes.iter().map(|it| it.origin.clone()).collect();
        for node in &mut self.nodes {
            let others = all.iter().filter(|it| it.node != node.origin.node);
            let neighbours = others.map(|origin| Neighbour {
                origin: origin.clone(),
                bus: Some(BusState::Redis),
            });
            node.state.meet(neighbours.collect(), self.now);
        }
    }

    fn apply(&mut self, deed: Deed) {
        let now = self.now;
        match deed {
            Deed::Shift(node, room, user, step) => {
                let place = (self.rooms[room], self.users[user]);
                let node = &mut self.nodes[node];
                let count = node.connections.entry(place).or_default();
                match (step, *count) {
                    (Step::Arrived, _) => *count += 1,
                    (_, 0) => return,
                    _ => *count -= 1,
                }
                node.state.shift(place.0, place.1, step, now);
            }
            Deed::Say(node, heard) => {
                let origin = self.nodes[node].origin.clone();
                for (version, changes) in self.nodes[node].state.say() {
                    for (other, times) in heard.into_iter().enumerate() {
                        for _ in 0..if other == node { 0 } else { times } {
                            self.nodes[other].state.hear(&origin, version, &changes);
                        }
                    }
                }
            }
            Deed::Digest(node, heard) => {
                self.apply(Deed::Say(node, heard));
                let origin = self.nodes[node].origin.clone();
                let digest = self.nodes[node].state.digest();
                for (other, times) in heard.into_iter().enumerate() {
                    if other != node && times > 0 {
                        self.nodes[other].state.compare(&origin, digest, now);
                    }
                }
            }
            Deed::Pull(node, is_answered) => self.pull(node, is_answered),
            Deed::Bus(node, is_up) => {
                let bus = if is_up {
                    BusState::Redis
                } else {
                    BusState::Fallback
                };
                self.nodes[node].state.turn(bus, now);
            }
            Deed::Restart(node) => {
                let incarnation = self.nodes[node].origin.incarnation + 1;
                let old = self.nodes[node].origin.clone();
                self.nodes[node] = Node::new(node, incarnation);
                self.meet();
                for other in &mut self.nodes {
                    other.state.lose(&old, now);
                }
            }
            Deed::Tell(node) => self.nodes[node].tell(now),
            Deed::Ask(node, room) => self.nodes[node].ask(self.rooms[room]),
            Deed::Wait(seconds) => {
                self.now += Duration::from_secs(seconds.into());
                for node in &mut self.nodes {
                    node.state.tick(self.now);
                }
            }
        }
    }

    fn pull(&mut self, node: usize, is_answered: bool) {
        let now = self.now;
        for wish in self.nodes[node].state.wishes(now) {
            let Some(asked) = self.nodes.iter().position(|it| it.origin == wish.origin) else {
                self.nodes[node].state.pulled(&wish, None, now);
                continue;
            };
            // What is asked is said before.
            self.apply(Deed::Say(asked, [0; NODES]));
            let page = self.nodes[asked].state.page(&PresencePull {
                shard: 0,
                shards: 1,
                since: wish.since,
                after: None,
            });
            let pulled = Pulled {
                digest: page.digest,
                is_whole: page.is_whole,
                changes: page.changes,
            };
            let pulled = is_answered.then_some(pulled);
            self.nodes[node].state.pulled(&wish, pulled, now);
        }
    }

    /// All is well for a while.
    fn settle(&mut self) {
        for node in 0..NODES {
            self.apply(Deed::Bus(node, true));
        }
        for _ in 0..4 {
            self.apply(Deed::Wait(3));
            for node in 0..NODES {
                self.apply(Deed::Digest(node, [1; NODES]));
            }
            for node in 0..NODES {
                self.apply(Deed::Pull(node, true));
            }
        }
        for node in 0..NODES {
            self.apply(Deed::Tell(node));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// In the end every node knows who is present by all of them, and so do its clients, who were
    /// told nothing that they could not make sense of.
    #[test]
    fn all_agree_in_the_end(deeds in prop::collection::vec(deeds(), 0..120)) {
        let mut world = World::new();
        for deed in deeds {
            world.apply(deed);
        }
        world.settle();
        for room in &world.rooms {
            let everybody: BTreeSet<_> =
                world.nodes.iter().flat_map(|node| node.present(*room)).collect();
            let everybody: Vec<_> = everybody.into_iter().collect();
            for node in &world.nodes {
                let here = node.state.who(*room);
                prop_assert_eq!(here.users.as_ref(), Some(&everybody));
                prop_assert_eq!(here.count, everybody.len() as u64);
                prop_assert!(!here.is_stale);
                let mut told: Vec<_> =
                    node.told.get(room).into_iter().flatten().copied().collect();
                told.sort_unstable();
                prop_assert_eq!(&told, &everybody);
                if let Some(asked) = node.asked.get(room) {
                    let mut asked: Vec<_> = asked.iter().copied().collect();
                    asked.sort_unstable();
                    prop_assert_eq!(&asked, &everybody);
                }
            }
        }
        for node in &world.nodes {
            let people: usize = world.rooms.iter().map(|room| node.state.who(*room).users.map_or(0, |it| it.len())).sum();
            prop_assert_eq!(node.state.len(), people);
        }
    }
}
