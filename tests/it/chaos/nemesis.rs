//! The one who breaks things: the node, Postgres beneath it, and actors within it.

use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;

use super::history::Recorder;
use super::plan::Fault;
use super::verdict::{Promise, Violation};
use crate::harness::node::Node;
use crate::harness::postgres::TestServer;

/// How long a node may take to end after SIGTERM: its grace time, and some for a busy machine.
const EXIT: Duration = Duration::from_secs(15);

pub(super) struct Nemesis<'a> {
    pub(super) rng: StdRng,
    pub(super) recorder: Recorder,
    pub(super) node: &'a mut Node,
    pub(super) server: &'a TestServer,
    /// A connection to the database.
    pub(super) database: &'a Client,
    pub(super) address: watch::Sender<Option<String>>,
    pub(super) violations: Vec<Violation>,
}

impl Nemesis<'_> {
    /// Breaks things for so long, and mends them.
    pub(super) async fn run(&mut self, faults: &[Fault], time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            let pause = Duration::from_millis(self.rng.random_range(50..500));
            sleep(pause.min(end - Instant::now())).await;
            if !faults.is_empty() && Instant::now() < end {
                let fault = faults[self.rng.random_range(0..faults.len())];
                self.strike(fault).await;
            }
        }
        for fault in faults {
            if let Fault::Panic(point) = fault {
                self.point(point, "off").await;
            }
        }
    }

    async fn strike(&mut self, fault: Fault) {
        match fault {
            Fault::Kill => {
                self.recorder.fault("the node is killed");
                self.node.kill9();
                self.address.send_replace(None);
                self.start().await;
            }
            Fault::Drain => {
                self.recorder.fault("the node is asked to stop");
                let asked = Instant::now();
                self.node.terminate();
                let status = self.node.wait_exit_within(EXIT).await;
                self.address.send_replace(None);
                let took = asked.elapsed().as_millis();
                self.recorder
                    .fault(format!("it has stopped after {took} ms"));
                if !status.is_some_and(|status| status.success()) {
                    let text = format!("after SIGTERM the node ended with {status:?}");
                    self.violations.push(Violation::new(Promise::Ends, text));
                    self.node.kill9();
                }
                self.start().await;
            }
            Fault::EndBackends => self.end_backends().await,
            Fault::Freeze => {
                let time = Duration::from_millis(self.rng.random_range(20..800));
                self.recorder
                    .fault(format!("Postgres stands still for {time:?}"));
                self.server.freeze();
                sleep(time).await;
                self.server.thaw();
                self.recorder.fault("Postgres goes on");
            }
            Fault::Panic(point) => {
                let skipped = self.rng.random_range(0..4);
                // The first ones are let through, so that it is not always the first of a batch.
                let actions = match skipped {
                    0 => "1*panic".to_owned(),
                    skipped => format!("{skipped}*off->1*panic"),
                };
                self.recorder.fault(format!("{point}: {actions}"));
                self.point(point, &actions).await;
            }
        }
    }

    async fn start(&mut self) {
        self.node.restart().await;
        self.recorder
            .fault(format!("the node is at {}", self.node.address));
        self.address.send_replace(Some(self.node.address.clone()));
    }

    /// Sets a fail point, if the node answers.
    async fn point(&self, point: &str, actions: &str) {
        let url = self.node.url(&format!("/_fault/{point}"));
        let request = reqwest::Client::new().put(url).body(actions.to_owned());
        let sent = request.timeout(Duration::from_secs(2)).send().await;
        if let Err(error) = sent {
            self.recorder
                .fault(format!("{point} could not be set: {error}"));
        }
    }

    async fn end_backends(&mut self) {
        let rows = self
            .database
            .query(
                "SELECT pid FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY pid",
                &[],
            )
            .await
            .expect("the catalogue answers");
        let chance = self.rng.random_range(0.2..1.0);
        let ended = rows.iter().map(|row| row.get::<_, i32>(0));
        let ended: Vec<i32> = ended.filter(|_| self.rng.random_bool(chance)).collect();
        self.recorder
            .fault(format!("{} backends of Postgres end", ended.len()));
        self.database
            .execute(
                "SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid",
                &[&ended],
            )
            .await
            .expect("they can be ended");
    }
}
