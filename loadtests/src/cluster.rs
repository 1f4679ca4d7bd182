//! `cluster`: what a second node costs, beside one node alone in the same run and beside Socket.IO
//! with its Redis adapter; how soon a cluster gets over what happens to it, and what its clients
//! notice of a deploy.

mod compare;
mod faults;
mod page;
mod presence;
mod redis_gone;
mod times;

use serde::Serialize;

pub(crate) use self::compare::Comparison;
use crate::error::LoadError;
use crate::server::Kind;
use crate::target::Target;
use crate::{Common, rolling, verdict};

/// Those that can share a Redis, in the order of the first round, and of the page.
const SERVERS: [Kind; 2] = [Kind::Socketio, Kind::Hubbub];

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,

    /// Servers; all that can share a Redis if not given
    #[arg(long, value_enum, value_delimiter = ',')]
    servers: Vec<Kind>,

    /// Leave out the faults and the rolling restart
    #[arg(long, conflicts_with = "faults_only")]
    compare_only: bool,

    /// Leave out the comparison and the rolling restart
    #[arg(long)]
    faults_only: bool,

    #[command(flatten)]
    extent: Extent,
}

/// How much is measured.
#[derive(Clone, Debug, Serialize, clap::Args)]
pub(crate) struct Extent {
    /// Times that each load is put on each server
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,

    /// Seconds that are measured of each
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,

    /// Loads of the fan-out that are raised until they are too much
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(crate) saturated: u8,

    /// Sessions that are revoked
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) revocations: u16,

    /// Times that a node is killed, and that Redis is
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) kills: u16,
}

impl Extent {
    /// What `bench` measures.
    pub(crate) fn of_bench(quick: bool) -> Self {
        if quick {
            return Self {
                rounds: 1,
                seconds: 2,
                saturated: 0,
                revocations: 20,
                kills: 1,
            };
        }
        Self {
            rounds: 1,
            seconds: 4,
            saturated: 2,
            revocations: 50,
            kills: 3,
        }
    }
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) cores: usize,
    /// How many threads wanted a processor, over the last minute, when it began and when it ended.
    pub(crate) load_average: [f64; 2],
    pub(crate) extent: Extent,
    pub(crate) servers: Vec<Kind>,
    /// What could not be measured, and why.
    pub(crate) missing: Vec<String>,
    pub(crate) comparisons: Vec<Comparison>,
    pub(crate) faults: Option<faults::Faults>,
    pub(crate) rolling: Option<rolling::Report>,
}

/// Measures and prints.
pub(crate) async fn run(options: &Options) -> Result<(), LoadError> {
    let servers = match &options.servers[..] {
        [] => &SERVERS,
        some => some,
    };
    let compared = if options.faults_only { &[] } else { servers };
    let mut report = Report::new(options.extent.clone());
    report.compare(&options.target, compared).await;
    if !options.compare_only && servers.contains(&Kind::Hubbub) {
        report.break_things(&options.target.common).await;
        if !options.faults_only {
            report.roll(&options.target.common, false).await;
        }
    }
    report.load_average[1] = load_average();
    let page = |report: &Report| format!("{}\n{}", report.page(), verdict::RULE);
    options.target.common.print(&report, page)
}

/// The same for `bench`.
pub(crate) async fn measure(target: &Target, extent: Extent, quick: bool) -> Report {
    let servers = if quick { &SERVERS[1..] } else { &SERVERS };
    let mut report = Report::new(extent);
    report.compare(target, servers).await;
    report.break_things(&target.common).await;
    report.roll(&target.common, quick).await;
    report.load_average[1] = load_average();
    report
}

impl Report {
    fn new(extent: Extent) -> Self {
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            load_average: [load_average(), 0.0],
            extent,
            servers: Vec::new(),
            missing: Vec::new(),
            comparisons: Vec::new(),
            faults: None,
            rolling: None,
        }
    }

    /// For people.
    pub(crate) fn page(&self) -> String {
        page::of(self)
    }

    async fn compare(&mut self, target: &Target, servers: &[Kind]) {
        for kind in servers {
            match target.of(*kind).with_pair(true).is_there() {
                Ok(()) => self.servers.push(*kind),
                Err(error) => self.missing.push(error.with_causes()),
            }
        }
        for plan in compare::plans(&self.extent) {
            for kind in self.servers.clone() {
                if plan.durable && !kind.is_node() {
                    continue;
                }
                let compared = compare::measure(&target.of(kind), &plan, &self.extent).await;
                let what = format!("{}, {plan}", kind.name());
                let compared = self.unless_failed(&what, compared);
                self.comparisons.extend(compared);
            }
        }
    }

    async fn break_things(&mut self, common: &Common) {
        let faults = faults::measure(common, &self.extent).await;
        self.faults = self.unless_failed("faults", faults);
    }

    async fn roll(&mut self, common: &Common, quick: bool) {
        let rolled = rolling::measure(common, &rolling::Extent::of_bench(quick)).await;
        self.rolling = self.unless_failed("rolling restart", rolled);
    }

    /// What failed is told, and the rest is measured all the same.
    fn unless_failed<T>(&mut self, what: &str, measured: Result<T, LoadError>) -> Option<T> {
        measured
            .map_err(|error| {
                let failed = format!("{what}: {}", error.with_causes());
                eprintln!("… {failed}");
                self.missing.push(failed);
            })
            .ok()
    }
}

fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split_whitespace().next();
    first.and_then(|it| it.parse().ok()).unwrap_or(0.0)
}
