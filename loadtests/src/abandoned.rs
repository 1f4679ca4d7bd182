//! `abandoned`: Socket.IO clients that begin by polling, join a room, and are never heard of again:
//! what each costs until its session is ended by its timer, and what is left afterwards.

use std::fmt::Write as _;
use std::time::Duration;

use futures_util::stream::{self, TryStreamExt as _};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::Common;
use crate::cpu;
use crate::error::LoadError;
use crate::nodes::{Nodes, NodesOptions};
use crate::people::{People, text};

/// Clients that come before memory is looked at for the first time, so that what is made once is
/// not counted.
const WARM_UP: usize = 200;

/// Clients that come at a time.
const AT_ONCE: usize = 64;

/// How much longer than the heartbeat's interval and time-out together it may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked whether they have gone.
const LOOK: Duration = Duration::from_millis(100);

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,

    /// Clients
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    sessions: u32,

    /// Users that they are
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    people: u32,

    /// Rooms that they are in
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    rooms: u32,

    /// How often there is a heartbeat, and how long its answer may take, ms
    #[arg(long, num_args = 2, value_names = ["INTERVAL", "TIMEOUT"], default_values_t = [25_000, 20_000])]
    heartbeat_ms: Vec<u64>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Abandoned {
    sessions: u32,
    rooms: u32,
    /// A second.
    arrivals: f64,
    /// Resident bytes of the node before, for each of them while they are there, and for each when
    /// all have been ended.
    before_bytes: u64,
    bytes_each: f64,
    left_bytes_each: f64,
    /// Cores that the node uses between the last client's coming and the last session's end.
    cores: f64,
    /// Seconds after the last client's coming: when the first session had ended, and when all had.
    first_ended_s: f64,
    all_ended_s: f64,
}

/// Measures and prints.
pub(crate) async fn run(options: &Options) -> Result<(), LoadError> {
    let common = &options.common;
    let rooms = options.rooms.min(options.people);
    let names = [
        "HUBBUB__SOCKETIO__PING_INTERVAL_MS",
        "HUBBUB__SOCKETIO__PING_TIMEOUT_MS",
    ];
    let heartbeat = names
        .into_iter()
        .zip(options.heartbeat_ms.iter().map(u64::to_string));
    let nodes = Nodes::start(&NodesOptions {
        binary: &common.binary()?,
        folder: common.folder.as_deref(),
        role: &common.role,
        database: &common.database,
        cores: None,
        pair: false,
        settings: &heartbeat.collect::<Vec<_>>(),
    })
    .await?;
    let (pid, address) = (nodes.first.pid(), nodes.first.address.clone());
    let people = People::gather(&address, options.people as usize, rooms as usize).await?;
    let clients = Clients {
        http: reqwest::Client::new(),
        url: format!("http://{address}"),
        people,
        patience: PATIENCE + Duration::from_millis(options.heartbeat_ms.iter().sum()),
    };
    clients.come(0..WARM_UP).await?;
    clients.gone(0).await?;
    let before_bytes = cpu::resident_bytes(pid);
    let resident = || cpu::resident_bytes(pid) as f64 - before_bytes as f64;

    let sessions = options.sessions as usize;
    eprintln!("… {sessions} clients come and are not heard of again");
    let begun = Instant::now();
    clients.come(0..sessions).await?;
    let came = Instant::now();
    let here = clients.sessions().await?;
    if here < sessions as u64 {
        let what = format!("{here} of {sessions} sessions are there: the first end too early");
        return Err(LoadError::Unexpected(what));
    }
    let bytes = resident();
    let used = cpu::used(pid);
    eprintln!("… their sessions end");
    clients.gone(here - 1).await?;
    let first_ended = came.elapsed();
    clients.gone(0).await?;
    let all_ended = came.elapsed();
    let used = cpu::used(pid).saturating_sub(used);
    let abandoned = Abandoned {
        sessions: options.sessions,
        rooms,
        arrivals: sessions as f64 / (came - begun).as_secs_f64(),
        before_bytes,
        bytes_each: bytes / sessions as f64,
        left_bytes_each: resident() / sessions as f64,
        cores: used.as_secs_f64() / all_ended.as_secs_f64(),
        first_ended_s: first_ended.as_secs_f64(),
        all_ended_s: all_ended.as_secs_f64(),
    };
    nodes.stop().await?;
    common.print(&abandoned, page)
}

/// Those who come.
struct Clients {
    http: reqwest::Client,
    url: String,
    people: People,
    /// Within which all must be gone.
    patience: Duration,
}

impl Clients {
    async fn come(&self, numbers: std::ops::Range<usize>) -> Result<(), LoadError> {
        stream::iter(numbers.map(|n| Ok(self.one(n))))
            .try_for_each_concurrent(AT_ONCE, |one| one)
            .await
    }

    /// One opens a session, connects, joins its room, and has asked for the last time.
    async fn one(&self, n: usize) -> Result<(), LoadError> {
        let person = n % self.people.tokens.len();
        let (token, room) = (
            &self.people.tokens[person],
            &self.people.rooms[person % self.people.rooms.len()],
        );
        let address = format!("{}/socket.io/?EIO=4&transport=polling", self.url);
        let open = self.ask(self.http.get(&address).bearer_auth(token)).await?;
        let open: Value = serde_json::from_str(open.get(1..).unwrap_or_default())
            .map_err(|_| LoadError::Unexpected(format!("no handshake: {open}")))?;
        let address = format!("{address}&sid={}", text(&open["sid"])?);
        let connect = format!("40{}", json!({ "token": token }));
        self.ask(self.http.post(&address).body(connect)).await?;
        let connected = self.ask(self.http.get(&address)).await?;
        if !connected.starts_with("40") {
            return Err(LoadError::Unexpected(format!("refused: {connected}")));
        }
        let join = format!("420{}", json!(["join", { "room": room }]));
        self.ask(self.http.post(&address).body(join)).await?;
        let joined = self.ask(self.http.get(&address)).await?;
        if !joined.contains(r#"430[{"ok""#) {
            return Err(LoadError::Unexpected(format!("not joined: {joined}")));
        }
        Ok(())
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> Result<String, LoadError> {
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            return Err(LoadError::Unexpected(format!("{status}: {text}")));
        }
        Ok(text)
    }

    /// Waits until there are at most so many sessions.
    async fn gone(&self, at_most: u64) -> Result<(), LoadError> {
        let until = Instant::now() + self.patience;
        while self.sessions().await? > at_most {
            if Instant::now() > until {
                let what = "the sessions do not end".to_owned();
                return Err(LoadError::Unexpected(what));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// How many the node has, by its metrics.
    async fn sessions(&self) -> Result<u64, LoadError> {
        let page = self
            .ask(self.http.get(format!("{}/metrics", self.url)))
            .await?;
        let of_sessions = page
            .lines()
            .filter(|line| line.starts_with("socketio_sessions{"));
        let counts = of_sessions.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
        Ok(counts.sum())
    }
}

fn page(abandoned: &Abandoned) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, abandoned);
    text
}

fn write(text: &mut String, it: &Abandoned) -> std::fmt::Result {
    writeln!(
        text,
        "{} Socket.IO clients poll, join one of {} rooms each and are not heard of again ({:.0} come a \
         second)\n",
        it.sessions, it.rooms, it.arrivals
    )?;
    writeln!(
        text,
        "resident bytes for each while there   {:>8.0}",
        it.bytes_each
    )?;
    writeln!(
        text,
        "– when all have been ended            {:>8.0}",
        it.left_bytes_each
    )?;
    writeln!(
        text,
        "cores used until all had been ended   {:>8.3}",
        it.cores
    )?;
    writeln!(
        text,
        "first session ended after, s          {:>8.1}",
        it.first_ended_s
    )?;
    writeln!(
        text,
        "all ended after, s                    {:>8.1}",
        it.all_ended_s
    )
}
