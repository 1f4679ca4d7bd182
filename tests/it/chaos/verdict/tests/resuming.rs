//! Coming back by a cursor.

use hubbub::protocol::cursor::{self, Position};
use hubbub::protocol::event::Epoch;
use hubbub::protocol::id::RoomId;
use serde_json::json;

use super::super::Promise;
use super::assert_broken;
use super::story::{BOB, ROOM, Story};
use crate::chaos::history::{Answer, What};

/// A cursor that says `seq`.
fn cursor(seq: u64) -> String {
    let position = Position {
        room_id: RoomId(ROOM.parse().expect("an id")),
        epoch: Epoch(1),
        seq,
    };
    cursor::encode(&[position]).expect("it fits")
}

/// Bob resumes from `since` and is told of these events; the reply has a cursor that says `upto`.
fn resume(story: &mut Story, since: u64, events: impl Iterator<Item = u64>, upto: u64) {
    let head = story.log.len() as u64;
    let ok = json!({ "resumed": 1, "refused": 0, "cursor": cursor(upto) });
    let fields = json!({ "cursor": cursor(since) });
    let (asked, answered) = story.command("resume", fields, Answer::Done(ok));
    story.write(BOB, asked);
    let push = json!({
        "push": "resumed",
        "room": ROOM,
        "epoch": 1,
        "last_seq": head,
        "replayed": head - since,
    });
    story.write(BOB, What::Observed { push });
    for seq in events {
        let push = story.log[&seq].clone();
        story.write(BOB, What::Observed { push });
    }
    story.write(BOB, answered);
}

fn head(story: &Story) -> u64 {
    story.log.len() as u64
}

#[test]
fn a_resume_that_brings_everything() {
    let come_back = |story: &mut Story| {
        let head = head(story);
        resume(story, head - 3, head - 2..=head, head);
    };
    assert_broken(come_back, &[]);
}

#[test]
fn a_resume_that_leaves_something_out() {
    let come_back = |story: &mut Story| {
        let head = head(story);
        resume(story, head - 3, head - 1..=head, head);
    };
    assert_broken(come_back, &[Promise::NoHole]);
}

/// A replay breaks off when the next `resume` waits already, which shows an earlier position than
/// the replay has come to.
#[test]
fn a_replay_that_breaks_off_before_the_next_resume() {
    let come_back = |story: &mut Story| {
        let head = head(story);
        let fields = |since: u64| json!({ "cursor": cursor(since) });
        let refused = json!({ "resumed": 0, "refused": 1, "cursor": cursor(head) });
        let (first, first_answered) =
            story.command("resume", fields(head - 4), Answer::Done(refused));
        let told = json!({ "resumed": 1, "refused": 0, "cursor": cursor(head) });
        let (second, second_answered) =
            story.command("resume", fields(head - 3), Answer::Done(told));
        let resumed = |since: u64| {
            json!({
                "push": "resumed", "room": ROOM, "epoch": 1,
                "last_seq": head, "replayed": head - since,
            })
        };
        let broken_off = json!({
            "push": "resumed", "room": ROOM, "err": { "code": "unavailable", "retry": true },
        });
        let replayed = |story: &mut Story, seqs: std::ops::RangeInclusive<u64>| {
            for seq in seqs {
                let push = story.log[&seq].clone();
                story.write(BOB, What::Observed { push });
            }
        };
        story.write(BOB, first);
        let push = resumed(head - 4);
        story.write(BOB, What::Observed { push });
        story.write(BOB, second);
        replayed(story, head - 3..=head - 1);
        story.write(BOB, What::Observed { push: broken_off });
        story.write(BOB, first_answered);
        let push = resumed(head - 3);
        story.write(BOB, What::Observed { push });
        replayed(story, head - 2..=head);
        story.write(BOB, second_answered);
    };
    assert_broken(come_back, &[]);
}

#[test]
fn a_cursor_that_is_ahead_of_its_client() {
    let come_back = |story: &mut Story| {
        let head = head(story);
        resume(story, head - 3, head - 2..=head, head + 1);
    };
    assert_broken(come_back, &[Promise::NoHole]);
}

#[test]
fn a_room_that_a_stream_takes_in_again_further_on() {
    let come_back = |story: &mut Story| {
        let last_seq = head(story) + 2;
        for _ in 0..2 {
            story.publish(
                super::story::ADA,
                &format!("a{}", last_seq + head(story)),
                "more",
            );
        }
        story.read_pages();
        story.remove(BOB, last_seq - 1);
        story.remove(BOB, last_seq);
        let push = json!({ "push": "resumed", "room": ROOM, "epoch": 1, "last_seq": last_seq, "replayed": 0 });
        story.write(BOB, What::Observed { push });
    };
    assert_broken(come_back, &[Promise::NoHole, Promise::Complete]);
}
