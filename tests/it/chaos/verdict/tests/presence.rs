//! Who is told to be there.

use serde_json::{Value, json};

use super::super::Promise;
use super::assert_broken;
use super::story::{ADA, BOB, ROOM, Story};
use crate::chaos::history::{Answer, ClientNo, What};

/// Somebody who is not in the room.
const EVE: ClientNo = 2;

fn ids(users: &[ClientNo]) -> Vec<String> {
    users.iter().map(ClientNo::to_string).collect()
}

fn here(users: &[ClientNo]) -> Value {
    json!({ "room": ROOM, "count": users.len(), "users": ids(users) })
}

/// A client asks, hears these pushes, and is answered.
fn ask_and_hear(story: &mut Story, client: ClientNo, pushes: &[Value], answer: Value) {
    let fields = json!({ "room": ROOM });
    let (asked, answered) = story.command("presence", fields, Answer::Done(answer));
    story.write(client, asked);
    for push in pushes {
        story.write(client, What::Observed { push: push.clone() });
    }
    story.write(client, answered);
}

fn ask(story: &mut Story, client: ClientNo, users: &[ClientNo]) {
    ask_and_hear(story, client, &[], here(users));
}

fn push(joins: &[ClientNo], leaves: &[ClientNo]) -> Value {
    let (joins, leaves) = (ids(joins), ids(leaves));
    json!({ "push": "presence", "room": ROOM, "joins": joins, "leaves": leaves, "count": 2 })
}

fn hear(story: &mut Story, client: ClientNo, push: Value) {
    story.write(client, What::Observed { push });
}

/// Ada is on one node and Bob on the other, and both know of both.
fn all_is_calm(story: &mut Story) {
    story.connect_first(ADA, 0);
    story.connect_first(BOB, 1);
    story.history.nodes = 2;
    ask(story, ADA, &[ADA, BOB]);
    ask(story, BOB, &[ADA, BOB]);
    story.note(What::Calm);
    ask(story, ADA, &[ADA, BOB]);
    ask(story, BOB, &[ADA, BOB]);
}

/// Bob breaks off and comes back.
fn bob_comes_back(story: &mut Story) {
    let why = "broken off".to_owned();
    story.write(BOB, What::Ended { why });
    let (protocol, node) = ("ws", Some(1));
    story.write(BOB, What::Connected { protocol, node });
    story.join(BOB, story.log.len() as u64);
}

fn both_ask(story: &mut Story) {
    ask(story, ADA, &[ADA, BOB]);
    ask(story, BOB, &[ADA, BOB]);
}

#[track_caller]
fn assert_calm_broken(change: impl FnOnce(&mut Story), expected: &[Promise]) {
    let change = |story: &mut Story| {
        story
            .history
            .records
            .retain(|record| record.what != What::Settled);
        all_is_calm(story);
        change(story);
        story.note(What::Settled);
    };
    assert_broken(change, expected);
}

#[test]
fn people_who_come_and_go_are_told() {
    assert_calm_broken(|_| {}, &[]);
    let go_at_the_end = |story: &mut Story| {
        story.note(What::Settled);
        hear(story, ADA, push(&[], &[BOB]));
    };
    assert_calm_broken(go_at_the_end, &[]);
    let come_back = |story: &mut Story| {
        bob_comes_back(story);
        hear(story, ADA, push(&[], &[BOB]));
        hear(story, ADA, push(&[BOB], &[]));
        both_ask(story);
    };
    assert_calm_broken(come_back, &[]);
}

#[test]
fn a_node_that_does_not_tell_who_is_there() {
    for told in [
        here(&[ADA]),
        here(&[ADA, BOB, EVE]),
        here(&[ADA, BOB, BOB]),
        json!({ "room": ROOM, "count": 3, "users": ids(&[ADA, BOB]) }),
        json!({ "room": ROOM, "count": 3, "users": [], "only_count": true }),
        json!({ "room": ROOM, "count": 2, "users": ids(&[ADA, BOB]), "stale": true }),
    ] {
        let tell = |story: &mut Story| ask_and_hear(story, BOB, &[], told.clone());
        assert_calm_broken(tell, &[Promise::Present]);
    }
    let answer = here(&[ADA]);
    let probe = |story: &mut Story| {
        let room = ROOM.to_owned();
        story.note(What::Told {
            node: 0,
            room,
            answer,
        });
    };
    assert_calm_broken(probe, &[Promise::Present]);
}

#[test]
fn a_node_that_was_not_asked() {
    let more = |story: &mut Story| story.history.nodes = 3;
    assert_calm_broken(more, &[Promise::Present]);
    // Or not since somebody came.
    assert_calm_broken(bob_comes_back, &[Promise::Present]);
}

#[test]
fn a_push_that_is_lost() {
    let lose = |story: &mut Story| {
        bob_comes_back(story);
        hear(story, ADA, push(&[], &[BOB]));
        both_ask(story);
    };
    assert_calm_broken(lose, &[Promise::Present]);
}

#[test]
fn somebody_who_stays_and_is_told_as_gone() {
    let leave = |story: &mut Story| {
        hear(story, ADA, push(&[], &[BOB]));
        hear(story, ADA, push(&[BOB], &[]));
    };
    assert_calm_broken(leave, &[Promise::Present]);
    let begin_anew = |story: &mut Story| {
        let mut reset = push(&[ADA], &[]);
        reset["reset"] = json!(true);
        hear(story, ADA, reset);
        hear(story, ADA, push(&[BOB], &[]));
    };
    assert_calm_broken(begin_anew, &[Promise::Present]);
    let answer_too_early = |story: &mut Story| {
        ask(story, ADA, &[ADA]);
        ask(story, ADA, &[ADA, BOB]);
    };
    assert_calm_broken(answer_too_early, &[Promise::Present]);
}

/// What comes between a question and its answer may be of later than the answer.
#[test]
fn pushes_before_the_answer_count() {
    let ask_late = |story: &mut Story, pushes: &[Value]| {
        bob_comes_back(story);
        // Ada has joined anew, too, and begins with this.
        story.join(ADA, story.log.len() as u64);
        ask_and_hear(story, ADA, pushes, here(&[ADA]));
        both_ask(story);
    };
    let heard = |story: &mut Story| ask_late(story, &[push(&[BOB], &[])]);
    assert_calm_broken(heard, &[]);
    assert_calm_broken(|story| ask_late(story, &[]), &[Promise::Present]);
}
