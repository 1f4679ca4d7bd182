//! A private Redis, for servers that share one. It keeps nothing.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::cores::Cores;
use crate::error::LoadError;

const BINARY: &str = "redis-server";

/// A Redis that takes longer to answer has failed.
const START: Duration = Duration::from_secs(10);

/// Somebody else may take the port between its choice and the start.
const TRIES: u32 = 5;

/// A Redis that answers. It is killed when this is dropped.
pub(crate) struct Redis {
    port: u16,
    cores: Option<Cores>,
    child: Child,
    pid: Pid,
}

impl Redis {
    /// On a free port; on all processors if none are named.
    pub(crate) async fn start(cores: Option<&Cores>) -> Result<Self, LoadError> {
        let mut failed = None;
        for _ in 0..TRIES {
            let port = TcpListener::bind("127.0.0.1:0")
                .and_then(|listener| listener.local_addr())
                .map_err(LoadError::io("looking for a free port"))?
                .port();
            match Self::start_at(port, cores.cloned()).await {
                Ok(redis) => return Ok(redis),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(|| LoadError::Unexpected("no free port".to_owned())))
    }

    async fn start_at(port: u16, cores: Option<Cores>) -> Result<Self, LoadError> {
        let mut command = Command::new(BINARY);
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let spawned = match &cores {
            Some(cores) => cores.within(|| command.spawn())?,
            None => command.spawn(),
        };
        let mut child = spawned.map_err(LoadError::io(format!("starting {BINARY}")))?;
        let pid = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw)
            .ok_or_else(|| LoadError::Unexpected("a process without an id".to_owned()))?;
        let answers = async { while !answers(port).await {} };
        tokio::select! {
            answered = tokio::time::timeout(START, answers) => answered
                .map_err(|_| LoadError::Unexpected(format!("{BINARY} does not answer")))?,
            ended = child.wait() => {
                let status = ended.map_err(LoadError::io(format!("waiting for {BINARY}")))?;
                return Err(LoadError::Unexpected(format!("{BINARY} ends with {status}")));
            }
        }
        Ok(Self {
            port,
            cores,
            child,
            pid,
        })
    }

    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills it, and waits for its end.
    pub(crate) async fn kill(&mut self) -> Result<(), LoadError> {
        kill_process(self.pid, Signal::KILL)
            .map_err(|error| LoadError::io("killing Redis")(error.into()))?;
        self.child
            .wait()
            .await
            .map_err(LoadError::io("waiting for Redis's end"))?;
        Ok(())
    }

    /// Starts it again where it was.
    pub(crate) async fn start_again(&mut self) -> Result<(), LoadError> {
        *self = Self::start_at(self.port, self.cores.clone()).await?;
        Ok(())
    }
}

/// Whether a Redis answers there, after a moment if not.
async fn answers(port: u16) -> bool {
    const PAUSE: Duration = Duration::from_millis(5);
    let ping = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).await?;
        std::io::Result::Ok(answer == *b"+PONG\r\n")
    };
    let answered = tokio::time::timeout(Duration::from_secs(1), ping).await;
    if matches!(answered, Ok(Ok(true))) {
        return true;
    }
    tokio::time::sleep(PAUSE).await;
    false
}
