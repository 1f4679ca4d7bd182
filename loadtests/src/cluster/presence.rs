//! How soon those who were on a killed node are gone from presence on the other.

use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use super::times::Times;
use crate::error::LoadError;
use crate::nodes::{Nodes, NodesOptions};
use crate::people::People;
use crate::socket::Socket;

/// How many people are on the node that is killed.
const PEOPLE: usize = 20;

/// They may take this long to be seen, and to be gone.
const SEEN: Duration = Duration::from_secs(5);
const GONE: Duration = Duration::from_secs(30);

/// Between two looks.
const STEP: Duration = Duration::from_millis(20);

/// What came of all rounds.
#[derive(Debug, Serialize)]
pub(crate) struct Vanished {
    /// From a node's death until its people were gone from presence on the other.
    pub(crate) gone: Times,
    /// Rounds in which they were never seen there, and so could not go.
    pub(crate) not_seen: u32,
}

/// Kills the second node so many times, and starts it again.
pub(super) async fn measure(
    nodes: &mut Nodes,
    options: &NodesOptions<'_>,
    people: &People,
    rounds: u16,
) -> Result<Vanished, LoadError> {
    let mut vanished = Vanished {
        gone: Times::within(GONE),
        not_seen: 0,
    };
    let room = &people.rooms[0];
    // Somebody who is in the room on the first node all the time.
    let (watching, others) = people.tokens.split_at(1);
    let mut watcher = Socket::connect(&nodes.first.address, &watching[0]).await?;
    watcher.join(room).await?;
    for _ in 0..rounds {
        let Some(second) = nodes.second.take() else {
            return Err(LoadError::Unexpected("no second node".to_owned()));
        };
        let mut sockets = Vec::new();
        let mut here = 1;
        for token in others.iter().take(PEOPLE) {
            let mut socket = Socket::connect(&second.address, token).await?;
            socket.join(room).await?;
            sockets.push(socket);
            here += 1;
        }
        let seen = until(&mut watcher, room, here, SEEN).await?;
        let killed = Instant::now();
        second.kill().await?;
        if seen.is_some() {
            let gone = until(&mut watcher, room, 1, GONE).await?;
            let took = gone.map(|gone| gone.saturating_duration_since(killed));
            vanished.gone.add(took);
        } else {
            vanished.not_seen += 1;
        }
        drop(sockets);
        nodes.start_second(options).await?;
    }
    watcher.close().await;
    Ok(vanished)
}

/// Waits until so many are present; says when, if they are in time.
async fn until(
    watcher: &mut Socket,
    room: &str,
    wanted: u64,
    limit: Duration,
) -> Result<Option<Instant>, LoadError> {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        let reply = watcher
            .ask("presence", &format!(r#""room":"{room}""#))
            .await?;
        let reply: Value = serde_json::from_str(&reply)
            .map_err(|error| LoadError::Unexpected(error.to_string()))?;
        if reply["ok"]["count"] == wanted {
            return Ok(Some(Instant::now()));
        }
        tokio::time::sleep(STEP).await;
    }
    Ok(None)
}
