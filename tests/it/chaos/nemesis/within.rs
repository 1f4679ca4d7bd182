//! What goes wrong within a node, by its fail points.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use rand::RngExt as _;
use rustix::process::Signal;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{Broken, Hand};
use crate::chaos::driver::answer_of;
use crate::chaos::history::Answer;
use crate::chaos::patience::Patience;
use crate::chaos::verdict::{Promise, Violation};
use crate::harness::node::Node;

/// How long something is waited for before another node is tried; after each round twice as long.
const COMES: Duration = Duration::from_millis(700);

/// How long it is tried. It needs somebody who publishes while Postgres is there, and other things
/// are broken meanwhile.
const TRIED: Duration = Duration::from_secs(40);

/// How long the last words may take to be committed. Whoever is muted says none.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A request that breaks a node.
const REQUEST: Duration = Duration::from_secs(2);

/// Where a node dies that has committed something and told nobody.
const COMMITTED: &str = "hub.delivery.committed";

impl Hand<'_> {
    /// Has a node die when it has committed something that nobody was told of: whichever node does
    /// so first.
    pub(super) async fn kill_committed(&mut self) -> Broken {
        let patience = Patience::of(TRIED);
        for (node, comes) in self.rounds() {
            if patience.is_over() {
                return Ok(());
            }
            let mut place = self.nemesis.cluster.node(node).await;
            let Some(it) = place.as_mut() else {
                drop(place);
                sleep(Duration::from_millis(20)).await;
                continue;
            };
            let skipped = self.rng.random_range(0..6);
            let skipped = if comes > COMES { 0 } else { skipped };
            self.point(node, COMMITTED, &after(skipped, "return")).await;
            if self.has_died(node, it, comes).await? {
                self.lasts().await;
                return self.nemesis.cluster.start_again(node, &mut place).await;
            }
        }
        Ok(())
    }

    /// Has the node die of what `go` has it commit, and start again.
    pub(super) async fn die_of(&mut self, go: impl FnOnce()) -> Broken {
        let node = self.strike.node;
        let mut place = self.nemesis.cluster.node(node).await;
        self.point(node, COMMITTED, "1*return").await;
        go();
        if let Some(it) = place.as_mut()
            && self.has_died(node, it, LAST_WORDS).await?
        {
            return self.nemesis.cluster.start_again(node, &mut place).await;
        }
        Ok(())
    }

    /// Whether the node dies within this time of the fail point that was set. If not, it is no longer
    /// set.
    async fn has_died(
        &self,
        node: usize,
        it: &mut Node,
        comes: Duration,
    ) -> Result<bool, Violation> {
        let mut status = it.wait_exit_within(comes).await;
        if status.is_none() {
            self.point(node, COMMITTED, "off").await;
            // It may have been just then.
            status = it.wait_exit_within(Duration::from_millis(50)).await;
        }
        let Some(status) = status else {
            return Ok(false);
        };
        self.nemesis.cluster.is_at(node, None);
        if status.signal() != Some(Signal::ABORT.as_raw()) {
            let text = format!("node {node} ended with {status:?}");
            return Err(Violation::new(Promise::Ends, text));
        }
        self.struck(format!(
            "node {node} dies between a commit and telling of it"
        ));
        Ok(true)
    }

    /// The nodes in turn, from the one that is hit first, and for how long each is tried.
    fn rounds(&self) -> impl Iterator<Item = (usize, Duration)> + use<> {
        let nodes = self.nemesis.cluster.members().len();
        let tried = (0..nodes).cycle().skip(self.strike.node);
        tried
            .enumerate()
            .map(move |(turn, node)| (node, COMES * (1 << (turn / nodes).min(3))))
    }

    /// Has an actor panic, in whichever node it does so first.
    pub(super) async fn panic(&mut self, point: &'static str) {
        let patience = Patience::of(TRIED);
        let message = format!("failpoint {point} panic");
        for (node, comes) in self.rounds() {
            if patience.is_over() {
                return;
            }
            let member = &self.nemesis.cluster.members()[node];
            let before = member.said(&message);
            // The first ones are let through, so that it is not always the first of a batch.
            let skipped = match point {
                "hub.supervisor.down" | "hub.supervisor.ensure" => 0,
                _ if comes > COMES => 0,
                _ => self.rng.random_range(0..4),
            };
            if !self.point(node, point, &after(skipped, "panic")).await {
                sleep(Duration::from_millis(20)).await;
                continue;
            }
            match point {
                // What only happens when something else does.
                "hub.supervisor.down" => {
                    self.point(node, "hub.room.accept", "1*panic").await;
                }
                "hub.supervisor.ensure" => self.open_a_room(node).await,
                _ => {}
            }
            let waited = Instant::now() + comes;
            while Instant::now() < waited {
                if member.said(&message) > before {
                    return self.struck(format!("{point} panics in node {node}"));
                }
                sleep(Duration::from_millis(10)).await;
            }
            self.point(node, point, "off").await;
            if member.said(&message) > before {
                return self.struck(format!("{point} panics in node {node}"));
            }
        }
    }

    /// Has a node take a room into use that it did not have.
    async fn open_a_room(&self, node: usize) {
        let Some(address) = self.nemesis.cluster.address(node) else {
            return;
        };
        let token = &self.nemesis.somebody.token;
        let http = reqwest::Client::new();
        let name = format!("spare{}-{}", self.number, self.nemesis.recorder.op());
        let made = http
            .post(format!("http://{address}/api/rooms"))
            .bearer_auth(token)
            .json(&json!({ "name": name, "slug": name }))
            .timeout(REQUEST);
        if let Answer::Done(room) = answer_of(made).await
            && let Some(id) = room["id"].as_str()
        {
            let stream = http
                .get(format!("http://{address}/api/rooms/{id}/events"))
                .bearer_auth(token);
            // When it has begun, the room is in use.
            let _ = tokio::time::timeout(COMES, stream.send()).await;
        }
    }

    /// Sets a fail point. False if the node does not answer.
    async fn point(&self, node: usize, point: &str, actions: &str) -> bool {
        let Some(address) = self.nemesis.cluster.address(node) else {
            return false;
        };
        let request = reqwest::Client::new()
            .put(format!("http://{address}/_fault/{point}"))
            .body(actions.to_owned())
            .timeout(REQUEST);
        let is_set = request
            .send()
            .await
            .is_ok_and(|it| it.status().is_success());
        if !is_set {
            self.over(format!("{point} could not be set in node {node}"));
        }
        is_set
    }

    /// One node loses, doubles or reorders what goes by the bus.
    pub(super) async fn bus_errs(&mut self, point: &'static str) {
        let patience = Patience::of(TRIED);
        for (node, _) in self.rounds() {
            if self.point(node, point, "40%return").await {
                self.struck(format!("{point} in node {node}"));
                self.lasts().await;
                self.point(node, point, "off").await;
                return self.over(format!("{point} in node {node} is over"));
            }
            if patience.is_over() {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The action for a fail point that lets some pass first.
fn after(skipped: u32, action: &str) -> String {
    match skipped {
        0 => format!("1*{action}"),
        skipped => format!("{skipped}*off->1*{action}"),
    }
}
