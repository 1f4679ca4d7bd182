//! `recovery`: how long it takes to have missed nothing, and to be shut out.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use serde_json::json;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::error::LoadError;
use crate::node::{DataFolder, Node, NodeOptions};
use crate::people::{Api, People, text};
use crate::recovery_report::{HerdRow, Report, ResumeRow};
use crate::samples::Samples;
use crate::socket::Socket;
use crate::{Common, postgres};

/// What a client has missed.
const MISSED: u64 = 1000;

/// What a chat message is like.
const BODY_BYTES: usize = 128;

/// Clients that come back at the same moment, as after a node's restart.
const HERD: usize = 200;

/// How long a revoked session's socket is waited for.
pub(crate) const REVOKED: Duration = Duration::from_secs(10);

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,

    /// Measurements of each kind
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: u32,

    /// Events of the room that is read out of Postgres
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(5_000..=1_000_000))]
    events: u64,
}

impl Options {
    pub(crate) fn new(common: Common, rounds: u32, events: u64) -> Self {
        Self {
            common,
            rounds,
            events,
        }
    }
}

/// Measures and prints.
pub(crate) async fn run(options: &Options) -> Result<(), LoadError> {
    let report = measure(options).await?;
    options.common.print(&report, Report::page)
}

/// A room, and who reads it.
struct Scene<'a> {
    address: &'a str,
    token: &'a str,
    room: &'a str,
    head: u64,
}

pub(crate) async fn measure(options: &Options) -> Result<Report, LoadError> {
    let binary = options.common.binary()?;
    let folder = DataFolder::new(options.common.folder.as_deref())?;
    let data = folder.path().join("node");
    let node = Node::start(&NodeOptions::embedded(&binary, data.clone())).await?;
    let progress = |what: &str| eprintln!("… {what}");
    progress("people sign up");
    let people = People::gather(&node.address, HERD, 1).await?;
    let room = &people.rooms[0];
    progress(&format!("{} messages are said", options.events));
    say(&node.address, &people.tokens[0], room, options.events).await?;
    let url = postgres::Running::find(&data)?.url(&options.common.role, &options.common.database);
    let client = postgres::connect(&url).await?;
    let head = head(&client, room).await?;
    let scene = Scene {
        address: &node.address,
        token: &people.tokens[0],
        room,
        head,
    };

    progress("a plain SELECT of the same events");
    let plain = plain_select(&client, room, head, options.rounds).await?;
    progress("resuming from the room's memory");
    // Somebody stays in the room, so that it remembers.
    let mut stayer = Socket::connect(&node.address, &people.tokens[1]).await?;
    stayer.join(room).await?;
    say(&node.address, &people.tokens[0], room, MISSED).await?;
    let scene = Scene {
        head: scene.head + MISSED,
        ..scene
    };
    let mut memory = Samples::new()?;
    for _ in 0..options.rounds {
        memory.add(scene.resume(scene.head - MISSED).await?);
    }
    progress("resuming from Postgres");
    let mut database = Samples::new()?;
    for round in 0..u64::from(options.rounds) {
        // Each from another place, up to the head: all but the last thousand or so are read from
        // the log. What is counted is the time until the first `MISSED` have come.
        database.add(scene.first_missed(round % 1000).await?);
    }
    progress(&format!("{HERD} clients resume at once"));
    let begun = Instant::now();
    let herd = people.tokens.iter().map(|token| {
        let scene = Scene { token, ..scene };
        async move { scene.resume(scene.head - 4 * MISSED).await }
    });
    let mut herded = Samples::new()?;
    for took in try_join_all(herd).await? {
        herded.add(took);
    }
    let herd_s = begun.elapsed();

    progress("sessions are revoked");
    let addresses = [&*node.address, &*node.address];
    let mut revoked = Samples::new()?;
    for closed in revoke(addresses, &people, people.tokens.len() - 1).await? {
        let still_open =
            || LoadError::Unexpected("a revoked session's socket stays open".to_owned());
        revoked.add(closed.ok_or_else(still_open)?);
    }
    progress("members are removed");
    let removed = remove(&node.address, &people).await?;

    stayer.close().await;
    drop(client);
    node.stop().await?;
    let row = |name: &str, samples: &Samples| ResumeRow {
        name: name.to_owned(),
        rate: samples.rate(Duration::from_secs(1), 1),
    };
    Ok(Report {
        missed: MISSED,
        body_bytes: BODY_BYTES,
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        plain_select: plain.rate(Duration::from_secs(1), 1),
        resumed: vec![row("from memory", &memory), row("from Postgres", &database)],
        herd: HerdRow {
            clients: HERD,
            events_each: 4 * MISSED,
            all_ms: herd_s.as_secs_f64() * 1000.0,
            rate: herded.rate(herd_s, 1),
        },
        revoked: revoked.rate(Duration::from_secs(1), 1),
        removed: removed.rate(Duration::from_secs(1), 1),
    })
}

/// Publishes so many messages, many at a time.
async fn say(address: &str, token: &str, room: &str, count: u64) -> Result<(), LoadError> {
    const AT_ONCE: u64 = 200;
    let mut socket = Socket::connect(address, token).await?;
    let body = "x".repeat(BODY_BYTES);
    let (mut sent, mut acknowledged) = (0, 0);
    let run = Uuid::now_v7();
    while acknowledged < count {
        while sent < count && sent - acknowledged < AT_ONCE {
            sent += 1;
            let request = format!(
                r#"{{"id":{sent},"cmd":"publish","room":"{room}","body":"{body}","client_id":"{run}-{sent}"}}"#
            );
            socket.feed(request).await?;
        }
        socket.flush().await?;
        let answer = socket.read().await?;
        if !answer.contains(r#","ok":"#) {
            return Err(LoadError::Unexpected(answer));
        }
        acknowledged += 1;
    }
    socket.close().await;
    Ok(())
}

async fn head(client: &Client, room: &str) -> Result<u64, LoadError> {
    let id: Uuid = room
        .parse()
        .map_err(|_| LoadError::Unexpected(room.to_owned()))?;
    let sql = "SELECT last_seq FROM room_heads WHERE room_id = $1";
    let head: i64 = client.query_one(sql, &[&id]).await?.try_get(0)?;
    Ok(head.unsigned_abs())
}

/// What the database alone takes for the events that a client has missed.
async fn plain_select(
    client: &Client,
    room: &str,
    head: u64,
    rounds: u32,
) -> Result<Samples, LoadError> {
    let id: Uuid = room
        .parse()
        .map_err(|_| LoadError::Unexpected(room.to_owned()))?;
    let sql = "SELECT seq, kind, msg_no, id, user_id, data, created_at FROM room_events
               WHERE room_id = $1 AND seq > $2 ORDER BY seq LIMIT $3";
    let statement = client.prepare(sql).await?;
    let missed = i64::try_from(MISSED).unwrap_or(i64::MAX);
    let since = i64::try_from(head).unwrap_or(i64::MAX) - missed;
    let mut samples = Samples::new()?;
    for _ in 0..rounds {
        let begun = Instant::now();
        let rows = client.query(&statement, &[&id, &since, &missed]).await?;
        samples.add(begun.elapsed());
        if rows.len() as u64 != MISSED {
            return Err(LoadError::Unexpected(format!("{} rows", rows.len())));
        }
    }
    Ok(samples)
}

impl Scene<'_> {
    /// How long it takes from the request until everything after `since` has come.
    async fn resume(&self, since: u64) -> Result<Duration, LoadError> {
        self.read_from(since, self.head - since).await
    }

    /// How long it takes until the first of many missed events have come.
    async fn first_missed(&self, since: u64) -> Result<Duration, LoadError> {
        self.read_from(since, MISSED).await
    }

    async fn read_from(&self, since: u64, count: u64) -> Result<Duration, LoadError> {
        let mut socket = Socket::connect(self.address, self.token).await?;
        let begun = Instant::now();
        let fields = format!(r#""room":"{}","since":{since}"#, self.room);
        socket.join_with(&fields).await?;
        for seq in since + 1..=since + count {
            let push = socket.read().await?;
            if !push.contains(&format!(r#""seq":{seq},"#)) {
                return Err(LoadError::Unexpected(format!("wanted {seq}: {push}")));
            }
        }
        let took = begun.elapsed();
        // Not closed in an orderly way: the rest of a long replay would have to be read first.
        drop(socket);
        Ok(took)
    }
}

/// How long it takes from the request to one node that revokes a session until its socket on another,
/// or the same, is closed; so many times. Nothing where it is still open after [`REVOKED`].
pub(crate) async fn revoke(
    [asked, connected]: [&str; 2],
    people: &People,
    rounds: usize,
) -> Result<Vec<Option<Duration>>, LoadError> {
    let api = Api::new(asked);
    let mut times = Vec::new();
    // Person 0 made the room and is needed on.
    for n in 1..=rounds {
        let token = api.login(n).await?;
        let mut socket = Socket::connect(connected, &token).await?;
        socket.join(&people.rooms[0]).await?;
        let sessions = api.get("/api/auth/sessions", &token).await?;
        let current = sessions["sessions"]
            .as_array()
            .and_then(|all| all.iter().find(|it| it["current"] == true))
            .ok_or_else(|| LoadError::Unexpected(sessions.to_string()))?;
        let path = format!("/api/auth/sessions/{}", text(&current["id"])?);
        let begun = Instant::now();
        let revoking = api.delete(&path, &people.tokens[n]);
        let closing = async {
            while socket.next().await?.is_some() {}
            Ok::<_, LoadError>(begun.elapsed())
        };
        let closing = tokio::time::timeout(REVOKED, closing);
        let (revoked, closed) = tokio::join!(revoking, closing);
        revoked?;
        times.push(closed.ok().transpose()?);
    }
    Ok(times)
}

/// How long it takes from the request that removes a member until the socket is told.
async fn remove(address: &str, people: &People) -> Result<Samples, LoadError> {
    let api = Api::new(address);
    let room = &people.rooms[0];
    let mut samples = Samples::new()?;
    for token in &people.tokens[1..] {
        let me = api.get("/api/users/me", token).await?;
        let mut socket = Socket::connect(address, token).await?;
        socket.join(room).await?;
        let path = format!("/api/rooms/{room}/members/{}", text(&me["id"])?);
        let begun = Instant::now();
        let removing = api.delete(&path, &people.tokens[0]);
        let told = async {
            while !socket.read().await?.starts_with(r#"{"push":"removed""#) {}
            Ok::<_, LoadError>(begun.elapsed())
        };
        let (removed, told) = tokio::join!(removing, told);
        removed?;
        samples.add(told?);
        api.post(&format!("/api/rooms/{room}/join"), Some(token), &json!({}))
            .await?;
    }
    Ok(samples)
}
