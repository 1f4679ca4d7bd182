//! Getting a server that answers: by adopting the one that runs, or by starting one.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use super::account::{Account, command};
use super::binaries::Binaries;
use super::disk::with_free_space;
use super::error::{EmbeddedError, io_error};
use super::init::last_lines;
use super::place::SOCKET_FILE;
use super::postmaster::{PidFile, Process, signal};
use crate::store::statement::{Statement, statement};

const DATA_DIRECTORY: Statement = statement!("embedded/data_directory");
const ROLE_EXISTS: Statement = statement!("embedded/role_exists");
const CREATE_ROLE: Statement = statement!("embedded/create_role");
const DATABASE_EXISTS: Statement = statement!("embedded/database_exists");
const CREATE_DATABASE: Statement = statement!("embedded/create_database");

/// How often a starting server is asked. A refused connection costs some 50 µs.
const POLL: Duration = Duration::from_millis(4);

/// Limit of one question to a server that has accepted the connection.
const ANSWER: Duration = Duration::from_secs(2);

/// The log is put aside at a start when it has grown beyond this.
const LOG_MAX_BYTES: u64 = 8 << 20;

/// All that starting the server needs, again and again.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) binaries: Binaries,
    pub(super) account: Option<Account>,
    pub(super) cluster: PathBuf,
    /// The folder for its socket.
    pub(super) socket: PathBuf,
    pub(super) log: PathBuf,
    pub(super) limit: Duration,
    /// The server's process, 0 when there is none.
    pub(super) pid: AtomicI32,
}

/// A server that answers and has our database.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) process: Process,
    pub(super) adopted: bool,
}

impl Launch {
    /// The server's process, if there is one.
    pub(super) fn pid(&self) -> Option<i32> {
        Some(self.pid.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }

    /// Tells the server to shut down, and does not wait for that.
    pub(super) fn interrupt(&self) {
        if let Some(pid) = self.pid() {
            signal(pid, Signal::INT);
        }
    }

    /// Adopts the server that runs in the cluster's folder, or else starts one.
    pub(super) async fn run(&self) -> Result<Running, EmbeddedError> {
        let deadline = Instant::now() + self.limit;
        if let Some(running) = self.adopt(deadline).await? {
            return Ok(running);
        }
        loop {
            let log_from = fs::metadata(&self.log).map_or(0, |log| log.len());
            let mut process = self.spawn()?;
            match self.wait(&mut process, log_from, deadline).await {
                Ok(()) => {
                    return Ok(Running {
                        process,
                        adopted: false,
                    });
                }
                // Children of a server that was killed take a moment to notice.
                Err(EmbeddedError::Start { tail, .. })
                    if tail.contains("is still in use") && Instant::now() < deadline =>
                {
                    tracing::info!("processes of the killed Postgres are still ending");
                    sleep(POLL * 5).await;
                }
                Err(error) => {
                    if !matches!(error, EmbeddedError::Start { .. }) {
                        self.interrupt();
                    }
                    self.pid.store(0, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
    }

    async fn adopt(&self, deadline: Instant) -> Result<Option<Running>, EmbeddedError> {
        let Some(file) = PidFile::read(&self.cluster) else {
            return Ok(None);
        };
        while file.is_running() {
            let socket = &self.socket;
            match ask(socket).await {
                Answer::Ready => {
                    self.check_identity(socket).await?;
                    self.pid.store(file.pid, Ordering::Relaxed);
                    return Ok(Some(Running {
                        process: Process::Adopted(file.pid),
                        adopted: true,
                    }));
                }
                Answer::NoDatabase => set_up(socket).await?,
                Answer::Broken(error) => return Err(EmbeddedError::Setup(error)),
                // It starts or stops; in the latter case its process ends.
                Answer::None if Instant::now() < deadline => sleep(POLL).await,
                Answer::None => return Err(self.not_ready(0)),
            }
        }
        file.disown(&self.cluster);
        Ok(None)
    }

    /// Whether the server at `socket` is that of our cluster. A copied data folder names the
    /// socket of the original.
    async fn check_identity(&self, socket: &Path) -> Result<(), EmbeddedError> {
        let client = administer(socket).await?;
        let row = client.query_one(DATA_DIRECTORY.sql, &[]).await;
        let found: String = row
            .and_then(|row| row.try_get(0))
            .map_err(EmbeddedError::Setup)?;
        if Path::new(&found) == self.cluster {
            return Ok(());
        }
        Err(EmbeddedError::OtherServer {
            socket: socket.to_owned(),
            found,
            expected: self.cluster.clone(),
        })
    }

    fn spawn(&self) -> Result<Process, EmbeddedError> {
        let log = self.open_log()?;
        let copy = log.try_clone().map_err(io_error("open", &self.log))?;
        let program = self.binaries.program("postgres");
        let mut sockets = std::ffi::OsString::from("unix_socket_directories=");
        sockets.push(&self.socket);
        let child = command(self.account.as_ref(), &program)
            .arg("-D")
            .arg(&self.cluster)
            .args(["-c", "listen_addresses=", "-c", "port=5432"])
            .arg("-c")
            .arg(sockets)
            .args(["-c", "unix_socket_permissions=0700"])
            .args([
                "-c",
                "logging_collector=off",
                "-c",
                "log_destination=stderr",
            ])
            .stdout(copy)
            .stderr(log)
            .spawn()
            .map_err(io_error("run", &program))?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.unwrap_or_default();
        self.pid.store(pid, Ordering::Relaxed);
        Ok(Process::Child(Box::new(child), pid))
    }

    fn open_log(&self) -> Result<File, EmbeddedError> {
        if fs::metadata(&self.log).is_ok_and(|log| log.len() > LOG_MAX_BYTES) {
            let old = self.log.with_extension("log.1");
            fs::rename(&self.log, &old).map_err(io_error("rename", &self.log))?;
        }
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.log)
            .map_err(io_error("open", &self.log))
    }

    /// Waits until a server that was just started answers.
    async fn wait(
        &self,
        process: &mut Process,
        log_from: u64,
        deadline: Instant,
    ) -> Result<(), EmbeddedError> {
        loop {
            tokio::select! {
                biased;
                status = process.ended() => {
                    return Err(EmbeddedError::Start {
                        status,
                        log: self.log.clone(),
                        tail: self.log_since(log_from),
                    });
                }
                answer = ask(&self.socket) => match answer {
                    Answer::Ready => return Ok(()),
                    Answer::NoDatabase => set_up(&self.socket).await?,
                    Answer::Broken(error) => return Err(EmbeddedError::Setup(error)),
                    Answer::None if Instant::now() < deadline => sleep(POLL).await,
                    Answer::None => return Err(self.not_ready(log_from)),
                },
            }
        }
    }

    fn not_ready(&self, log_from: u64) -> EmbeddedError {
        EmbeddedError::NotReady {
            limit_ms: u64::try_from(self.limit.as_millis()).unwrap_or(u64::MAX),
            log: self.log.clone(),
            tail: self.log_since(log_from),
        }
    }

    fn log_since(&self, from: u64) -> String {
        let mut text = Vec::new();
        let read = File::open(&self.log).and_then(|mut log| {
            log.seek(SeekFrom::Start(from))?;
            log.take(LOG_MAX_BYTES).read_to_end(&mut text)
        });
        let tail = match read {
            Ok(_) => last_lines(&String::from_utf8_lossy(&text)),
            Err(error) => error.to_string(),
        };
        with_free_space(tail, &self.cluster)
    }
}

/// What a server says to a connection to our database.
enum Answer {
    Ready,
    /// It has no role or database `hubbub` yet.
    NoDatabase,
    /// Nothing, or not yet, or no more.
    None,
    Broken(tokio_postgres::Error),
}

async fn ask(socket: &Path) -> Answer {
    // Asking the file system is cheaper than asking for a connection.
    if !socket.join(SOCKET_FILE).exists() {
        return Answer::None;
    }
    let asked = timeout(ANSWER, config(socket, "hubbub", "hubbub").connect(NoTls)).await;
    let Ok(Err(error)) = asked else {
        return asked.map_or(Answer::None, |_| Answer::Ready);
    };
    match error.code() {
        Some(code)
            if *code == SqlState::INVALID_CATALOG_NAME
                || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION =>
        {
            Answer::NoDatabase
        }
        Some(code)
            if *code != SqlState::CANNOT_CONNECT_NOW && *code != SqlState::TOO_MANY_CONNECTIONS =>
        {
            Answer::Broken(error)
        }
        _ => Answer::None,
    }
}

/// Creates the role and the database. The node is no superuser in its own database: a mistake in
/// a statement then cannot read files or run programs.
async fn set_up(socket: &Path) -> Result<(), EmbeddedError> {
    let client = administer(socket).await?;
    for (exists, create) in [
        (ROLE_EXISTS, CREATE_ROLE),
        (DATABASE_EXISTS, CREATE_DATABASE),
    ] {
        let row = client.query_opt(exists.sql, &[]).await;
        if row.map_err(EmbeddedError::Setup)?.is_none() {
            let created = client.batch_execute(create.sql).await;
            created.map_err(EmbeddedError::Setup)?;
        }
    }
    Ok(())
}

async fn administer(socket: &Path) -> Result<Client, EmbeddedError> {
    let connected = config(socket, "postgres", "postgres").connect(NoTls).await;
    let (client, connection) = connected.map_err(EmbeddedError::Setup)?;
    // Ends with its client.
    tokio::spawn(connection);
    Ok(client)
}

fn config(socket: &Path, user: &str, database: &str) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config
        .host_path(socket)
        .user(user)
        .dbname(database)
        .application_name("hubbub start")
        .connect_timeout(ANSWER);
    config
}
