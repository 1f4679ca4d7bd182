//! Each subscription against the log: from the position on every event, once, in order, as it is
//! stored.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Case, Promise, Violation};
use crate::chaos::history::RoomInfo;
use crate::chaos::stored::StoredRoom;
use crate::chaos::subscription::{Boast, Seen, Subscription};

pub(super) fn verdict(case: &Case<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for subscription in case.subscriptions() {
        let room = case.rooms().find(|(info, _)| info.id == subscription.room);
        let Some((_, stored)) = room else {
            continue;
        };
        let told =
            |violation: Violation| violation.of(subscription.client).within(&subscription.room);
        let membership = case.membership(subscription.client, &subscription.room);
        let floor = membership.at(subscription.reply.last_seq);
        violations.extend(gap(subscription, stored, floor).into_iter().map(told));
        violations.extend(sequence(subscription).into_iter().map(told));
        let contents = subscription
            .seen
            .iter()
            .filter_map(|seen| content(seen, stored));
        violations.extend(contents.map(told));
    }
    violations.extend(epochs(case));
    violations.extend(boasts(case));
    violations
}

/// What the reply says of the replay. `floor` is the last event of the past that is hidden from
/// the member.
fn gap(subscription: &Subscription<'_>, stored: &StoredRoom, floor: Option<u64>) -> Vec<Violation> {
    let reply = &subscription.reply;
    let mut violations = Vec::new();
    let mut wrong = |promise, text: String| {
        violations.push(Violation::new(promise, text).at(subscription.begun_at));
    };
    let first = subscription.first_expected();
    if let Some(replayed) = reply.replayed
        && reply.last_seq + 1 != first + replayed
    {
        let (since, last) = (subscription.since, reply.last_seq);
        let text = format!("since {since:?}, head {last}: {replayed} replayed, first is {first}");
        wrong(Promise::NoHole, text);
    }
    let Some(gap) = &reply.gap else {
        return violations;
    };
    let since = subscription.since.unwrap_or(reply.last_seq);
    let other_epoch = (subscription.epoch_shown).is_some_and(|epoch| epoch != reply.epoch);
    let is_honest = match gap.reason.as_str() {
        "epoch" => other_epoch || since > stored.last_seq,
        "retention" => gap.from == since + 1 && gap.to < stored.first_seq,
        "history" => gap.from == since + 1 && floor.is_none_or(|floor| gap.to <= floor),
        _ => false,
    };
    if !is_honest || gap.to > reply.last_seq {
        let text = format!("since {since} of {reply:?}: there is no such gap");
        wrong(Promise::HonestGap, text);
    }
    violations
}

/// The numbers that were seen, one after the other.
fn sequence(subscription: &Subscription<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut next = subscription.first_expected();
    // Left out so far.
    let mut missing = BTreeSet::new();
    for Seen { at, seq, .. } in &subscription.seen {
        let (promise, text) = if *seq == next {
            next += 1;
            continue;
        } else if *seq > next {
            let text = format!("after {} came {seq}", next - 1);
            // A bound for nonsense; the first ones show what is wrong.
            missing.extend((next..*seq).take(1000));
            next = seq + 1;
            (Promise::NoHole, text)
        } else if missing.remove(seq) {
            // It was not lost, only late.
            violations.retain(|it: &Violation| {
                !(it.promise == Promise::NoHole && it.seq == Some(seq + 1))
            });
            (Promise::NoReorder, format!("{seq} came after {}", next - 1))
        } else {
            (
                Promise::NoDouble,
                format!("{seq} came again, after {}", next - 1),
            )
        };
        violations.push(Violation::new(promise, text).seq(*seq).at(*at));
    }
    violations
}

/// What was seen against what is stored.
fn content(seen: &Seen<'_>, stored: &StoredRoom) -> Option<Violation> {
    if seen.seq < stored.first_seq {
        return None;
    }
    let text = match stored.log.get(&seen.seq) {
        None => format!("the log has no {}, and {} was told", seen.seq, seen.push),
        Some(logged) if !is_same(seen.push, logged) => {
            format!("the log has {logged}, and {} was told", seen.push)
        }
        Some(_) => return None,
    };
    let violation = Violation::new(Promise::SameForAll, text);
    Some(violation.seq(seen.seq).at(seen.at))
}

/// Whether a push is the event of the log, which may have been redacted since.
fn is_same(push: &Value, logged: &Value) -> bool {
    if logged["deleted"] != true {
        return push == logged;
    }
    let lasts = [
        "push",
        "room",
        "seq",
        "msg_no",
        "id",
        "message_id",
        "user_id",
        "created_at",
    ];
    lasts.iter().all(|name| push[*name] == logged[*name])
}

/// A cursor that is ahead of its client would be a hole as soon as it is used.
fn boasts(case: &Case<'_>) -> Vec<Violation> {
    let boast = |it: &Boast| {
        let (seq, has) = (it.seq, it.has);
        let text = format!("a cursor says {seq}, and the client has {has:?}");
        let violation = Violation::new(Promise::NoHole, text).of(it.client);
        violation.within(&it.room).seq(seq).at(it.at)
    };
    case.told.boasts.iter().map(boast).collect()
}

/// Nothing in a run gives a log a new life.
fn epochs(case: &Case<'_>) -> Vec<Violation> {
    let changed = |(info, stored): (&RoomInfo, &StoredRoom)| {
        let text = format!("the epoch was {}, and is {}", info.epoch, stored.epoch);
        let violation = Violation::new(Promise::HonestGap, text).within(&info.id);
        (info.epoch != stored.epoch).then_some(violation)
    };
    case.rooms().filter_map(changed).collect()
}
