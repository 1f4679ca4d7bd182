use super::*;
use crate::protocol::event::Epoch;
use crate::protocol::touched::Parts;

const EPOCH: Epoch = Epoch(7);

fn version(seq: Seq) -> Version {
    Version::new(EPOCH, seq)
}

fn run(room: RoomId, seqs: (Seq, Seq), parts: Parts, members: &[UserId]) -> Touched {
    Touched {
        room_id: room,
        epoch: Some(EPOCH),
        first: seqs.0,
        seq: seqs.1,
        parts,
        members: members.to_vec(),
    }
}

fn message(room: RoomId, seq: Seq) -> Touched {
    run(room, (seq, seq), Parts::NONE, &[])
}

/// A room whose log a load has found to end at 10, and the stamp at which that load began.
fn scene() -> (Ledger, RoomId, Stamp) {
    let (mut ledger, room) = (Ledger::new(10), RoomId::generate());
    let began = ledger.begin(Some(room), 0).unwrap();
    ledger.read(room, began, version(10));
    (ledger, room, began)
}

#[test]
fn a_load_that_began_before_an_invalidation_never_fills_after_it() {
    let (mut ledger, room, _) = scene();
    let user = UserId::generate();
    let tags = [Tag::Head(room), Tag::Membership(room, user)];
    let began = ledger.begin(Some(room), 0).unwrap();
    assert!(ledger.may_fill(&tags, began));
    ledger.touched(&message(room, 11));
    assert!(!ledger.may_fill(&tags, began));
    assert!(ledger.may_fill(&tags[1..], began), "its tag was not told");
    let other = UserId::generate();
    ledger.touched(&run(room, (12, 12), Parts::MEMBERS, &[other]));
    assert!(ledger.may_fill(&tags[1..], began), "somebody else's");
    ledger.touched(&run(room, (13, 13), Parts::MEMBERS, &[user]));
    assert!(!ledger.may_fill(&tags[1..], began));
    let began = ledger.begin(Some(room), 0).unwrap();
    assert!(ledger.may_fill(&tags, began));
    ledger.lose();
    assert!(!ledger.may_fill(&tags, began));
    let began = ledger.begin(Some(room), 0).unwrap();
    ledger.doubtful(room);
    assert!(!ledger.may_fill(&tags, began));
}

#[test]
fn what_was_told_twice_or_late_stops_nobody_who_has_read_it() {
    let (mut ledger, room, _) = scene();
    ledger.touched(&message(room, 12));
    let began = ledger.begin(Some(room), 0).unwrap();
    ledger.touched(&message(room, 12));
    ledger.touched(&message(room, 11));
    assert!(ledger.may_fill(&[Tag::Head(room)], began));
}

#[test]
fn a_copy_holds_against_events_that_it_was_built_from_and_no_others() {
    let (mut ledger, room, began) = scene();
    let (head, earlier) = ([Tag::Head(room)], [Tag::Earlier(room)]);
    ledger.touched(&message(room, 10));
    assert!(ledger.holds(&head, began, version(10)), "it has that one");
    ledger.touched(&message(room, 11));
    assert!(!ledger.holds(&head, began, version(10)));
    assert!(ledger.holds(&earlier, began, version(10)));
    ledger.touched(&run(room, (12, 12), Parts::EARLIER, &[]));
    assert!(!ledger.holds(&earlier, began, version(10)));
    assert!(ledger.holds(&earlier, began, version(12)));
    ledger.doubtful(room);
    assert!(
        !ledger.holds(&earlier, began, version(99)),
        "whatever it has read"
    );
}

#[test]
fn when_all_is_doubtful_a_copy_is_only_for_when_nothing_better_can_be_had() {
    let (mut ledger, room, began) = scene();
    let tags = [Tag::Earlier(room)];
    ledger.lose();
    assert!(!ledger.holds(&tags, began, version(10)));
    assert!(ledger.holds_of_what_was_told(&tags, began, version(10)));
    // A deletion, say.
    ledger.touched(&run(room, (11, 11), Parts::EARLIER, &[]));
    assert!(!ledger.holds_of_what_was_told(&tags, began, version(10)));
}

#[test]
fn it_is_as_new_as_what_was_told_without_a_hole() {
    let (mut ledger, room, _) = scene();
    let reaches = |ledger: &Ledger, least| ledger.reaches(room, version(10), least);
    assert!(reaches(&ledger, 10) && !reaches(&ledger, 11));
    ledger.touched(&run(room, (11, 14), Parts::NONE, &[]));
    assert!(reaches(&ledger, 14) && !reaches(&ledger, 15));
    ledger.touched(&message(room, 16));
    assert!(!reaches(&ledger, 16), "15 may have touched it");
    ledger.touched(&message(room, 15));
    assert!(reaches(&ledger, 16));
    assert!(
        !ledger.reaches(room, version(9), 11),
        "from before the base"
    );
    ledger.lose();
    assert!(!reaches(&ledger, 11));
    let began = ledger.begin(Some(room), 0).unwrap();
    ledger.read(room, began, version(16));
    assert!(ledger.reaches(room, version(16), 16));
    ledger.touched(&message(room, 17));
    assert!(ledger.reaches(room, version(16), 17));
}

#[test]
fn a_load_of_before_a_loss_says_nothing_of_where_a_room_stands() {
    let (mut ledger, room, began) = scene();
    ledger.lose();
    ledger.read(room, began, version(12));
    ledger.touched(&message(room, 13));
    assert!(!ledger.reaches(room, version(12), 13));
}

#[test]
fn another_life_of_the_log_ends_all_copies_and_a_late_load_does_not_bring_the_old_one_back() {
    let (mut ledger, room, began) = scene();
    let tags = [Tag::Earlier(room)];
    let other = Version::new(Epoch(8), 3);
    let later = ledger.begin(Some(room), 0).unwrap();
    ledger.read(room, later, other);
    assert!(!ledger.holds(&tags, began, version(10)));
    let latest = ledger.begin(Some(room), 0).unwrap();
    assert!(ledger.holds(&tags, latest, other));
    ledger.read(room, began, version(11));
    assert!(ledger.holds(&tags, latest, other));
}

#[test]
fn a_comparison_finds_what_was_not_told_and_a_log_that_is_shorter() {
    let (mut ledger, room, began) = scene();
    let tags = [Tag::Earlier(room)];
    assert_eq!(ledger.followed(0, 9), [(room, version(10))]);
    assert!(!ledger.compared(room, version(10)));
    ledger.touched(&message(room, 11));
    assert!(!ledger.compared(room, version(11)), "it has come meanwhile");
    assert!(ledger.holds(&tags, began, version(10)));
    assert!(ledger.compared(room, version(12)));
    assert!(!ledger.holds(&tags, began, version(10)));
    let began = ledger.begin(Some(room), 0).unwrap();
    ledger.read(room, began, version(12));
    assert!(ledger.holds(&tags, began, version(12)));
    assert!(ledger.reaches(room, version(12), 12));
    ledger.followed(0, 9);
    assert!(ledger.compared(room, version(4)));
    assert!(!ledger.holds(&tags, began, version(12)));
    assert_eq!(ledger.followed(0, 9), [(room, version(4))]);
}

#[test]
fn a_room_that_is_not_followed_has_no_copies() {
    let mut ledger = Ledger::new(1);
    let (a, b) = (RoomId::generate(), RoomId::generate());
    let began = ledger.begin(Some(a), 5).unwrap();
    assert!(ledger.begin(Some(b), 5).is_none(), "there is no place");
    assert!(ledger.holds(&[Tag::Head(a)], began, version(1)));
    assert!(!ledger.holds(&[Tag::Head(b)], began, version(1)));
    assert!(!ledger.may_fill(&[Tag::Head(b)], began));
    // It is forgotten when nobody has asked for it, and what there was does not count again.
    ledger.followed(20, 10);
    assert_eq!(ledger.rooms(), 0);
    ledger.begin(Some(a), 21).unwrap();
    assert!(!ledger.holds(&[Tag::Head(a)], began, version(1)));
}

#[test]
fn of_more_members_than_are_remembered_each_is_told() {
    let (mut ledger, room, began) = scene();
    let first = UserId::generate();
    ledger.touched(&run(room, (11, 11), Parts::MEMBERS, &[first]));
    for seq in 12..400 {
        ledger.touched(&run(
            room,
            (seq, seq),
            Parts::MEMBERS,
            &[UserId::generate()],
        ));
    }
    let tags = [Tag::Membership(room, first)];
    assert!(!ledger.holds(&tags, began, version(10)));
    assert!(!ledger.may_fill(&tags, began));
}

#[test]
fn a_changed_user_is_known_also_when_many_have_changed() {
    let mut ledger = Ledger::new(1);
    let (user, row) = (UserId::generate(), Version::of_row(1));
    let began = ledger.begin(None, 0).unwrap();
    let tags = [Tag::User(user)];
    ledger.user_changed(UserId::generate());
    assert!(ledger.holds(&tags, began, row));
    assert!(!ledger.holds(&[Tag::Users], began, row));
    ledger.user_changed(user);
    assert!(!ledger.holds(&tags, began, row));
    for _ in 0..=USERS_MAX {
        ledger.user_changed(UserId::generate());
    }
    assert!(!ledger.holds(&tags, began, row), "forgotten");
}

#[test]
fn a_copy_of_another_node_must_have_what_this_one_knows() {
    let (mut ledger, room, _) = scene();
    let tags = [Tag::Head(room)];
    assert!(ledger.takes(room, &tags, version(10)));
    assert!(!ledger.takes(room, &tags, version(9)));
    assert!(!ledger.takes(room, &tags, Version::new(Epoch(8), 11)));
    ledger.touched(&message(room, 12));
    assert!(!ledger.takes(room, &tags, version(11)));
    assert!(ledger.takes(room, &[Tag::Earlier(room)], version(11)));
    assert!(ledger.takes(room, &tags, version(12)));
    ledger.touched(&run(room, (13, 13), Parts::EARLIER, &[]));
    for tags in [tags, [Tag::Earlier(room)]] {
        assert!(
            !ledger.takes(room, &tags, version(12)),
            "of before the deletion"
        );
        assert!(ledger.takes(room, &tags, version(13)));
    }
    ledger.lose();
    assert!(!ledger.takes(room, &tags, version(99)), "nothing is known");
    assert!(!ledger.takes(RoomId::generate(), &tags, version(99)));
}
