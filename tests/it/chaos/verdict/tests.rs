//! A sound history passes; one with a fault of each kind does not, and is found for what it is.

mod presence;
mod resuming;
mod story;

use std::collections::BTreeSet;

use serde_json::json;
use story::{ADA, BOB, ROOM, Story};

use super::Promise;
use crate::chaos::history::{Answer, What, seq_of};
use crate::chaos::model::Text;

/// Asserts what is broken when a sound story is changed.
#[track_caller]
fn assert_broken(change: impl FnOnce(&mut Story), expected: &[Promise]) {
    let mut story = Story::sound();
    change(&mut story);
    let expected: BTreeSet<Promise> = expected.iter().copied().collect();
    let violations = story.violations();
    let found: BTreeSet<Promise> = violations.iter().map(|it| it.promise).collect();
    assert_eq!(found, expected, "{violations:#?}");
}

#[test]
fn a_sound_history_passes() {
    assert_broken(|_| {}, &[]);
}

#[test]
fn an_acked_event_that_is_not_stored() {
    let lose_the_last = |story: &mut Story| {
        let last = story.log.pop_last().expect("a log").0;
        story.remove(ADA, last);
        story.remove(BOB, last);
    };
    let expected = [Promise::AckedIsStored, Promise::StateIsFold];
    assert_broken(lose_the_last, &expected);
}

#[test]
fn an_acked_event_that_is_stored_as_something_else() {
    let change = |story: &mut Story| {
        story.log.get_mut(&3).expect("a message")["body"] = json!("else");
    };
    let expected = [
        Promise::AckedIsStored,
        Promise::StoredWasSent,
        Promise::SameForAll,
        Promise::StateIsFold,
        Promise::ApplyIsFresh,
    ];
    assert_broken(change, &expected);
}

#[test]
fn a_key_that_is_stored_twice() {
    let double = |story: &mut Story| {
        let seq = story.publish(ADA, "a9", "nine");
        let mut again = story.log[&seq].clone();
        (again["seq"], again["msg_no"]) = (json!(seq + 1), json!(story.messages() + 1));
        story.happens(&again);
        story.read_pages();
    };
    assert_broken(double, &[Promise::StoredOnce]);
}

#[test]
fn what_was_refused_and_is_stored() {
    let refuse = |story: &mut Story| {
        story.publish(ADA, "a9", "nine");
        story.read_pages();
        story.answer_last(Answer::Refused {
            code: "unavailable".to_owned(),
            retry: true,
        });
    };
    assert_broken(refuse, &[Promise::StoredOnce]);
}

#[test]
fn what_may_have_been_stored_may_be_stored() {
    for code in ["unknown", "internal"] {
        let be_unsure = |story: &mut Story| {
            story.publish(ADA, "a9", "nine");
            story.read_pages();
            let code = code.to_owned();
            story.answer_last(Answer::Refused { code, retry: true });
        };
        assert_broken(be_unsure, &[]);
    }
}

#[test]
fn what_nobody_sent() {
    let invent = |story: &mut Story| {
        let seq = story.publish(ADA, "a9", "nine");
        story.read_pages();
        story.forget_command(seq);
    };
    assert_broken(invent, &[Promise::StoredWasSent]);
}

#[test]
fn an_event_that_is_not_delivered() {
    let lose = |story: &mut Story| story.remove(BOB, 4);
    assert_broken(lose, &[Promise::NoHole]);
}

#[test]
fn a_last_event_that_is_not_delivered() {
    let lose = |story: &mut Story| {
        let last = *story.log.keys().next_back().expect("a log");
        story.remove(BOB, last);
    };
    assert_broken(lose, &[Promise::Complete]);
}

#[test]
fn a_member_without_a_subscription() {
    let end = |story: &mut Story| {
        let why = "1006".to_owned();
        story.write(BOB, What::Ended { why });
    };
    assert_broken(end, &[Promise::Complete]);
}

#[test]
fn an_event_that_comes_twice() {
    let double = |story: &mut Story| {
        let at = story.observed(BOB, 4);
        let again = story.history.records[at].clone();
        story.history.records.insert(at + 1, again);
    };
    assert_broken(double, &[Promise::NoDouble]);
}

#[test]
fn an_event_of_the_replay_that_comes_again_live() {
    let double = |story: &mut Story| {
        let replayed = story.history.records[story.observed(BOB, 9)].clone();
        let live = story.observed(BOB, 10);
        story.history.records.insert(live + 1, replayed);
    };
    assert_broken(double, &[Promise::NoDouble]);
}

#[test]
fn events_in_the_wrong_order() {
    let swap = |story: &mut Story| {
        let (one, other) = (story.observed(BOB, 4), story.observed(BOB, 5));
        story.history.records.swap(one, other);
    };
    assert_broken(swap, &[Promise::NoReorder]);
}

#[test]
fn a_hole_between_position_and_replay() {
    let skip = |story: &mut Story| {
        // Bob comes back with 7; the replay begins at 9 and says nothing of 8.
        story.remove(BOB, 8);
        story.change_join(BOB, 9, |ok| ok["replayed"] = json!(1));
    };
    assert_broken(skip, &[Promise::NoHole]);
}

#[test]
fn a_gap_that_is_told_and_is_none() {
    for reason in ["retention", "epoch", "history"] {
        let tell = |story: &mut Story| {
            let to = if reason == "epoch" { 9 } else { 8 };
            story.remove(BOB, 8);
            if reason == "epoch" {
                story.remove(BOB, 9);
            }
            story.change_join(BOB, 9, |ok| {
                ok["replayed"] = json!(9 - to);
                ok["gap"] = json!({ "from": 8, "to": to, "reason": reason });
            });
        };
        assert_broken(tell, &[Promise::HonestGap]);
    }
}

#[test]
fn a_gap_of_retention_is_honest() {
    let retain = |story: &mut Story| {
        story.log.retain(|seq, _| *seq > 8);
        story.remove(BOB, 8);
        story.change_join(BOB, 9, |ok| {
            ok["replayed"] = json!(1);
            ok["gap"] = json!({ "from": 8, "to": 8, "reason": "retention" });
        });
    };
    let mut story = Story::sound();
    retain(&mut story);
    let violations = story.violations();
    assert!(
        violations
            .iter()
            .all(|it| it.promise != Promise::HonestGap && it.promise != Promise::NoHole),
        "{violations:#?}"
    );
}

#[test]
fn an_event_that_differs_from_the_log() {
    let differ = |story: &mut Story| {
        let at = story.observed(BOB, 4);
        if let What::Observed { push } = &mut story.history.records[at].what {
            push["data"] = json!("else");
        }
    };
    assert_broken(differ, &[Promise::SameForAll]);
}

#[test]
fn an_event_that_is_not_in_the_log() {
    let invent = |story: &mut Story| {
        let mut push = story.log[&12].clone();
        push["seq"] = json!(13);
        story.write(BOB, What::Observed { push });
    };
    assert_broken(invent, &[Promise::SameForAll]);
}

#[test]
fn somebody_says_something_who_is_muted() {
    let speak = |story: &mut Story| {
        story.member(ADA, BOB, "muted");
        story.publish(BOB, "b9", "nine");
        story.read_pages();
    };
    assert_broken(speak, &[Promise::Entitled]);
}

#[test]
fn an_event_after_the_membership_ended() {
    let leak = |story: &mut Story| {
        let at = story.observed(BOB, 7);
        let push = story.log[&8].clone();
        story.insert(at + 1, BOB, What::Observed { push });
    };
    assert_broken(leak, &[Promise::NoLeak]);
}

#[test]
fn an_event_after_being_told_of_the_end() {
    let leak = |story: &mut Story| {
        let at = story.removed(BOB);
        let push = story.log[&8].clone();
        story.insert(at + 1, BOB, What::Observed { push });
    };
    assert_broken(leak, &[Promise::NoLeak]);
}

#[test]
fn somebody_joins_who_is_no_member() {
    let leak = |story: &mut Story| {
        let at = story.removed(BOB);
        let fields = json!({ "room": ROOM, "since": 7, "epoch": 1 });
        let ok = json!({ "room": ROOM, "epoch": 1, "last_seq": 7, "replayed": 0 });
        let (asked, answered) = story.command("join", fields, Answer::Done(ok));
        story.insert(at + 1, BOB, asked);
        story.insert(at + 2, BOB, answered);
    };
    assert_broken(leak, &[Promise::NoLeak]);
}

#[test]
fn a_past_that_is_hidden() {
    let hide = |story: &mut Story| story.history.rooms[0].hides_past = true;
    assert_broken(hide, &[Promise::NoLeak]);
}

#[test]
fn a_senders_messages_in_the_wrong_order() {
    let swap = |story: &mut Story| {
        let first = story.asked("a1");
        let second = story.asked("a2");
        story.history.records.swap(first, second);
    };
    assert_broken(swap, &[Promise::SenderOrder]);
}

#[test]
fn what_was_on_its_way_may_overtake_what_failed() {
    let overtake = |failed_first: bool| {
        move |story: &mut Story| {
            // a7 and a8 are sent together; a7 is refused, a8 is stored, then a7.
            let failed = |op: &What| match op {
                What::Asked { op, .. } => What::Answered {
                    op: *op,
                    answer: Answer::Refused {
                        code: "unavailable".to_owned(),
                        retry: true,
                    },
                },
                _ => unreachable!("a command was asked for"),
            };
            let fields = json!({ "room": ROOM, "body": "seven", "client_id": "a7" });
            let (asked, _) = story.command("publish", fields, Answer::Lost);
            let refused = failed(&asked);
            story.write(ADA, asked);
            story.publish(ADA, "a8", "eight");
            let before_the_ack = story.history.records.len() - 1;
            if failed_first {
                story.insert(before_the_ack, ADA, refused);
            } else {
                story.write(ADA, refused);
            }
            story.publish(ADA, "a7", "seven");
            story.read_pages();
        }
    };
    assert_broken(overtake(true), &[]);
    assert_broken(overtake(false), &[Promise::SenderOrder]);
}

#[test]
fn a_log_with_a_hole() {
    let lose = |story: &mut Story| {
        story.log.remove(&4);
    };
    let expected = [Promise::Dense, Promise::AckedIsStored, Promise::SameForAll];
    assert_broken(lose, &expected);
}

#[test]
fn state_that_is_not_what_the_events_say() {
    let role = |story: &mut Story| {
        story
            .state()
            .members
            .insert(BOB.to_string(), "owner".to_owned());
    };
    assert_broken(role, &[Promise::StateIsFold]);
    let edit = |story: &mut Story| {
        let message = story.state().messages.get_mut(&1).expect("a message");
        message.text = Text::Is("before the edit".to_owned());
    };
    assert_broken(edit, &[Promise::StateIsFold]);
    let reaction = |story: &mut Story| {
        let message = story.state().messages.get_mut(&2).expect("a message");
        message.reactions.clear();
    };
    assert_broken(reaction, &[Promise::StateIsFold]);
}

#[test]
fn a_page_that_is_not_what_the_events_say() {
    let stale = |story: &mut Story| {
        let page = story.page_at(9);
        page["last_seq"] = json!(12);
    };
    // The reaction at 10 and the message of 11 are not on it.
    assert_broken(stale, &[Promise::StateIsFold, Promise::ApplyIsFresh]);
}

#[test]
fn an_old_page_with_the_events_since_is_a_fresh_one() {
    // The event that Ada is told of is not the one that is stored.
    let differ = |story: &mut Story| {
        let at = story.observed(ADA, 11);
        if let What::Observed { push } = &mut story.history.records[at].what {
            push["msg_no"] = json!(7);
        }
    };
    assert_broken(differ, &[Promise::SameForAll, Promise::ApplyIsFresh]);
}

#[test]
fn a_deleted_message_that_is_handed_out_again() {
    let leak = |story: &mut Story| {
        let said = json!({ "body": "said at 11", "client_id": "a4" });
        let why = "broken off".to_owned();
        story.write(BOB, What::Ended { why });
        let fields = json!({ "room": ROOM, "since": 10, "epoch": 1 });
        let ok = json!({ "room": ROOM, "epoch": 1, "last_seq": 12, "replayed": 2 });
        let (asked, answered) = story.command("join", fields, Answer::Done(ok));
        story.write(BOB, asked);
        story.write(BOB, answered);
        let mut push = story.log[&11].clone();
        let fields = push.as_object_mut().expect("a push");
        fields.remove("deleted");
        fields.extend(said.as_object().expect("fields").clone());
        assert_eq!(seq_of(&push), Some(11));
        story.write(BOB, What::Observed { push });
        let push = story.log[&12].clone();
        story.write(BOB, What::Observed { push });
    };
    assert_broken(leak, &[Promise::Redacted]);
}

#[test]
fn a_fault_that_never_came() {
    let plan = |story: &mut Story| {
        story.history.strikes = vec!["kill", "drain"];
        story.note(What::Struck {
            strike: 1,
            kind: "drain",
            what: String::new(),
        });
    };
    assert_broken(plan, &[Promise::Tried]);
}

#[test]
fn a_run_in_which_next_to_nothing_was_acknowledged() {
    assert_broken(|story| story.history.acks_min = 5, &[]);
    assert_broken(|story| story.history.acks_min = 500, &[Promise::Tried]);
}

#[test]
fn a_node_that_tells_something_else_than_another() {
    let another = |story: &mut Story| {
        for (at, node) in [(ADA, 0), (BOB, 1)] {
            story.connect_first(at, node);
        }
        let seen = story.history.records.iter_mut().filter_map(|record| {
            let is_bobs = record.client == Some(BOB);
            match &mut record.what {
                What::Observed { push } if is_bobs && seq_of(push).is_some() => Some(push),
                _ => None,
            }
        });
        let push = seen.last().expect("Bob has seen something");
        push["id"] = json!("0190a5e2-6f0f-7cc3-98c2-000000000000");
    };
    assert_broken(another, &[Promise::SameForAll]);
}
