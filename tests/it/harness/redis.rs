//! A private Redis for a test: the real server, on a free port.

mod cluster;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo as _, TlsCertificates,
};
use rustix::process::Signal;

use super::process::Process;
use super::tls::Certificate;
use super::{DEADLINE, eventually, postgres, watchdog};

pub(crate) use cluster::RedisCluster;

/// Installed by `scripts/setup test`.
const SERVER: &str = "redis-server";

/// A server's folder, removed with the last owner.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = postgres::root().join(format!("r-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        watchdog::guard_folder(&folder);
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        Self(folder)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// How a server is started.
#[derive(Debug, Clone)]
pub(crate) struct RedisOptions {
    arguments: Vec<String>,
    password: Option<String>,
    certificate: Option<Certificate>,
    is_cluster: bool,
    folder: Arc<Folder>,
}

impl RedisOptions {
    pub(crate) fn new() -> Self {
        Self {
            arguments: Vec::new(),
            password: None,
            certificate: None,
            is_cluster: false,
            folder: Arc::new(Folder::new()),
        }
    }

    /// A setting as `redis.conf` has it.
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.arguments.push(format!("--{name}"));
        self.arguments.push(value.to_owned());
        self
    }

    /// Nobody gets in without it.
    pub(crate) fn with_password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self.set("requirepass", password)
    }

    /// TLS alone, with a certificate of its own.
    pub(crate) fn with_tls(mut self) -> Self {
        let certificate = Certificate::new();
        certificate.write(self.folder.path());
        self.certificate = Some(certificate);
        let file = |name| self.folder.path().join(name).display().to_string();
        let (cert, key) = (file("cert.pem"), file("key.pem"));
        self.set("tls-cert-file", &cert)
            .set("tls-key-file", &key)
            .set("tls-ca-cert-file", &cert)
            .set("tls-auth-clients", "no")
    }

    /// The same, certificates and all, for another server.
    pub(crate) fn in_another_folder(mut self) -> Self {
        self.folder = Arc::new(Folder::new());
        if let Some(certificate) = &self.certificate {
            // The settings name the first one's files, which are the same.
            certificate.write(self.folder.path());
        }
        self
    }

    fn in_cluster(mut self) -> Self {
        self.is_cluster = true;
        self.set("cluster-enabled", "yes")
            .set("cluster-node-timeout", "1500")
    }

    fn command(&self, port: u16, bus_port: u16) -> Command {
        let mut command = Command::new(SERVER);
        let (plain, tls) = if self.certificate.is_some() {
            (0, port)
        } else {
            (port, 0)
        };
        command
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--port", &plain.to_string()])
            .arg("--dir")
            .arg(self.folder.path())
            .args(&self.arguments)
            .current_dir(self.folder.path());
        if tls != 0 {
            command.args(["--tls-port", &tls.to_string()]);
        }
        if self.is_cluster {
            command.args(["--cluster-port", &bus_port.to_string()]);
        }
        command
    }
}

/// A server. Dropping it kills it.
pub(crate) struct Redis {
    pub(crate) port: u16,
    bus_port: u16,
    // Before the options, whose folder it works in: fields are dropped in their order.
    process: Process,
    options: RedisOptions,
}

impl Redis {
    /// Starts a plain one.
    pub(crate) async fn start() -> Self {
        Self::start_with(RedisOptions::new()).await
    }

    pub(crate) async fn start_with(options: RedisOptions) -> Self {
        // Somebody else may take the port in between.
        for _ in 0..20 {
            let (port, bus_port) = (free_port(), free_port());
            if let Some(process) = run(&options, port, bus_port).await {
                return Self {
                    port,
                    bus_port,
                    process,
                    options,
                };
            }
        }
        panic!("{SERVER} finds no free port");
    }

    /// Its address, as `REDIS_URL` wants it.
    pub(crate) fn url(&self) -> String {
        let scheme = match self.options.certificate {
            Some(_) => "rediss",
            None => "redis",
        };
        let password = self.options.password.as_deref();
        let credentials = password.map_or(String::new(), |password| format!(":{password}@"));
        format!("{scheme}://{credentials}127.0.0.1:{}", self.port)
    }

    /// The file of the certificate, for those who are to trust it.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.options.folder.path().join("cert.pem")
    }

    /// A connection of the test's own.
    pub(crate) async fn connect(&self) -> MultiplexedConnection {
        let info = self.url().into_connection_info().expect("an address");
        let client = match (&self.options.certificate, info.addr()) {
            (Some(certificate), ConnectionAddr::TcpTls { .. }) => Client::build_with_tls(
                info,
                TlsCertificates {
                    client_tls: None,
                    root_cert: Some(certificate.cert_pem.clone().into()),
                },
            ),
            _ => Client::open(info),
        };
        let client = client.expect("a client");
        // A slow machine is not the test's matter.
        let patient = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(DEADLINE))
            .set_response_timeout(Some(DEADLINE));
        let connection = client.get_multiplexed_async_connection_with_config(&patient);
        let connection = connection.await;
        connection.expect("it can be connected to")
    }

    /// Runs a command, of words separated by blanks.
    pub(crate) async fn run(&self, command: &str) -> redis::RedisResult<redis::Value> {
        let mut words = command.split(' ');
        let mut built = redis::cmd(words.next().expect("a command"));
        words.for_each(|word| {
            built.arg(word);
        });
        let mut connection = self.connect().await;
        connection
            .send_packed_command(&built)
            .await?
            .extract_error()
    }

    /// The channels of rooms that somebody has subscribed to; without those of presence, which each
    /// node has all the time.
    pub(crate) async fn channels(&self) -> Vec<String> {
        let kind = if self.options.is_cluster {
            "SHARDCHANNELS"
        } else {
            "CHANNELS"
        };
        let channels = self.run(&format!("PUBSUB {kind}")).await.expect("channels");
        let mut names: Vec<String> = redis::from_redis_value(channels).expect("names");
        names.retain(|name| !name.contains("room:00000000000080008"));
        names
    }

    /// Stops all its threads where they are.
    pub(crate) fn freeze(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Lets them go on.
    pub(crate) fn thaw(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Starts it again, on the same port, empty.
    pub(crate) async fn restart(&mut self) {
        self.process.kill9();
        let started = eventually("Redis starts again", async || {
            run(&self.options, self.port, self.bus_port).await
        });
        self.process = started.await;
    }
}

/// Starts a server and waits until it can be talked to; none if it ends instead.
async fn run(options: &RedisOptions, port: u16, bus_port: u16) -> Option<Process> {
    let mut process = Process::spawn("redis", &mut options.command(port, bus_port))
        .expect("redis-server can be run: scripts/setup test installs it");
    let log = process.log().clone();
    let ready = log.find(0, |line| {
        line.contains("Ready to accept connections").then_some(())
    });
    tokio::select! {
        ready = ready => {
            assert!(ready.is_some(), "redis-server is not ready:\n{}", log.text());
            Some(process)
        }
        _ = process.wait_within(DEADLINE * 2) => None,
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}
