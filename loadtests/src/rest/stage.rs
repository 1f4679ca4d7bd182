//! The servers of one measurement, all on the same processors and alive all the time: a node with its
//! Postgres, Express with a Redis in front of the same Postgres, and a bare handler with the node's
//! answer. Whoever is not asked does nothing.

use std::path::Path;

use reqwest::header::{HeaderMap, IF_NONE_MATCH};
use rustix::process::Pid;
use serde::Serialize;
use serde_json::json;

use super::fill::{self, Rooms, room_id};
use crate::cores::Cores;
use crate::error::LoadError;
use crate::nodes::{Nodes, NodesOptions};
use crate::people::People;
use crate::postgres;
use crate::redis::Redis;
use crate::server::peer::{self, Peer};

/// People who read. The sessions of all are known after a moment.
const PEOPLE: usize = 20;

/// Headers that every server says by itself.
const OWN: [&str; 3] = ["content-length", "date", "connection"];

/// A server that is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Who {
    /// actix-web with the node's answer, and nothing else: the ceiling
    Bare,
    /// Express, with copies in Redis in front of Postgres
    Express,
    /// A node
    Hubbub,
}

impl Who {
    /// In the order of the first round, and of the page.
    pub(super) const ALL: [Self; 3] = [Self::Bare, Self::Express, Self::Hubbub];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare handler",
            Self::Express => "Express",
            Self::Hubbub => "Hubbub",
        }
    }
}

/// How the servers are started.
pub(super) struct StageOptions<'a> {
    pub(super) nodes: NodesOptions<'a>,
    /// Where Node's packages and their servers are.
    pub(super) peers: &'a Path,
    pub(super) cores: &'a Cores,
    pub(super) rooms: Rooms,
    /// Messages of a page.
    pub(super) limit: u32,
    pub(super) body_bytes: usize,
}

/// What a server answers when the newest page of the hot room is asked for.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) etag: String,
    pub(super) body: String,
}

/// A server that listens.
pub(super) struct Listening {
    pub(super) who: Who,
    pub(super) address: String,
    pub(super) pid: Pid,
    pub(super) known: Known,
}

/// All of them; they end when this is dropped, in the order of the fields.
pub(super) struct Stage {
    pub(super) servers: Vec<Listening>,
    /// What is missing, and why.
    pub(super) missing: Vec<String>,
    pub(super) tokens: Vec<String>,
    pub(super) hot: String,
    pub(super) fill_s: f64,
    peers: Vec<Peer>,
    pub(super) redis: Option<Redis>,
    pub(super) nodes: Nodes,
}

impl Stage {
    pub(super) async fn start(options: &StageOptions<'_>) -> Result<Self, LoadError> {
        let nodes = Nodes::start(&options.nodes).await?;
        let people = People::gather(&nodes.first.address, PEOPLE, 1).await?;
        let NodesOptions { role, database, .. } = options.nodes;
        let url = nodes.postgres.url(role, database);
        eprintln!(
            "… {} rooms with {} messages each",
            options.rooms.count(),
            options.rooms.messages
        );
        let begun = std::time::Instant::now();
        let mut client = postgres::connect(&url).await?;
        fill::fill(&mut client, options.rooms, options.body_bytes).await?;
        let (room, limit) = (room_id(options.rooms.hot()), options.limit);
        let mut stage = Self {
            servers: Vec::new(),
            missing: Vec::new(),
            tokens: people.tokens,
            hot: format!("/api/rooms/{room}/messages?limit={limit}"),
            fill_s: begun.elapsed().as_secs_f64(),
            peers: Vec::new(),
            redis: None,
            nodes,
        };
        stage.add_node().await?;
        if let Err(error) = stage.add_bare(options).await {
            stage.miss(Who::Bare, &error);
        }
        if let Err(error) = stage.add_express(options, &url).await {
            stage.miss(Who::Express, &error);
        }
        stage.servers.sort_by_key(|server| server.who as u8);
        Ok(stage)
    }

    fn miss(&mut self, who: Who, error: &LoadError) {
        let what = format!("{}: {}", who.name(), error.with_causes());
        self.missing.push(what);
    }

    async fn add_node(&mut self) -> Result<(), LoadError> {
        let address = self.nodes.first.address.clone();
        let pid = self.nodes.first.pid();
        self.add(Who::Hubbub, address, pid).await
    }

    async fn add_bare(&mut self, options: &StageOptions<'_>) -> Result<(), LoadError> {
        let mut command = peer::built(Who::Bare.name(), "rest-bare")?;
        let node = self.server(Who::Hubbub)?;
        let (address, etag) = (node.address.clone(), node.known.etag.clone());
        let (headers, body) = self.get(&address, None).await?;
        let (not_modified, _) = self.get(&address, Some(&etag)).await?;
        let answer = json!({
            "headers": told(&headers), "not_modified": told(&not_modified),
            "etag": etag, "body": body,
        });
        let file = self.nodes.folder().join("answer.json");
        std::fs::write(&file, answer.to_string())
            .map_err(LoadError::io(format!("writing {}", file.display())))?;
        command
            .arg("--answer")
            .arg(&file)
            .args(["--threads", &options.cores.count.to_string()]);
        let bare = Peer::launch(Who::Bare.name(), command, options.cores).await?;
        self.add_peer(Who::Bare, bare).await
    }

    async fn add_express(
        &mut self,
        options: &StageOptions<'_>,
        postgres: &str,
    ) -> Result<(), LoadError> {
        let mut command = peer::of_node(Who::Express.name(), options.peers, "rest-express")?;
        let redis = Redis::start(Some(options.cores)).await?;
        command.args(["--redis", &redis.url(), "--postgres", postgres]);
        self.redis = Some(redis);
        let express = Peer::launch(Who::Express.name(), command, options.cores).await?;
        self.add_peer(Who::Express, express).await
    }

    async fn add_peer(&mut self, who: Who, peer: Peer) -> Result<(), LoadError> {
        let process = peer.process.clone();
        self.peers.push(peer);
        self.add(who, process.address, process.pid).await
    }

    async fn add(&mut self, who: Who, address: String, pid: Pid) -> Result<(), LoadError> {
        // The first answer fills the cache.
        self.get(&address, None).await?;
        let (headers, body) = self.get(&address, None).await?;
        let etag = headers.get("etag").and_then(|tag| tag.to_str().ok());
        let etag =
            etag.ok_or_else(|| LoadError::Unexpected("an answer without ETag".to_owned()))?;
        let known = Known {
            etag: etag.to_owned(),
            body,
        };
        self.servers.push(Listening {
            who,
            address,
            pid,
            known,
        });
        Ok(())
    }

    /// The hot page, or 304 for whoever has it.
    async fn get(
        &self,
        address: &str,
        etag: Option<&str>,
    ) -> Result<(HeaderMap, String), LoadError> {
        let request = reqwest::Client::new().get(format!("http://{address}{}", self.hot));
        let mut request = request.bearer_auth(&self.tokens[0]);
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let answer = request.send().await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.text().await?;
        if status != if etag.is_some() { 304 } else { 200 } {
            return Err(LoadError::Unexpected(format!(
                "{}: {status}: {body}",
                self.hot
            )));
        }
        Ok((headers, body))
    }

    pub(super) fn server(&self, who: Who) -> Result<&Listening, LoadError> {
        let server = self.servers.iter().find(|server| server.who == who);
        server.ok_or_else(|| LoadError::Unexpected(format!("{} is not there", who.name())))
    }

    /// Ends all, the node in an orderly way.
    pub(super) async fn end(self) -> Result<(), LoadError> {
        for peer in self.peers {
            peer.end().await?;
        }
        self.nodes.stop().await
    }
}

/// What a node tells and another server does not tell by itself.
fn told(headers: &HeaderMap) -> Vec<(String, String)> {
    let told = headers
        .iter()
        .filter(|(name, _)| !OWN.contains(&name.as_str()));
    told.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect()
}
