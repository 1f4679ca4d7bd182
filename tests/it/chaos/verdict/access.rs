//! Who was told against who was a member, by the log.

use super::{Case, Promise, Violation};
use crate::chaos::history::{Answer, What, room_of, seq_of};
use crate::chaos::subscription::Subscription;

pub(super) fn verdict(case: &Case<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for subscription in case.subscriptions() {
        let told =
            |violation: Violation| violation.of(subscription.client).within(&subscription.room);
        violations.extend(leaks(case, subscription).into_iter().map(told));
    }
    for stray in &case.strays {
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

fn leaks(case: &Case<'_>, subscription: &Subscription<'_>) -> Option<Violation> {
    let membership = case.membership(subscription.client, &subscription.room);
    let head = subscription.reply.last_seq;
    // A room may lag behind the commit that made somebody a member.
    let begins = || {
        let begins = membership.next(head, true)?;
        begin_was_under_way(case, subscription, membership.changed(head)).then_some(begins)
    };
    let Some(member_from) = (membership.at(head).is_some().then_some(head)).or_else(begins) else {
        let text = format!("joined at {head}, being no member");
        let violation = Violation::new(Promise::NoLeak, text);
        return Some(violation.seq(head).at(subscription.begun_at));
    };
    let floor = membership.at(member_from).unwrap_or_default();
    let end = membership.next(member_from, false).unwrap_or(u64::MAX);
    let leaked = (subscription.seen.iter()).find(|seen| seen.seq > end || seen.seq <= floor)?;
    let text = if leaked.seq > end {
        format!(
            "the membership ended at {end}, and {} was told",
            leaked.push
        )
    } else {
        format!(
            "the past is hidden up to {floor}, and {} was told",
            leaked.push
        )
    };
    let violation = Violation::new(Promise::NoLeak, text);
    Some(violation.seq(leaked.seq).at(leaked.at))
}

/// Whether somebody had asked for this user's membership before the join was answered, and may
/// have got it by then. What was settled before the last end of the membership was known is not
/// what began it again.
fn begin_was_under_way(case: &Case<'_>, subscription: &Subscription<'_>, ended: u64) -> bool {
    let user_id = case.history.clients[subscription.client].user_id.as_str();
    let before = &case.history.records[..subscription.begun_at];
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
            "members.join" => by == Some(user_id),
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
