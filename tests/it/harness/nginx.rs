//! nginx with the repository's `nginx.conf`, before nodes of a test.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::Arc;

use hubbub::dev::proxy::{Settings, configuration};
use rand::RngExt as _;
use rustix::process::{Signal, kill_process_group};
use tokio::net::TcpStream;

use super::eventually;
use super::node::DataFolder;
use super::process::Process;

/// Ports that the kernel gives to nobody who does not ask for one: what had one can have it again.
const PORTS: std::ops::Range<u16> = 10_000..30_000;

/// It. Dropping it kills it with its workers.
pub(crate) struct Nginx {
    /// `127.0.0.1:<port>`.
    pub(crate) address: String,
    process: Process,
    folder: Arc<DataFolder>,
}

impl Nginx {
    /// Starts it before nodes at these addresses, which need not listen yet, and waits until it listens.
    pub(crate) async fn before(nodes: Vec<SocketAddr>) -> Self {
        Self::with(nodes, |configuration| configuration).await
    }

    /// The same, but that every request goes to whatever node, whoever has its session.
    pub(crate) async fn without_affinity(nodes: Vec<SocketAddr>) -> Self {
        const AFFINITY: &str = "proxy_pass http://$node_of_session;";
        let change = |configuration: String| {
            assert!(configuration.contains(AFFINITY), "{configuration}");
            configuration
                .replace(AFFINITY, "proxy_pass http://requests;")
                // One after the other: the same for each would be affinity, too.
                .replace("least_conn;", "")
        };
        Self::with(nodes, change).await
    }

    async fn with(nodes: Vec<SocketAddr>, change: impl FnOnce(String) -> String) -> Self {
        let folder = DataFolder::new();
        let listen = SocketAddr::from(([127, 0, 0, 1], kept_port()));
        let settings = Settings {
            listen,
            nodes,
            folder: folder.path().to_owned(),
        };
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, change(configuration(&settings))).expect("a file can be written");
        let nginx = Self {
            address: listen.to_string(),
            process: spawn(&folder),
            folder,
        };
        nginx.listens().await;
        nginx
    }

    /// Kills it and starts it again, on the same port.
    pub(crate) async fn restart(&mut self) {
        self.kill9();
        self.process = spawn(&self.folder);
        self.listens().await;
    }

    /// Kills it and its workers.
    pub(crate) fn kill9(&mut self) {
        let _ = kill_process_group(self.process.pid(), Signal::KILL);
        self.process.kill9();
    }

    async fn listens(&self) {
        eventually("nginx listens", async || {
            TcpStream::connect(&self.address).await.ok()
        })
        .await;
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.kill9();
    }
}

fn spawn(folder: &DataFolder) -> Process {
    let mut command = Command::new("nginx");
    command
        .env("PATH", "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        .arg("-p")
        .arg(folder.path())
        .arg("-c")
        .arg(folder.path().join("nginx.conf"))
        .args(["-e", "stderr", "-g", "daemon off;"]);
    Process::spawn("nginx", &mut command).expect("nginx can be run")
}

/// A port that is free, and that a process which is started again gets again.
pub(crate) fn kept_port() -> u16 {
    for _ in 0..1000 {
        let port = rand::rng().random_range(PORTS);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}
