//! Who was told against who was a member, by the log.

use super::{Case, Promise, Violation};
use crate::chaos::history::{Answer, RoomInfo, What, room_of, seq_of};
use crate::chaos::model::{MemberChange, Model};
use crate::chaos::stored::StoredRoom;
use crate::chaos::subscription::Subscription;

pub(super) fn verdict(case: &Case<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for subscription in case.subscriptions() {
        let told =
            |violation: Violation| violation.of(subscription.client).within(&subscription.room);
        violations.extend(leak(case, subscription).into_iter().map(told));
    }
    for (room, stored) in case.rooms() {
        let told = |violation: Violation| violation.within(&room.id);
        violations.extend(entitled(room, stored).into_iter().map(told));
    }
    for stray in &case.told.strays {
        let text = format!("told outside of any subscription: {}", stray.push);
        let mut violation = Violation::new(Promise::NoLeak, text)
            .of(stray.client)
            .within(stray.room)
            .at(stray.at);
        violation.seq = stray.push["seq"].as_u64();
        violations.push(violation);
    }
    violations
}

/// The first event of a subscription that its client must not know.
fn leak(case: &Case<'_>, subscription: &Subscription<'_>) -> Option<Violation> {
    let membership = case.membership(subscription.client, &subscription.room);
    let head = subscription.reply.last_seq;
    // Who is a member may see what happened before. They may have become one after the head of the
    // join, as long as somebody had asked for it: a room lags behind commits.
    let begins_again = |seq: u64, at: usize| {
        membership.next(seq, true).is_some_and(|begins| {
            begins <= head || begin_was_under_way(case, subscription, membership.changed(seq), at)
        })
    };
    let is_allowed = |seq: u64, at: usize| {
        // A member is told of the end of the membership itself, too.
        membership.at(seq).is_some()
            || (membership.changed(seq) == seq && membership.at(seq.saturating_sub(1)).is_some())
            || begins_again(seq, at)
    };
    let violation = |seq: u64, at: usize, text: String| {
        Some(Violation::new(Promise::NoLeak, text).seq(seq).at(at))
    };
    if membership.at(head).is_none() && !begins_again(head, subscription.begun_at) {
        let text = format!("joined at {head}, being no member");
        return violation(head, subscription.begun_at, text);
    }
    let floor = match membership.at(head) {
        Some(floor) => floor,
        None => (membership.next(head, true)).and_then(|begins| membership.at(begins))?,
    };
    subscription.seen.iter().find_map(|seen| {
        if seen.seq <= floor {
            let text = format!(
                "the past is hidden up to {floor}, and {} was told",
                seen.push
            );
            return violation(seen.seq, seen.at, text);
        }
        if !is_allowed(seen.seq, seen.at) {
            let end = membership.changed(seen.seq);
            let text = format!("the membership ended at {end}, and {} was told", seen.push);
            return violation(seen.seq, seen.at, text);
        }
        None
    })
}

/// What is in a log and should not be: said by somebody who was no member then, or muted, or a
/// membership of somebody who is banned.
fn entitled(room: &RoomInfo, stored: &StoredRoom) -> Vec<Violation> {
    let mut violations = Vec::new();
    if stored.first_seq > 1 {
        // Who was a member then is gone.
        return violations;
    }
    let mut model = Model::new(&room.owner_id);
    for (seq, event) in &stored.log {
        let user = event["user_id"].as_str().unwrap_or_default();
        let why = match event["push"].as_str().unwrap_or_default() {
            "member" => {
                let begins = MemberChange::of(event) == MemberChange::Begins;
                (begins && model.banned.contains(user)).then_some("is banned")
            }
            "room" => None,
            _ if !model.members.contains_key(user) => Some("was no member"),
            _ if model.muted.contains(user) => Some("was muted"),
            _ => None,
        };
        if let Some(why) = why {
            let text = format!("{user} {why}, and the log has {event}");
            violations.push(Violation::new(Promise::Entitled, text).seq(*seq));
        }
        model.apply(event);
    }
    violations
}

/// Whether somebody had asked for this user's membership before the record `at`, and may have got
/// it by then. What was settled before the last end of the membership was known is not what began
/// it again.
fn begin_was_under_way(
    case: &Case<'_>,
    subscription: &Subscription<'_>,
    ended: u64,
    at: usize,
) -> bool {
    let user_id = case.history.clients[subscription.client].user_id.as_str();
    let before = &case.history.records[..at];
    let shows_the_end = |what: &What| {
        matches!(what, What::Observed { push }
            if room_of(push) == Some(&subscription.room) && seq_of(push) == Some(ended))
    };
    let ended_at = before.iter().position(|it| shows_the_end(&it.what));
    let ended_at = ended_at.unwrap_or_default();
    before.iter().any(|record| {
        let What::Asked { op, cmd, fields } = &record.what else {
            return false;
        };
        let by = (record.client).map(|it| case.history.clients[it].user_id.as_str());
        let is_theirs = match *cmd {
            "members.join" | "members.accept" => by == Some(user_id),
            "members.add" | "members.role" => fields["user_id"] == user_id,
            _ => false,
        };
        let is_settled = before.iter().enumerate().any(|(at, record)| {
            let What::Answered { op: of, answer } = &record.what else {
                return false;
            };
            let is_no = matches!(answer, Answer::Refused { .. });
            of == op && !answer.is_unsure() && (is_no || at < ended_at)
        });
        is_theirs && room_of(fields) == Some(&subscription.room) && !is_settled
    })
}
