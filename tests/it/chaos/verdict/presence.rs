//! In the end every node tells, for each room, exactly the users who have a connection in it; and who
//! goes by what a node told once, and by its pushes from there on, knows the same.
//!
//! Before all is at rest little is promised: while a node does not hear the others what it says is
//! stale, who is lost lingers, and pushes to slow clients are dropped. From [`What::Calm`] on none of
//! that happens, so nobody who stays is told as gone.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Case, Promise, Violation};
use crate::chaos::history::{Answer, ClientNo, History, Record, What, room_of};
use crate::chaos::subscription::{self, Subscription};

pub(super) fn verdict(case: &Case<'_>) -> Vec<Violation> {
    // A run that was cut short has said so itself.
    let is_settled = (case.history.records.iter()).any(|it| it.what == What::Settled);
    if is_settled {
        judge(case.history, case.subscriptions())
    } else {
        Vec::new()
    }
}

/// What is wrong with presence if nothing more happens.
pub(in crate::chaos) fn so_far(history: &History) -> Vec<Violation> {
    judge(history, &subscription::of(history).subscriptions)
}

/// A node that has not told who is in a room, and a client who is.
pub(in crate::chaos) struct Unheard {
    pub(in crate::chaos) node: usize,
    pub(in crate::chaos) room: String,
    pub(in crate::chaos) client: ClientNo,
}

/// Nodes that are still to be asked.
pub(in crate::chaos) fn unheard(history: &History) -> Vec<Unheard> {
    let told = Told::of(history);
    let subscriptions = subscription::of(history).subscriptions;
    let mut unheard = Vec::new();
    for room in &history.rooms {
        let here = Here::of(history, &subscriptions, &room.id);
        let mut clients = history.clients.iter();
        let client = clients.position(|it| here.certain.contains(it.user_id.as_str()));
        for (node, client) in here.unheard(history, &told).zip(client.into_iter().cycle()) {
            let room = room.id.clone();
            unheard.push(Unheard { node, room, client });
        }
    }
    unheard
}

fn judge(history: &History, subscriptions: &[Subscription<'_>]) -> Vec<Violation> {
    let told = Told::of(history);
    let mut violations = Vec::new();
    for room in &history.rooms {
        let here = Here::of(history, subscriptions, &room.id);
        let about = |violation: Violation| violation.within(&room.id);
        let unheard = here
            .unheard(history, &told)
            .map(|node| broken(format!("node {node} has not told who is here")));
        violations.extend(unheard.map(about));
        violations.extend(here.answers(&told).into_iter().map(about));
        violations.extend(here.folds(&told).into_iter().map(about));
        violations.extend(here.flickers(history, &told).into_iter().map(about));
    }
    violations
}

/// After that clients go, and whoever is last to go sees it.
fn until_settled(history: &History) -> impl Iterator<Item = (usize, &Record)> {
    let records = history.records.iter().enumerate();
    records.take_while(|(_, record)| record.what != What::Settled)
}

fn broken(text: String) -> Violation {
    Violation::new(Promise::Present, text)
}

/// Who is in a room when nothing more happens.
struct Here<'a> {
    room: &'a str,
    /// Users who have a connection in it.
    certain: BTreeSet<&'a str>,
    /// Those of whom it is not known.
    possible: BTreeSet<&'a str>,
    /// The last record that changes who is here.
    changed_at: usize,
    /// Users who have been in it on one connection since [`What::Calm`].
    staying: BTreeSet<&'a str>,
}

impl<'a> Here<'a> {
    fn of(history: &'a History, subscriptions: &[Subscription<'_>], room: &'a str) -> Self {
        let calm = history.records.iter().position(|it| it.what == What::Calm);
        let mut here = Self {
            room,
            certain: BTreeSet::new(),
            possible: BTreeSet::new(),
            changed_at: 0,
            staying: BTreeSet::new(),
        };
        for it in subscriptions.iter().filter(|it| it.room == room) {
            let last = it.begun_at.max(it.ended_at.unwrap_or_default());
            here.changed_at = here.changed_at.max(last);
            if it.ended_at.is_some() {
                continue;
            }
            let user = history.clients[it.client].user_id.as_str();
            if it.is_uncertain {
                here.possible.insert(user);
            } else {
                here.certain.insert(user);
                if calm.is_some_and(|calm| it.begun_at < calm) {
                    here.staying.insert(user);
                }
            }
        }
        here
    }

    /// Why these are not the users who are here, if they are not.
    fn differs(&self, users: &BTreeSet<&str>) -> Option<String> {
        let missing: Vec<_> = self.certain.difference(users).collect();
        let is_here =
            |user: &&&str| self.certain.contains(**user) || self.possible.contains(**user);
        let gone: Vec<_> = users.iter().filter(|user| !is_here(user)).collect();
        if missing.is_empty() && gone.is_empty() {
            return None;
        }
        Some(format!("{missing:?} are missing, and {gone:?} are gone"))
    }

    /// Nodes that have told nobody who is here since that last changed.
    fn unheard(&self, history: &History, told: &Told<'a>) -> impl Iterator<Item = usize> + use<'a> {
        let answers = told.answers.iter().filter(|it| self.is_last(it));
        let heard: BTreeSet<usize> = answers.filter_map(|it| it.node).collect();
        let nodes = if self.certain.is_empty() {
            0
        } else {
            history.nodes
        };
        (0..nodes).filter(move |node| !heard.contains(node))
    }

    fn is_last(&self, answer: &Answered<'_>) -> bool {
        answer.room == self.room && answer.asked_at > self.changed_at
    }

    /// The last answers that nodes and clients' connections gave, where they are wrong.
    fn answers(&self, told: &Told<'a>) -> Vec<Violation> {
        let mut last = BTreeMap::new();
        for answer in told.answers.iter().filter(|it| self.is_last(it)) {
            last.insert((answer.client, answer.node), answer);
        }
        let wrong = last.into_values().filter_map(|it| {
            let by = it
                .node
                .map_or("a node".to_owned(), |no| format!("node {no}"));
            let text = format!("{by} tells {}: {}", it.answer, self.is_wrong(it.answer)?);
            Some(it.about(broken(text)))
        });
        wrong.collect()
    }

    fn is_wrong(&self, answer: &Value) -> Option<String> {
        if answer["stale"] == true {
            return Some("it does not hear the others".to_owned());
        }
        let Some(count) = answer["count"].as_u64() else {
            return Some("it has no count".to_owned());
        };
        if answer["only_count"] == true {
            let least = self.certain.len() as u64;
            let most = least + self.possible.len() as u64;
            let fits = (least..=most).contains(&count);
            return (!fits).then(|| format!("it is not {least}"));
        }
        let list = users_of(&answer["users"]);
        let users: BTreeSet<&str> = list.iter().copied().collect();
        if list.len() != users.len() {
            return Some("somebody is told twice".to_owned());
        }
        if count != users.len() as u64 {
            return Some("it is not the count".to_owned());
        }
        self.differs(&users)
    }

    /// Clients who go by the pushes and are led astray.
    fn folds(&self, told: &Told<'a>) -> Vec<Violation> {
        let folds = told
            .folds
            .iter()
            .filter(|((_, room), _)| *room == self.room);
        let wrong = folds.filter_map(|((client, _), fold)| {
            let why = self.differs(fold.users.as_ref()?)?;
            let text = format!("by what was told since record {}, {why}", fold.since);
            Some(broken(text).of(*client))
        });
        wrong.collect()
    }

    /// Somebody who stays and is not in the list.
    fn missing<'b>(&'b self, list: &'b Value) -> Option<&'b str> {
        let users: BTreeSet<&str> = users_of(list).into_iter().collect();
        let mut missing = self.staying.iter().filter(|user| !users.contains(**user));
        missing.next().copied()
    }

    /// Whoever stays all the time and was told as gone.
    fn flickers(&self, history: &'a History, told: &Told<'a>) -> Vec<Violation> {
        let mut violations = Vec::new();
        let calm = history.records.iter().position(|it| it.what == What::Calm);
        let calm = calm.unwrap_or(history.records.len());
        for (at, record) in until_settled(history).skip(calm) {
            let (What::Observed { push }, Some(client)) = (&record.what, record.client) else {
                continue;
            };
            if push["push"] != "presence" || room_of(push) != Some(self.room) {
                continue;
            }
            let left = users_of(&push["leaves"]).into_iter();
            let left = left.filter(|user| self.staying.contains(user));
            let is_list = push["reset"] == true && push["only_count"] != true;
            let gone = left.chain(is_list.then(|| self.missing(&push["joins"])).flatten());
            violations.extend(gone.map(|user| {
                let text = format!("{user} stays, and was told as gone: {push}");
                broken(text).of(client).at(at)
            }));
        }
        for it in &told.answers {
            let is_list = it.answer["stale"] != true && it.answer["only_count"] != true;
            if it.room == self.room && it.asked_at > calm && is_list {
                let gone = self.missing(&it.answer["users"]);
                violations.extend(gone.map(|user| {
                    let text = format!("{user} stays, and was not told: {}", it.answer);
                    it.about(broken(text))
                }));
            }
        }
        violations
    }
}

fn users_of(list: &Value) -> Vec<&str> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(Value::as_str).collect()
}

/// An answer to `presence`.
struct Answered<'a> {
    room: &'a str,
    /// The node that gave it, if that is known.
    node: Option<usize>,
    /// None for one that was asked beside the clients.
    client: Option<ClientNo>,
    asked_at: usize,
    at: usize,
    answer: &'a Value,
}

impl Answered<'_> {
    fn about(&self, violation: Violation) -> Violation {
        let violation = violation.at(self.at);
        match self.client {
            Some(client) => violation.of(client),
            None => violation,
        }
    }
}

/// What a client makes of what it was told.
struct Fold<'a> {
    /// The record of the answer that it began with.
    since: usize,
    /// None while nobody is named.
    users: Option<BTreeSet<&'a str>>,
}

impl<'a> Fold<'a> {
    fn apply(&mut self, push: &'a Value) {
        if push["only_count"] == true {
            self.users = None;
            return;
        }
        if push["reset"] == true {
            self.users = Some(BTreeSet::new());
        }
        if let Some(users) = &mut self.users {
            users.extend(users_of(&push["joins"]));
            for user in users_of(&push["leaves"]) {
                users.remove(user);
            }
        }
    }
}

/// A question under way, and the pushes that came since: they may be of later than the answer.
struct Asking<'a> {
    room: &'a str,
    at: usize,
    pushes: Vec<&'a Value>,
}

/// All that was told of presence.
#[derive(Default)]
struct Told<'a> {
    answers: Vec<Answered<'a>>,
    /// What each client makes of it, from its first answer since [`What::Calm`] on.
    folds: BTreeMap<(ClientNo, &'a str), Fold<'a>>,
}

impl<'a> Told<'a> {
    fn of(history: &'a History) -> Self {
        let mut told = Self::default();
        let mut asking: BTreeMap<(ClientNo, u64), Asking<'a>> = BTreeMap::new();
        let mut nodes = BTreeMap::new();
        let mut is_calm = false;
        for (at, record) in until_settled(history) {
            let client = match (&record.what, record.client) {
                (What::Calm, _) => {
                    is_calm = true;
                    continue;
                }
                (What::Told { node, room, answer }, _) => {
                    told.answers.push(Answered {
                        room,
                        node: Some(*node),
                        client: None,
                        asked_at: at,
                        at,
                        answer,
                    });
                    continue;
                }
                (_, Some(client)) => client,
                (_, None) => continue,
            };
            match &record.what {
                What::Connected { node, .. } => {
                    nodes.insert(client, *node);
                    told.folds.retain(|(of, _), _| *of != client);
                }
                What::Ended { .. } => told.folds.retain(|(of, _), _| *of != client),
                What::Asked { op, cmd, fields } => {
                    let room = room_of(fields).unwrap_or_default();
                    match *cmd {
                        "presence" => {
                            let pushes = Vec::new();
                            asking.insert((client, *op), Asking { room, at, pushes });
                        }
                        "join" | "leave" => drop(told.folds.remove(&(client, room))),
                        _ => {}
                    }
                }
                What::Answered { op, answer } => {
                    let asked = asking.remove(&(client, *op));
                    if let (Some(asked), Answer::Done(answer)) = (asked, answer) {
                        if is_calm {
                            told.begin(client, &asked, at, answer);
                        }
                        told.answers.push(Answered {
                            room: asked.room,
                            node: nodes.get(&client).copied().flatten(),
                            client: Some(client),
                            asked_at: asked.at,
                            at,
                            answer,
                        });
                    }
                }
                What::Observed { push } => {
                    let room = room_of(push).unwrap_or_default();
                    match push["push"].as_str() {
                        Some("presence") => {
                            for it in asking.range_mut((client, 0)..=(client, u64::MAX)) {
                                if it.1.room == room {
                                    it.1.pushes.push(push);
                                }
                            }
                            if let Some(fold) = told.folds.get_mut(&(client, room)) {
                                fold.apply(push);
                            }
                        }
                        Some("removed" | "resumed") => {
                            told.folds.remove(&(client, room));
                        }
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        told
    }

    /// A client has been told, and goes by pushes from there on if it did not before.
    fn begin(&mut self, client: ClientNo, asked: &Asking<'a>, at: usize, answer: &'a Value) {
        self.folds.entry((client, asked.room)).or_insert_with(|| {
            let is_list = answer["only_count"] != true;
            let mut fold = Fold {
                since: at,
                users: is_list.then(|| users_of(&answer["users"]).into_iter().collect()),
            };
            for push in asked.pushes.iter().copied() {
                fold.apply(push);
            }
            fold
        });
    }
}
