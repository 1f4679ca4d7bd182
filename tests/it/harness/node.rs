//! A node: the real binary, on a free port.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, getrlimit, prlimit};

use super::log::ProcessLog;
use super::process::Process;
use super::rest::{http, send};
use super::tls::{self, Certificate, Relay};
use super::{DEADLINE, postgres, watchdog};

/// A folder for a node's data. It is removed, with the Postgres that runs in it, when the last
/// owner goes.
#[derive(Debug)]
pub(crate) struct DataFolder(PathBuf);

impl DataFolder {
    pub(crate) fn new() -> Arc<Self> {
        Self::called("n")
    }

    /// In the name of its path is this.
    pub(crate) fn called(name: &str) -> Arc<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = postgres::root().join(format!("{name}-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        watchdog::guard_folder(&folder);
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        Arc::new(Self(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Kills the Postgres that a node runs here, all of its processes, with SIGKILL.
    pub(crate) async fn kill9_postgres(&self) {
        postgres::kill9_in(&self.0).await;
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        postgres::stop_in(&self.0);
        // What Postgres still writes while it ends is left to the watchdog.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The library that shifts a process's clock, of the package `faketime` (`scripts/setup test`).
fn clock_library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").expect("a folder of libraries");
    let mut candidates = folders
        .flatten()
        .map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"));
    let found = candidates.find(|path| path.exists());
    found.expect("libfaketime is installed: run scripts/setup test")
}

/// How a node is started: the settings of a test, then whatever the test sets.
#[derive(Clone, Debug)]
pub(crate) struct NodeOptions {
    environment: Vec<(String, String)>,
    certificate: Option<Certificate>,
    /// The soft and the hard limit of open files.
    open_files: Option<(u32, u32)>,
    folder: Arc<DataFolder>,
}

impl NodeOptions {
    /// On a database that is there.
    pub(crate) fn on(database_url: &str) -> Self {
        Self::embedded()
            .set("DATABASE_URL", database_url)
            .set("HUBBUB__DATABASE__REQUIRE_FSYNC", "false")
    }

    /// With a Postgres of its own, in a fresh folder: what a newcomer gets.
    pub(crate) fn embedded() -> Self {
        let options = Self {
            environment: Vec::new(),
            certificate: None,
            open_files: None,
            folder: DataFolder::new(),
        };
        let options = if tls::is_wanted() {
            options.with_tls()
        } else {
            options
        };
        options
            .set("HUBBUB__HTTP__BIND", "127.0.0.1:0")
            .set("HUBBUB__LIMITS__EXEMPT", "127.0.0.0/8")
            // A password costs little here: the tests make many users.
            .set("HUBBUB__AUTH__ARGON2_MEMORY_KIB", "64")
            .set("HUBBUB__AUTH__ARGON2_ITERATIONS", "1")
            // Many nodes run at once on one Postgres.
            .set("HUBBUB__DATABASE__POOL_MIN", "1")
            .set("HUBBUB__DATABASE__POOL_MAX", "10")
            .set("HUBBUB__HTTP__WORKERS", "2")
    }

    /// By TLS, with a certificate of its own. The node's address is then that of a relay, by which
    /// every client gets to it.
    pub(crate) fn with_tls(mut self) -> Self {
        let certificate = Certificate::new();
        certificate.write(self.folder.path());
        self.certificate = Some(certificate);
        let file = |name| self.folder.path().join(name).display().to_string();
        let (cert, key) = (file("cert.pem"), file("key.pem"));
        self.set("HUBBUB__HTTP__TLS_CERT", &cert)
            .set("HUBBUB__HTTP__TLS_KEY", &key)
    }

    /// With a clock that is off by so many seconds, such as `+3600`; what the node measures by the time
    /// since its start is right.
    pub(crate) fn with_clock_off_by(self, seconds: &str) -> Self {
        let library = clock_library();
        self.set("LD_PRELOAD", library.to_str().expect("ASCII"))
            .set("FAKETIME", seconds)
            .set("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    }

    /// With these limits of open files, the soft one and the hard one.
    pub(crate) fn open_files(mut self, soft: u32, hard: u32) -> Self {
        self.open_files = Some((soft, hard));
        self
    }

    /// Sets a variable of the node's environment.
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(other, _)| other != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The folder of its data.
    pub(crate) fn folder(&self) -> &Arc<DataFolder> {
        &self.folder
    }

    /// In a folder that another node has, or had.
    pub(crate) fn in_folder(mut self, folder: &Arc<DataFolder>) -> Self {
        self.folder = Arc::clone(folder);
        self
    }

    /// The command that starts the binary with these settings and nothing of ours.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        const BINARY: &str = env!("CARGO_BIN_EXE_hubbub");
        let mut command = match self.open_files {
            None => Command::new(BINARY),
            Some((soft, hard)) => {
                let mut command = Command::new("sh");
                let script = format!("ulimit -Sn {soft}; ulimit -Hn {hard}; exec {BINARY} \"$@\"");
                command.args(["-c", &script, "sh"]);
                command
            }
        };
        command.args(arguments).env_clear();
        for name in ["PATH", "HOME", "TMPDIR", "RUST_LOG"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .env("NO_COLOR", "1")
            .env("RUST_BACKTRACE", "1")
            .env("HUBBUB__DATA_DIR", self.folder.path())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path());
        command
    }
}

/// A start that failed.
#[derive(Debug)]
pub(crate) struct StartFailed {
    pub(crate) status: ExitStatus,
    pub(crate) log: String,
}

/// A node that listens. Dropping it kills it; its log is printed if the test is failing.
pub(crate) struct Node {
    /// `127.0.0.1:<port>`, where it can be talked to without TLS.
    pub(crate) address: String,
    /// Where it listens.
    pub(crate) own_address: String,
    _relay: Option<Relay>,
    // Before the options, whose folder it lives in: fields are dropped in their order.
    process: Process,
    options: NodeOptions,
}

impl Node {
    /// Starts a node and waits until it listens.
    pub(crate) async fn start(options: NodeOptions) -> Self {
        match Self::try_start(options).await {
            Ok(node) => node,
            Err(failed) => panic!("the node ended with {}:\n{}", failed.status, failed.log),
        }
    }

    /// A node on a fresh database of the shared Postgres.
    pub(crate) async fn on_fresh_database() -> (Self, postgres::TestDatabase) {
        let database = postgres::database().await;
        (Self::start(NodeOptions::on(&database.url)).await, database)
    }

    /// The same with these settings.
    pub(crate) async fn on_fresh_database_with(
        settings: &[(&str, &str)],
    ) -> (Self, postgres::TestDatabase) {
        let database = postgres::database().await;
        let options = settings
            .iter()
            .fold(NodeOptions::on(&database.url), |options, (name, value)| {
                options.set(name, value)
            });
        (Self::start(options).await, database)
    }

    /// Starts a node; gives its log and exit status if it ends instead of listening.
    pub(crate) async fn try_start(options: NodeOptions) -> Result<Self, StartFailed> {
        let mut process = Process::spawn("node", &mut options.command(&["serve"]))
            .expect("the binary can be run");
        let log = process.log().clone();
        let listening = log.find(0, |line| {
            let (_, after) = line.split_once("listening")?;
            let (_, address) = after.split_once("://")?;
            let end = address
                .find(|c: char| !(c.is_ascii_alphanumeric() || ".:[]".contains(c)))
                .unwrap_or(address.len());
            Some(address[..end].to_owned())
        });
        let status = tokio::select! {
            address = listening => return match address {
                Some(address) => Ok(Self::listening(address, process, options)),
                None => panic!("the node does not listen:\n{}", log.text()),
            },
            status = process.wait_within(DEADLINE * 2) => status,
        };
        log.complete().await;
        Err(StartFailed {
            status: status.expect("one of the two happens"),
            log: log.text(),
        })
    }

    fn listening(address: String, process: Process, options: NodeOptions) -> Self {
        let certificate = options.certificate.as_ref();
        let relay = certificate.map(|certificate| Relay::to(&address, certificate));
        Self {
            address: relay.as_ref().map_or(&address, |it| &it.address).clone(),
            own_address: address,
            _relay: relay,
            process,
            options,
        }
    }

    /// Whether it speaks TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.options.certificate.is_some()
    }

    /// The certificate that it shows, if it speaks TLS.
    pub(crate) fn certificate(&self) -> &Certificate {
        let certificate = self.options.certificate.as_ref();
        certificate.expect("the node speaks TLS")
    }

    /// Has it read its certificate again.
    pub(crate) fn hang_up(&self) {
        self.process.signal(Signal::HUP);
    }

    /// Starts it again, with the same settings and data, on another port.
    pub(crate) async fn restart(&mut self) {
        assert!(self.process.try_wait().is_some(), "it still runs");
        *self = Self::start(self.options.clone()).await;
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Sends SIGTERM, as a deploy does.
    pub(crate) fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    /// Stops all its threads where they are.
    pub(crate) fn freeze(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Lets them go on.
    pub(crate) fn thaw(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Waits for its end.
    pub(crate) async fn wait_exit(&mut self) -> ExitStatus {
        let status = self.process.wait_within(DEADLINE).await;
        status.expect("the node ends")
    }

    /// Whether it has ended; none if it still runs after this time.
    pub(crate) async fn wait_exit_within(&mut self, within: Duration) -> Option<ExitStatus> {
        self.process.wait_within(within).await
    }

    pub(crate) fn log(&self) -> &ProcessLog {
        self.process.log()
    }

    /// The folder of its data.
    pub(crate) fn folder(&self) -> &Arc<DataFolder> {
        &self.options.folder
    }

    /// Breaks it from within: gives a place of `src/fault.rs` its action.
    pub(crate) async fn fault(&self, point: &str, actions: &str) {
        let request = reqwest::Client::new().put(self.url(&format!("/_fault/{point}")));
        let answer = request.body(actions.to_owned()).send().await;
        let answer = answer.expect("the node answers");
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// How much memory it holds, bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process.pid().as_raw_nonzero());
        let status = std::fs::read_to_string(path).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        1024 * kib.and_then(|kib| kib.parse::<u64>().ok()).expect("VmRSS")
    }

    /// The processor time that it has used.
    pub(crate) fn cpu_time(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.process.pid().as_raw_nonzero());
        let stat = std::fs::read_to_string(path).expect("it runs");
        // What follows the name begins with the state, the third field.
        let (_, fields) = stat.rsplit_once(')').expect("a name");
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks = |place: usize| fields[place - 3].parse::<u64>().expect("a number");
        // Fields 14 and 15: in user mode and in the kernel, in hundredths of a second.
        Duration::from_millis(10 * (ticks(14) + ticks(15)))
    }

    /// Lets it have no more open files than it has, or as many again.
    pub(crate) fn limit_open_files(&self, limit: Option<u64>) {
        let pid = Some(self.process.pid());
        let before = prlimit(pid, Resource::Nofile, getrlimit(Resource::Nofile));
        let before = before.expect("the limit is set");
        let current = limit.or(before.maximum);
        let limits = Rlimit { current, ..before };
        prlimit(pid, Resource::Nofile, limits).expect("the limit is set");
    }

    /// How many files and sockets it has open.
    pub(crate) fn open_files(&self) -> usize {
        let path = format!("/proc/{}/fd", self.process.pid().as_raw_nonzero());
        std::fs::read_dir(path).expect("it runs").count()
    }

    /// The value of a metric that counts, with its labels as they stand on the page: 0 if it is not there yet.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let page = send(http().get(self.url("/metrics"))).await.text;
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().expect("a whole number"))
    }

    /// An address of its HTTP side.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}
