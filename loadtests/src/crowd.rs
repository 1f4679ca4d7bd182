//! The generators of a measurement, seen from the process that measures.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, setpriority_process};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::child;
use crate::cores::Cores;
use crate::error::LoadError;
use crate::generator::order::{Connect, Connected, Open, Order, Place, Ran, Report, Run, Setup};

/// Coming into their places may take the connections this long.
const OPENING: Duration = Duration::from_secs(120);

/// How long after its time a run may be reported.
const REPORTING: Duration = Duration::from_secs(20);

/// The second numbers of the addresses that generators connect from, each of which has its own. One
/// that was used is left alone for as long as possible, as its ports are remembered for a minute.
const NETS: Range<u32> = 16..250;

/// The nice value of those who give way.
const LOWEST_PRIORITY: i32 = 19;

/// Generators so far.
static STARTED: AtomicU32 = AtomicU32::new(0);

/// Generator processes. They are killed when this is dropped, and end by themselves when this
/// process is gone, as nobody orders anything any more.
pub(crate) struct Crowd {
    generators: Vec<Generator>,
}

struct Generator {
    pid: Pid,
    orders: ChildStdin,
    reports: Lines<BufReader<ChildStdout>>,
    child: Child,
}

impl Crowd {
    /// Starts so many processes on these processors.
    pub(crate) async fn start(
        setup: &Setup,
        processes: usize,
        cores: &Cores,
    ) -> Result<Self, LoadError> {
        let mut generators = Vec::new();
        for _ in 0..processes {
            let (mut child, pid, orders) = child::start("generate", cores)?;
            let reports = child.stdout.take();
            let reports = reports.ok_or_else(child::without_pipes)?;
            let mut generator = Generator {
                pid,
                orders,
                reports: BufReader::new(reports).lines(),
                child,
            };
            let mut setup = setup.clone();
            setup.source_net = next_net();
            generator.order(&Order::Setup(setup)).await?;
            generators.push(generator);
        }
        Ok(Self { generators })
    }

    /// Ends the processes, and with them their connections.
    pub(crate) async fn end(self) -> Result<(), LoadError> {
        for generator in self.generators {
            let Generator {
                orders, mut child, ..
            } = generator;
            // No more orders come.
            drop(orders);
            child
                .wait()
                .await
                .map_err(LoadError::io("ending a generator"))?;
        }
        Ok(())
    }

    pub(crate) fn pids(&self) -> impl Iterator<Item = Pid> {
        self.generators.iter().map(|generator| generator.pid)
    }

    /// Has the processes give way to everybody else on their processors.
    pub(crate) fn give_way(&self) -> Result<(), LoadError> {
        for pid in self.pids() {
            setpriority_process(Some(pid), LOWEST_PRIORITY)
                .map_err(|error| LoadError::io("lowering a priority")(error.into()))?;
        }
        Ok(())
    }

    /// Opens connections, spread over the processes; `at_once` handshakes in all.
    pub(crate) async fn open(
        &mut self,
        places: &[Place],
        join: bool,
        at_once: usize,
    ) -> Result<(), LoadError> {
        self.open_more(places, join, at_once, places.len()).await
    }

    /// The same, when others are open already; so many are there in the end.
    pub(crate) async fn open_more(
        &mut self,
        places: &[Place],
        join: bool,
        at_once: usize,
        wanted: usize,
    ) -> Result<(), LoadError> {
        let processes = self.generators.len();
        for (n, generator) in self.generators.iter_mut().enumerate() {
            let places = places.iter().skip(n).step_by(processes).copied().collect();
            let at_once = at_once.div_ceil(processes);
            generator
                .order(&Order::Open(Open {
                    places,
                    join,
                    at_once,
                }))
                .await?;
        }
        let open = self.ready().await?;
        if open != wanted {
            return Err(LoadError::Unexpected(format!(
                "{open} of {wanted} connections are open"
            )));
        }
        Ok(())
    }

    /// All that are in no room join theirs.
    pub(crate) async fn join(&mut self) -> Result<(), LoadError> {
        for generator in &mut self.generators {
            generator.order(&Order::Join).await?;
        }
        self.ready().await?;
        Ok(())
    }

    async fn ready(&mut self) -> Result<usize, LoadError> {
        let mut all = 0;
        for generator in &mut self.generators {
            match generator.report(OPENING).await? {
                Report::Ready { open } => all += open,
                other => return Err(unexpected(&other)),
            }
        }
        Ok(all)
    }

    /// Orders a run, the same of all.
    pub(crate) async fn begin_run(&mut self, run: &Run) -> Result<(), LoadError> {
        for generator in &mut self.generators {
            generator.order(&Order::Run(run.clone())).await?;
        }
        Ok(())
    }

    /// Gives what each has to say about a run whose time is over.
    pub(crate) async fn end_run(&mut self, tail: Duration) -> Result<Vec<Ran>, LoadError> {
        let mut all = Vec::new();
        for generator in &mut self.generators {
            match generator.report(tail + REPORTING).await? {
                Report::Ran(ran) => all.push(ran),
                other => return Err(unexpected(&other)),
            }
        }
        Ok(all)
    }

    /// Orders connecting, the same of all.
    pub(crate) async fn begin_connect(&mut self, connect: Connect) -> Result<(), LoadError> {
        for generator in &mut self.generators {
            generator.order(&Order::Connect(connect)).await?;
        }
        Ok(())
    }

    pub(crate) async fn end_connect(&mut self) -> Result<Vec<Connected>, LoadError> {
        let mut all = Vec::new();
        for generator in &mut self.generators {
            match generator.report(REPORTING).await? {
                Report::Connected(connected) => all.push(connected),
                other => return Err(unexpected(&other)),
            }
        }
        Ok(all)
    }
}

impl Generator {
    async fn order(&mut self, order: &Order) -> Result<(), LoadError> {
        let mut line =
            serde_json::to_vec(order).map_err(|error| LoadError::Unexpected(error.to_string()))?;
        line.push(b'\n');
        self.orders
            .write_all(&line)
            .await
            .map_err(LoadError::io("giving orders to a generator"))
    }

    async fn report(&mut self, within: Duration) -> Result<Report, LoadError> {
        let line = tokio::time::timeout(within, self.reports.next_line()).await;
        let Ok(line) = line else {
            return Err(LoadError::Generator("does not report in time".to_owned()));
        };
        let line = line.map_err(LoadError::io("reading a generator's report"))?;
        let Some(line) = line else {
            return Err(LoadError::Generator("is gone".to_owned()));
        };
        match serde_json::from_str(&line) {
            Ok(Report::Failed(what)) => Err(LoadError::Generator(what)),
            Ok(report) => Ok(report),
            Err(error) => Err(LoadError::Unexpected(format!("a report: {error}"))),
        }
    }
}

/// Begins elsewhere in each process.
fn next_net() -> u8 {
    let turn = STARTED
        .fetch_add(1, Ordering::Relaxed)
        .wrapping_add(std::process::id().wrapping_mul(7));
    let net = NETS.start + turn % (NETS.end - NETS.start);
    u8::try_from(net).unwrap_or(u8::MAX)
}

fn unexpected(report: &Report) -> LoadError {
    LoadError::Unexpected(format!("a generator reports {report:?}"))
}
