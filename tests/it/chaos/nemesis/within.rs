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
use crate::chaos::verdict::{Promise, Violation};

/// How long something is waited for before another node is tried.
const COMES: Duration = Duration::from_millis(700);

/// How long it is tried. It may need somebody who publishes while Postgres is there.
const TRIED: Duration = Duration::from_secs(12);

/// A request that breaks a node.
const REQUEST: Duration = Duration::from_secs(2);

impl Hand<'_> {
    /// Has a node die when it has committed something that nobody was told of: whichever node does
    /// so first.
    pub(super) async fn kill_committed(&mut self) -> Broken {
        const POINT: &str = "hub.delivery.committed";
        let end = Instant::now() + TRIED;
        let nodes = self.nemesis.cluster.members().len();
        for node in (0..nodes).cycle().skip(self.strike.node) {
            if Instant::now() > end {
                return Ok(());
            }
            let mut place = self.nemesis.cluster.node(node).await;
            let Some(it) = place.as_mut() else {
                drop(place);
                sleep(Duration::from_millis(20)).await;
                continue;
            };
            let skipped = self.rng.random_range(0..6);
            self.point(node, POINT, &after(skipped, "return")).await;
            let mut status = it.wait_exit_within(COMES).await;
            if status.is_none() {
                self.point(node, POINT, "off").await;
                // It may have been just then.
                status = it.wait_exit_within(Duration::from_millis(50)).await;
            }
            let Some(status) = status else {
                continue;
            };
            self.nemesis.cluster.is_at(node, None);
            if status.signal() != Some(Signal::ABORT.as_raw()) {
                let text = format!("node {node} ended with {status:?}");
                return Err(Violation::new(Promise::Ends, text));
            }
            self.struck(format!(
                "node {node} dies between a commit and telling of it"
            ));
            self.lasts().await;
            return self.nemesis.cluster.start_again(node, &mut place).await;
        }
        Ok(())
    }

    /// Has an actor panic, in whichever node it does so first.
    pub(super) async fn panic(&mut self, point: &'static str) {
        let end = Instant::now() + TRIED;
        let message = format!("failpoint {point} panic");
        let nodes = self.nemesis.cluster.members().len();
        for node in (0..nodes).cycle().skip(self.strike.node) {
            if Instant::now() > end {
                return;
            }
            let member = &self.nemesis.cluster.members()[node];
            let before = member.said(&message);
            // The first ones are let through, so that it is not always the first of a batch.
            let skipped = match point {
                "hub.supervisor.down" | "hub.supervisor.ensure" => 0,
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
            let waited = Instant::now() + COMES;
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
        let end = Instant::now() + TRIED;
        let nodes = self.nemesis.cluster.members().len();
        for node in (0..nodes).cycle().skip(self.strike.node) {
            if self.point(node, point, "40%return").await {
                self.struck(format!("{point} in node {node}"));
                self.lasts().await;
                self.point(node, point, "off").await;
                return self.over(format!("{point} in node {node} is over"));
            }
            if Instant::now() > end {
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
