//! `bench`: all figures in one run, on one page: Hubbub beside the floor and other servers, under the
//! same load, the servers taking turns.

use std::path::PathBuf;

use serde::Serialize;

use crate::connect::Connects;
use crate::error::LoadError;
use crate::fanout::{self, Load};
use crate::idle::{self, Idle};
use crate::outcome::Outcome;
use crate::saturate::{self, Saturation};
use crate::server::Kind;
use crate::target::Target;
use crate::{
    Common, bench_page, cluster, connect, publish, recovery, recovery_report, report, rest,
};

/// The loads of the fan-out: rooms, members, messages a second in each room.
pub(crate) const LOADS: [(u32, u32, f64); 2] = [(1, 1000, 100.0), (100, 10, 20.0)];

/// In the order of the first round, and of the page.
pub(crate) const SERVERS: [Kind; 6] = [
    Kind::Floor,
    Kind::Ws,
    Kind::Socketio,
    Kind::Socketioxide,
    Kind::HubbubSocketio,
    Kind::Hubbub,
];

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,

    /// The shortest that makes sense: Hubbub and the floor alone, fewer connections, one round
    #[arg(long)]
    quick: bool,

    /// Servers; all if not given
    #[arg(long, value_enum, value_delimiter = ',')]
    servers: Vec<Kind>,

    /// Where report.json, report.md and report.svg go
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    out: PathBuf,

    /// Leave out publishing and recovery, which are about Hubbub and its Postgres alone, REST and the
    /// cluster
    #[arg(long)]
    compare_only: bool,
}

/// How much is measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Extent {
    pub(crate) rounds: u32,
    pub(crate) seconds: u64,
    pub(crate) idle: Vec<u32>,
    pub(crate) saturated: usize,
    publish_s: u64,
    recovery_rounds: u32,
    recovery_events: u64,
}

impl Extent {
    fn of(quick: bool) -> Self {
        if quick {
            return Self {
                rounds: 1,
                seconds: 2,
                idle: vec![2_000],
                saturated: 1,
                publish_s: 1,
                recovery_rounds: 5,
                recovery_events: 5_000,
            };
        }
        Self {
            rounds: 2,
            seconds: 4,
            idle: vec![10_000, 19_000],
            saturated: LOADS.len(),
            publish_s: 3,
            recovery_rounds: 20,
            recovery_events: 10_000,
        }
    }
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Bench {
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) payload_bytes: u32,
    pub(crate) extent: Extent,
    pub(crate) servers: Vec<Kind>,
    /// What could not be measured, and why.
    pub(crate) missing: Vec<String>,
    pub(crate) fanout: Vec<Outcome>,
    pub(crate) saturations: Vec<Saturation>,
    pub(crate) connects: Vec<Connects>,
    pub(crate) idle: Vec<Idle>,
    pub(crate) publish: Option<report::Report>,
    pub(crate) recovery: Option<recovery_report::Report>,
    pub(crate) rest: Option<rest::Report>,
    pub(crate) cluster: Option<cluster::Report>,
}

/// Measures, prints, and writes the reports.
pub(crate) async fn run(options: &Options) -> Result<(), LoadError> {
    let bench = measure(options).await?;
    let out = &options.out;
    let what = || format!("writing to {}", out.display());
    std::fs::create_dir_all(out).map_err(LoadError::io(what()))?;
    let json = serde_json::to_string_pretty(&bench)
        .map_err(|error| LoadError::Unexpected(error.to_string()))?;
    let page = bench_page::page(&bench);
    let parts = [
        ("report.json", json),
        ("report.md", format!("{page}\n![](report.svg)\n")),
        ("report.svg", bench_page::picture(&bench)),
    ];
    for (name, text) in parts {
        std::fs::write(out.join(name), text).map_err(LoadError::io(what()))?;
    }
    options.target.common.print(&bench, |_| page)
}

async fn measure(options: &Options) -> Result<Bench, LoadError> {
    let extent = Extent::of(options.quick);
    let servers = match &options.servers[..] {
        [] if options.quick => vec![Kind::Floor, Kind::Hubbub],
        [] => SERVERS.to_vec(),
        some => some.to_vec(),
    };
    let mut bench = Bench {
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")
            .map(|text| text.trim().to_owned())
            .unwrap_or_default(),
        payload_bytes: options.target.payload_bytes,
        servers: Vec::new(),
        missing: Vec::new(),
        fanout: Vec::new(),
        saturations: Vec::new(),
        connects: Vec::new(),
        idle: Vec::new(),
        publish: None,
        recovery: None,
        rest: None,
        cluster: None,
        extent,
    };
    for kind in servers {
        match options.target.of(kind).is_there() {
            Ok(()) => bench.servers.push(kind),
            Err(error) => bench.missing.push(error.to_string()),
        }
    }
    bench.compare(&options.target).await;
    if !options.compare_only {
        bench.about_postgres(&options.target.common).await?;
        progress("REST");
        let rest = rest::of_bench(&options.target, options.quick).await;
        bench.rest = bench.unless_failed(Kind::Hubbub, "REST", rest);
        progress("two nodes");
        let extent = cluster::Extent::of_bench(options.quick);
        let cluster = cluster::measure(&options.target, extent, options.quick).await;
        bench.cluster = Some(cluster);
    }
    Ok(bench)
}

impl Bench {
    /// The servers in the order of this round: forwards, backwards, forwards, …
    fn turns(&self, round: u32) -> Vec<Kind> {
        let mut servers = self.servers.clone();
        if !round.is_multiple_of(2) {
            servers.reverse();
        }
        servers
    }

    async fn compare(&mut self, target: &Target) {
        let mut round = 0;
        let mut turns = |bench: &Self| {
            round += 1;
            bench.turns(round - 1)
        };
        for _ in 0..self.extent.rounds {
            for (rooms, members, rate) in LOADS {
                for kind in turns(self) {
                    progress(&format!("{}: {rooms} × {members} at {rate}/s", kind.name()));
                    let load = Load {
                        warm_up: 1,
                        ..self.load(rooms, members)
                    };
                    let outcome = fanout::measure(&target.of(kind), &load, rate).await;
                    let outcome = self.unless_failed(kind, "fan-out", outcome);
                    self.fanout.extend(outcome);
                }
            }
        }
        for (rooms, members, rate) in LOADS.into_iter().take(self.extent.saturated) {
            for kind in turns(self) {
                progress(&format!(
                    "{}: {rooms} × {members}, more and more",
                    kind.name()
                ));
                let load = Load {
                    seconds: self.extent.seconds.div_ceil(2),
                    ..self.load(rooms, members)
                };
                let saturation = saturate::measure(&target.of(kind), &load, rate).await;
                let saturation = self.unless_failed(kind, "more and more", saturation);
                self.saturations.extend(saturation);
            }
        }
        for kind in turns(self) {
            progress(&format!("{}: connects", kind.name()));
            let closed = connect::Load {
                at_once: 64,
                rate: None,
                first_reply: false,
                seconds: self.extent.seconds.min(3),
            };
            let asking = connect::Load {
                first_reply: true,
                ..closed
            };
            let rows = connect::measure(&target.of(kind), &[closed, asking]).await;
            let rows = self.unless_failed(kind, "connects", rows);
            self.connects.extend(rows.into_iter().flatten());
        }
        for connections in self.extent.idle.clone() {
            for kind in turns(self) {
                progress(&format!("{}: {connections} idle connections", kind.name()));
                let load = idle::Load {
                    connections,
                    rooms: 100,
                };
                let idle = idle::measure(&target.of(kind), &load).await;
                let idle = self.unless_failed(kind, "idle connections", idle);
                self.idle.extend(idle);
            }
        }
    }

    /// One server's failure is told, and the others are measured all the same.
    fn unless_failed<T>(
        &mut self,
        kind: Kind,
        what: &str,
        measured: Result<T, LoadError>,
    ) -> Option<T> {
        measured
            .map_err(|error| {
                let failed = format!("{}, {what}: {}", kind.name(), error.with_causes());
                progress(&failed);
                self.missing.push(failed);
            })
            .ok()
    }

    fn load(&self, rooms: u32, members: u32) -> Load {
        Load {
            rooms,
            members,
            durable: false,
            seconds: self.extent.seconds,
            warm_up: 0,
        }
    }

    async fn about_postgres(&mut self, common: &Common) -> Result<(), LoadError> {
        progress("publishing");
        let options = publish::Options::new(common.clone(), self.extent.publish_s);
        self.publish = Some(publish::measure(&options).await?);
        progress("recovery");
        let (rounds, events) = (self.extent.recovery_rounds, self.extent.recovery_events);
        let options = recovery::Options::new(common.clone(), rounds, events);
        self.recovery = Some(recovery::measure(&options).await?);
        Ok(())
    }
}

fn progress(what: &str) {
    eprintln!("… {what}");
}
