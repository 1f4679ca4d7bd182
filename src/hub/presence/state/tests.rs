//! Single rules, one by one.

use super::*;

fn rules() -> Rules {
    Rules {
        manner: Manner {
            list_max: 8,
            count_every: Duration::from_secs(1),
        },
        grace: Duration::from_secs(5),
        people_max: 100,
        retry: Duration::from_secs(1),
    }
}

fn state() -> State {
    State::new(rules(), 1 << 40, BusState::Redis)
}

fn origin(node: &str, incarnation: u64) -> Origin {
    Origin {
        node: node.into(),
        incarnation,
    }
}

fn neighbour(origin: &Origin) -> Neighbour {
    Neighbour {
        origin: origin.clone(),
        bus: Some(BusState::Redis),
    }
}

/// A node that knows another, which has these people.
fn beside(other: &Origin, people: &[(RoomId, UserId)], now: Instant) -> (State, State) {
    let (mut here, mut there) = (state(), state());
    for (room, user) in people {
        there.shift(*room, *user, Step::Arrived, now);
    }
    there.say();
    here.meet(vec![neighbour(other)], now);
    pull(&mut here, &there, now);
    here.take_diffs(now);
    (here, there)
}

/// Answers what a node wants to know of another.
fn pull(here: &mut State, there: &State, now: Instant) -> usize {
    let wishes = here.wishes(now);
    for wish in &wishes {
        let page = there.page(&PresencePull {
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
        here.pulled(wish, Some(pulled), now);
    }
    wishes.len()
}

fn users(state: &State, room: RoomId) -> Vec<UserId> {
    state.who(room).users.expect("a list")
}

fn sorted<const N: usize>(mut users: [UserId; N]) -> Vec<UserId> {
    users.sort_unstable();
    users.to_vec()
}

fn people() -> (RoomId, UserId, UserId) {
    (RoomId::generate(), UserId::generate(), UserId::generate())
}

#[test]
fn several_devices_on_several_nodes_are_one_user() {
    let (room, ann, _) = people();
    let (now, other) = (Instant::now(), origin("b", 1));
    let (mut here, mut there) = beside(&other, &[], now);
    for _ in 0..2 {
        here.shift(room, ann, Step::Arrived, now);
    }
    let (diffs, _) = here.take_diffs(now);
    assert_eq!((diffs[0].joins.as_slice(), diffs[0].count), (&[ann][..], 1));
    there.shift(room, ann, Step::Arrived, now);
    for (version, changes) in there.say() {
        assert_eq!(here.hear(&other, version, &changes), Fate::Taken);
    }
    here.shift(room, ann, Step::Left, now);
    here.shift(room, ann, Step::Left, now);
    assert!(
        here.take_diffs(now).0.is_empty(),
        "she is on the other node"
    );
    assert_eq!(users(&here, room), [ann]);
    there.shift(room, ann, Step::Left, now);
    for (version, changes) in there.say() {
        assert_eq!(here.hear(&other, version, &changes), Fate::Taken);
    }
    let (diffs, _) = here.take_diffs(now);
    assert_eq!(
        (diffs[0].leaves.as_slice(), diffs[0].count),
        (&[ann][..], 0)
    );
    assert_eq!(here.len(), 0);
}

#[test]
fn who_is_lost_may_come_back_and_who_leaves_has_left() {
    let (room, ann, bob) = people();
    let now = Instant::now();
    let mut here = state();
    for user in [ann, bob] {
        here.shift(room, user, Step::Arrived, now);
    }
    here.take_diffs(now);
    here.say();
    here.shift(room, ann, Step::Lost, now);
    here.shift(room, bob, Step::Left, now);
    let (diffs, _) = here.take_diffs(now);
    assert_eq!(
        (diffs[0].leaves.as_slice(), diffs[0].count),
        (&[bob][..], 1)
    );
    let later = now + Duration::from_secs(4);
    here.tick(later);
    here.shift(room, ann, Step::Arrived, later);
    here.shift(room, ann, Step::Lost, later);
    // The end of the first time is none of the second.
    here.tick(now + Duration::from_secs(5));
    assert!(here.take_diffs(later).0.is_empty());
    assert_eq!(here.next_tick(), Some(later + Duration::from_secs(5)));
    here.tick(later + Duration::from_secs(5));
    assert_eq!(here.take_diffs(later).0[0].leaves, [ann]);
    assert_eq!(here.next_tick(), None);
}

#[test]
fn a_lost_diff_is_noticed_and_only_what_changed_is_asked_for() {
    let (room, ann, bob) = people();
    let (now, other) = (Instant::now(), origin("b", 1));
    let (mut here, mut there) = beside(&other, &[(room, ann)], now);
    assert_eq!(users(&here, room), [ann]);
    there.shift(room, bob, Step::Arrived, now);
    there.say();
    there.shift(room, ann, Step::Left, now);
    let (version, changes) = there.say().remove(0);
    assert_eq!(here.hear(&other, version, &changes), Fate::Behind);
    assert!(here.is_stale());
    assert!(here.wishes(now).is_empty(), "it was asked a moment ago");
    let later = now + Duration::from_secs(1);
    assert_eq!(here.next_tick(), Some(later));
    let wish = here.wishes(later).remove(0);
    assert_eq!(wish.since, Some((1 << 40) + 1));
    here.pulled(&wish, None, later);
    let later = later + Duration::from_secs(1);
    assert_eq!(pull(&mut here, &there, later), 1);
    assert_eq!(users(&here, room), [bob]);
    assert!(!here.is_stale());
}

#[test]
fn a_lost_last_diff_shows_in_the_digest() {
    let (room, ann, bob) = people();
    let (now, other) = (Instant::now(), origin("b", 1));
    let (mut here, mut there) = beside(&other, &[(room, ann)], now);
    assert_eq!(here.compare(&other, there.digest(), now), Fate::Known);
    there.shift(room, bob, Step::Arrived, now);
    there.say();
    assert_eq!(here.compare(&other, there.digest(), now), Fate::Behind);
    let later = now + Duration::from_secs(1);
    pull(&mut here, &there, later);
    assert_eq!(users(&here, room), sorted([ann, bob]));
    assert_eq!(here.compare(&other, there.digest(), later), Fate::Known);
}

#[test]
fn what_was_never_said_does_not_last() {
    let (room, ann, bob) = people();
    let (now, other) = (Instant::now(), origin("b", 1));
    let (mut here, there) = beside(&other, &[(room, ann)], now);
    let forged = [PresenceChange {
        room,
        joins: vec![bob],
        leaves: vec![ann],
    }];
    assert_eq!(here.hear(&other, (1 << 40) + 2, &forged), Fate::Taken);
    assert_eq!(here.hear(&other, u64::MAX, &forged), Fate::Behind);
    for _ in 0..3 {
        here.compare(&other, there.digest(), now);
        pull(&mut here, &there, now + Duration::from_secs(1));
    }
    assert_eq!(users(&here, room), [ann]);
    assert!(!here.is_stale());
}

#[test]
fn nobody_is_heard_who_does_not_live() {
    let (room, ann, _) = people();
    let now = Instant::now();
    let (old, new) = (origin("b", 1), origin("b", 2));
    let (mut here, there) = beside(&new, &[], now);
    let change = [PresenceChange {
        room,
        joins: vec![ann],
        leaves: vec![],
    }];
    let next = there.digest().version + 1;
    assert_eq!(here.hear(&old, next, &change), Fate::Outlived);
    assert_eq!(here.compare(&old, there.digest(), now), Fate::Outlived);
    let stranger = origin("c", 1);
    assert_eq!(here.hear(&stranger, next, &change), Fate::Unknown);
    let later = origin("b", 3);
    assert_eq!(here.hear(&later, next, &change), Fate::Unknown);
    assert_eq!(here.who(room).count, 0);
}

#[test]
fn a_dead_nodes_people_go_at_once_and_those_of_one_that_left_have_time() {
    let (room, ann, bob) = people();
    let (now, other) = (Instant::now(), origin("b", 1));
    let (mut here, _) = beside(&other, &[(room, ann), (room, bob)], now);
    here.meet(Vec::new(), now);
    here.tick(now + Duration::from_secs(4));
    assert_eq!(here.who(room).count, 2, "it may have been stopped");
    here.shift(room, ann, Step::Arrived, now);
    here.tick(now + Duration::from_secs(5));
    let (diffs, _) = here.take_diffs(now);
    assert_eq!(
        (diffs[0].joins.len(), diffs[0].leaves.as_slice()),
        (0, &[bob][..])
    );

    let (mut here, _) = beside(&other, &[(room, ann)], now);
    here.meet(Vec::new(), now);
    here.lose(&other, now);
    here.tick(now);
    assert_eq!(here.take_diffs(now).0[0].leaves, [ann]);
}

#[test]
fn a_restarted_node_is_no_dead_one() {
    let (room, ann, _) = people();
    let now = Instant::now();
    let (old, new) = (origin("b", 1), origin("b", 2));
    let (mut here, _) = beside(&old, &[(room, ann)], now);
    here.meet(vec![neighbour(&new)], now);
    here.lose(&old, now);
    here.tick(now);
    assert_eq!(users(&here, room), [ann]);
    let mut again = state();
    again.shift(room, ann, Step::Arrived, now);
    again.say();
    pull(&mut here, &again, now);
    here.tick(now + Duration::from_secs(5));
    assert!(here.take_diffs(now).0.is_empty(), "nobody saw it");
    assert_eq!(users(&here, room), [ann]);
}

#[test]
fn nothing_changes_while_the_bus_is_away() {
    let (room, ann, bob) = people();
    let (now, other) = (Instant::now(), origin("b", 1));
    let (mut here, mut there) = beside(&other, &[(room, ann)], now);
    here.turn(BusState::Fallback, now);
    here.tick(now);
    let (diffs, is_stale) = here.take_diffs(now);
    assert!(is_stale && here.is_stale());
    let diff = &diffs[0];
    assert!(diff.joins.is_empty() && diff.leaves.is_empty());
    assert_eq!(diff.count, 1);
    there.shift(room, bob, Step::Arrived, now);
    there.shift(room, ann, Step::Left, now);
    let (version, changes) = there.say().remove(0);
    assert_eq!(here.hear(&other, version, &changes), Fate::Frozen);
    assert_eq!(here.compare(&other, there.digest(), now), Fate::Frozen);
    here.meet(Vec::new(), now);
    here.lose(&other, now);
    let later = now + Duration::from_secs(60);
    here.tick(later);
    assert_eq!(users(&here, room), [ann]);
    assert!(here.wishes(later).is_empty());
    here.meet(vec![neighbour(&other)], later);
    here.turn(BusState::Redis, later);
    here.tick(later);
    assert!(here.take_diffs(later).0.is_empty(), "not all is well yet");
    pull(&mut here, &there, later);
    here.tick(later);
    let (diffs, is_stale) = here.take_diffs(later);
    assert!(!is_stale);
    let diff = &diffs[0];
    assert_eq!(
        (diff.joins.as_slice(), diff.leaves.as_slice()),
        (&[bob][..], &[ann][..])
    );
}

#[test]
fn a_node_that_died_meanwhile_goes_when_the_bus_is_back() {
    let (room, ann, _) = people();
    let (now, other) = (Instant::now(), origin("b", 1));
    let (mut here, _) = beside(&other, &[(room, ann)], now);
    here.turn(BusState::Fallback, now);
    here.meet(Vec::new(), now);
    here.lose(&other, now);
    let back = now + Duration::from_secs(60);
    here.turn(BusState::Redis, back);
    here.tick(back);
    assert_eq!(users(&here, room), [ann]);
    here.tick(back + Duration::from_secs(5));
    assert_eq!(here.who(room).count, 0);
}

#[test]
fn a_node_alone_is_never_stale() {
    let mut here = state();
    here.turn(BusState::Fallback, Instant::now());
    assert!(!here.is_stale());
}

#[test]
fn a_large_room_is_counted_and_seldom_told() {
    let room = RoomId::generate();
    let now = Instant::now();
    let mut here = state();
    let crowd: Vec<_> = (0..9).map(|_| UserId::generate()).collect();
    for user in &crowd {
        here.shift(room, *user, Step::Arrived, now);
    }
    let (diffs, _) = here.take_diffs(now);
    assert!(diffs[0].is_counted && diffs[0].joins.is_empty());
    assert_eq!(diffs[0].count, 9);
    assert_eq!(here.who(room).users, None);
    // One fewer is not clearly fewer.
    here.shift(room, crowd[0], Step::Left, now);
    assert!(here.take_diffs(now).0.is_empty() && here.has_diffs());
    let later = now + Duration::from_secs(1);
    let (diffs, _) = here.take_diffs(later);
    assert!(diffs[0].is_counted && diffs[0].leaves.is_empty());
    assert_eq!(diffs[0].count, 8);
    here.shift(room, crowd[1], Step::Left, later);
    let (diffs, _) = here.take_diffs(later + Duration::from_secs(1));
    assert!(diffs[0].is_whole && !diffs[0].is_counted);
    assert_eq!(diffs[0].joins, users(&here, room));
    assert_eq!(diffs[0].joins.len(), 7);
}

#[test]
fn a_node_with_more_people_than_are_taken_is_not_followed() {
    let room = RoomId::generate();
    let (now, other) = (Instant::now(), origin("b", 1));
    let crowd: Vec<_> = (0..101).map(|_| (room, UserId::generate())).collect();
    let (mut here, there) = beside(&other, &crowd, now);
    assert_eq!(here.len(), 0);
    assert!(here.is_stale());
    assert_eq!(pull(&mut here, &there, now + Duration::from_secs(10)), 0);
    assert_eq!(pull(&mut here, &there, now + Duration::from_secs(60)), 1);
}

#[test]
fn a_page_goes_on_where_the_one_before_ended() {
    let now = Instant::now();
    let mut here = state();
    let rooms: Vec<_> = (0..3).map(|_| RoomId::generate()).collect();
    let mut everybody = Vec::new();
    for number in 0..20 {
        let place = (rooms[number % 3], UserId::generate());
        here.shift(place.0, place.1, Step::Arrived, now);
        everybody.push(place);
    }
    here.say();
    let mut read = Vec::new();
    let mut after = None;
    loop {
        let page = here.own.page(None, after, 4);
        for change in &page.changes {
            read.extend(change.joins.iter().map(|user| (change.room, *user)));
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    everybody.sort_unstable();
    assert_eq!(read, everybody);
}

#[test]
fn more_nodes_than_can_be_told_apart_are_left_out() {
    let now = Instant::now();
    let mut here = state();
    let many = (0..70).map(|number| neighbour(&origin(&format!("n{number}"), 1)));
    here.meet(many.collect(), now);
    assert_eq!(here.wishes(now).len(), 63);
    assert_eq!(here.unseen(), 7);
    assert!(here.is_stale(), "people there are missing");
    // When some have gone, others are seen in their place.
    let some = (10..70).map(|number| neighbour(&origin(&format!("n{number}"), 1)));
    here.meet(some.collect(), now);
    assert_eq!(here.unseen(), 7, "those that went may come back");
    let later = now + rules().grace;
    here.tick(later);
    assert_eq!(here.unseen(), 0);
    assert_eq!(here.wishes(later).len(), 7);
}
