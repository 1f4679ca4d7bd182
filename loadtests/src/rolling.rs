//! `rolling`: a deploy under load. Nodes behind nginx are restarted one after the other while people
//! speak and listen; everybody who is told to move, or cut off, comes back and resumes.

mod account;
mod client;
mod listener;
mod sender;

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use self::account::{Heard, Restart, Spoken, Timetable};
use self::listener::Listener;
use self::sender::Sender;
use crate::Common;
use crate::clock::{self, NS_PER_S};
use crate::dev_cluster::DevCluster;
use crate::error::LoadError;
use crate::people::People;
use crate::samples::Latency;

/// Without restarts, before and after them.
const BEFORE: Duration = Duration::from_secs(3);
const AFTER: Duration = Duration::from_secs(3);

/// From the first message on, all of it; nothing takes as long on a machine that has time for it.
const LIMIT: Duration = Duration::from_secs(50);

/// Listeners that come at once in the beginning.
const AT_ONCE: usize = 50;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,

    #[command(flatten)]
    extent: Extent,
}

/// How much is measured.
#[derive(Clone, Debug, Serialize, clap::Args)]
pub(crate) struct Extent {
    /// Nodes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(2..=8))]
    nodes: u16,

    /// Rooms; one client speaks in each
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    rooms: u32,

    /// Connections that listen, in all rooms together
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=1500))]
    connections: u32,

    /// Messages a second in each room
    #[arg(long, default_value_t = 5.0, value_parser = crate::fanout::rate)]
    rate: f64,

    /// Time over which a node's clients are told to move, milliseconds
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    drain_ms: u64,
}

impl Extent {
    /// What `cluster` and `bench` measure.
    pub(crate) fn of_bench(quick: bool) -> Self {
        Self {
            nodes: if quick { 2 } else { 3 },
            rooms: 10,
            connections: if quick { 100 } else { 300 },
            rate: 5.0,
            drain_ms: if quick { 500 } else { 2000 },
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) extent: Extent,
    /// How long it took to restart all nodes.
    pub(crate) restart_s: f64,
    /// From when a message was due until a listener had it; of those due before the restarts, while
    /// they lasted, and after them.
    pub(crate) before: Latency,
    pub(crate) during: Latency,
    pub(crate) after: Latency,
    /// From when it was first sent: without the time in which its sender was itself between two nodes.
    pub(crate) during_of_sent: Latency,
    pub(crate) messages: u64,
    pub(crate) deliveries: u64,
    pub(crate) reconnects: u64,
    /// The most of them within a second.
    pub(crate) reconnects_peak_per_second: usize,
    /// Attempts that failed, and connections that ended without having been told to move.
    pub(crate) failed: u64,
    pub(crate) cut: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) disordered: u64,
    pub(crate) gaps: u64,
}

/// Measures and prints.
pub(crate) async fn run(options: &Options) -> Result<(), LoadError> {
    let report = measure(&options.common, &options.extent).await?;
    options.common.print(&report, Report::page)
}

pub(crate) async fn measure(common: &Common, extent: &Extent) -> Result<Report, LoadError> {
    let binary = common.binary()?;
    let folder = common.folder.as_deref();
    let drain = Duration::from_millis(extent.drain_ms);
    eprintln!("… {} nodes behind nginx start", extent.nodes);
    let mut cluster = DevCluster::start(&binary, folder, extent.nodes, drain).await?;
    let rooms = extent.rooms as usize;
    let people = People::gather(&cluster.address, rooms * 4, rooms).await?;
    let took_too_long = |_| {
        let seconds = LIMIT.as_secs();
        LoadError::Unexpected(format!("a rolling restart took longer than {seconds} s"))
    };
    let course = tokio::time::timeout(LIMIT, Course::begin(&cluster, extent, &people)).await;
    let course = course.map_err(took_too_long)??;
    eprintln!("… they are restarted one after the other");
    let report = tokio::time::timeout(LIMIT, course.go_on(&mut cluster, extent)).await;
    let report = report.map_err(took_too_long)??;
    cluster.stop().await?;
    Ok(report)
}

/// Everybody who takes part. Dropping it ends them.
struct Course {
    timetable: Timetable,
    senders: JoinSet<Result<(usize, Spoken), LoadError>>,
    listeners: JoinSet<Result<Heard, LoadError>>,
    stop: watch::Sender<bool>,
    until: watch::Sender<Option<Vec<usize>>>,
}

impl Course {
    /// Has all listeners join, then the senders begin.
    async fn begin(
        cluster: &DevCluster,
        extent: &Extent,
        people: &People,
    ) -> Result<Self, LoadError> {
        let (until, is_until) = watch::channel(None);
        let (joined, mut all_joined) = mpsc::channel(AT_ONCE);
        let mut listeners = JoinSet::new();
        let mut come = 0;
        let connections = extent.connections as usize;
        for number in 0..connections {
            let room = number % people.rooms.len();
            let listener = Listener {
                number: number as u64,
                address: cluster.address.clone(),
                // As many people as make whole rooms: the person is a member of this one.
                token: people.tokens[number % people.tokens.len()].clone(),
                room: u32::try_from(room).unwrap_or(u32::MAX),
                room_id: people.rooms[room].clone(),
            };
            listeners.spawn(listener.listen(joined.clone(), is_until.clone()));
            if number + 1 - come >= AT_ONCE && all_joined.recv().await.is_some() {
                come += 1;
            }
        }
        drop(joined);
        while all_joined.recv().await.is_some() {
            come += 1;
        }
        if come < connections {
            let what = format!("{come} of {connections} listeners could join");
            return Err(LoadError::Unexpected(what));
        }
        let timetable = Timetable {
            start_ns: clock::now() + NS_PER_S / 2,
            rooms: extent.rooms,
            rate: extent.rate,
        };
        let (stop, stopped) = watch::channel(false);
        let mut senders = JoinSet::new();
        for (number, room_id) in people.rooms.iter().enumerate() {
            let sender = Sender {
                address: cluster.address.clone(),
                token: people.tokens[number].clone(),
                room: u32::try_from(number).unwrap_or(u32::MAX),
                room_id: room_id.clone(),
                timetable,
            };
            let spoken = sender.speak(stopped.clone());
            senders.spawn(async move { Ok((number, spoken.await?)) });
        }
        Ok(Self {
            timetable,
            senders,
            listeners,
            stop,
            until,
        })
    }

    /// Restarts the nodes, and waits for the last message.
    async fn go_on(self, cluster: &mut DevCluster, extent: &Extent) -> Result<Report, LoadError> {
        let Self {
            timetable,
            senders,
            listeners,
            stop,
            until,
        } = self;
        clock::sleep_until(timetable.start_ns + clock::ns(BEFORE)).await;
        let from_ns = clock::now();
        cluster.roll().await?;
        let restart = Restart {
            from_ns,
            to_ns: clock::now(),
        };
        tokio::time::sleep(AFTER).await;
        stop.send_replace(true);
        let mut spoken = all_of(senders).await?;
        spoken.sort_by_key(|(room, _)| *room);
        let spoken: Vec<Spoken> = spoken.into_iter().map(|(_, spoken)| spoken).collect();
        until.send_replace(Some(spoken.iter().map(|it| it.sent_ns.len()).collect()));
        let heard = all_of(listeners).await?;
        Report::of(extent, &timetable, restart, &spoken, &heard)
    }
}

async fn all_of<T: 'static>(mut tasks: JoinSet<Result<T, LoadError>>) -> Result<Vec<T>, LoadError> {
    let mut all = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        all.push(ended.map_err(|error| LoadError::Unexpected(error.to_string()))??);
    }
    Ok(all)
}

impl Report {
    fn of(
        extent: &Extent,
        timetable: &Timetable,
        restart: Restart,
        spoken: &[Spoken],
        heard: &[Heard],
    ) -> Result<Self, LoadError> {
        let counted = account::latencies(timetable, restart, spoken, heard)?;
        let total = |count: fn(&Heard) -> u64| heard.iter().map(count).sum();
        let again: Vec<u64> = heard
            .iter()
            .flat_map(|it| it.reconnected_ns.iter().copied())
            .collect();
        let [before, during, after] = counted.of_due;
        Ok(Self {
            extent: extent.clone(),
            restart_s: (restart.to_ns - restart.from_ns) as f64 / NS_PER_S as f64,
            before,
            during,
            after,
            during_of_sent: counted.of_sent[1],
            messages: spoken.iter().map(|it| it.sent_ns.len() as u64).sum(),
            deliveries: counted.deliveries,
            reconnects: again.len() as u64,
            reconnects_peak_per_second: account::peak_per_second(again),
            failed: total(|it| it.failed),
            cut: total(|it| it.cut),
            lost: counted.lost,
            doubled: total(|it| it.doubled),
            disordered: total(|it| it.disordered),
            gaps: total(|it| it.gaps),
        })
    }

    /// For people.
    pub(crate) fn page(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let Extent {
            nodes,
            rooms,
            connections,
            rate,
            drain_ms,
        } = &self.extent;
        writeln!(
            text,
            "{nodes} nodes behind nginx are restarted one after the other in {:.1} s, each telling \
             its clients to move within {drain_ms} ms; {connections} connections listen in {rooms} \
             rooms with {rate} messages a second each.\n",
            self.restart_s
        )?;
        writeln!(
            text,
            "{:44}{:>9} {:>9} {:>9}",
            "stored message → listener, ms", "p50", "p99", "max"
        )?;
        let lines = [
            ("before the restarts", self.before),
            ("while they last", self.during),
            ("– without the sender's own moves", self.during_of_sent),
            ("afterwards", self.after),
        ];
        for (what, latency) in lines {
            writeln!(text, "{}", latency.line(what))?;
        }
        let Self {
            messages,
            deliveries,
            reconnects,
            reconnects_peak_per_second: peak,
            failed,
            cut,
            lost,
            doubled,
            disordered,
            gaps,
            ..
        } = self;
        writeln!(
            text,
            "{reconnects} reconnects, at most {peak} within a second; {cut} connections were cut \
             without a word, {failed} attempts failed\n\
             of {messages} messages in {deliveries} deliveries {lost} were lost, {doubled} came \
             twice, {disordered} out of order, {gaps} gaps\n"
        )
    }
}
