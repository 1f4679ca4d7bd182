//! A cluster on this machine, for trying things out and for tests: a private Postgres, a private
//! Redis, some nodes, and nginx before them. What dies is started again; SIGHUP restarts the nodes one
//! after the other, as a deploy does.
//!
//! Pure: [`pace`] (when to start again), [`proxy`] (the proxy's configuration).

mod child;
mod combined_log;
mod error;
mod leftovers;
mod pace;
mod programs;
mod proxy;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use actix_rt::System;
use actix_rt::signal::unix::{Signal, SignalKind, signal};
use tokio::net::TcpStream;
use tokio::process::Command;

use self::child::{Child, Ending};
use self::combined_log::CombinedLog;
pub use self::error::DevError;
use self::leftovers::Leftovers;
use crate::config::Config;
use crate::store::embedded::Cluster;

/// A node may take this long to be ready, its first start of all included.
const READY: Duration = Duration::from_secs(60);

/// A node that was told to stop is killed after this. Its own grace time is 20 s.
const NODE_GRACE: Duration = Duration::from_secs(30);

/// The same for nginx and Redis, which have nothing to finish.
const GRACE: Duration = Duration::from_secs(5);

/// How often it is looked whether nginx listens.
const LOOK: Duration = Duration::from_millis(20);

/// What cluster to run.
#[derive(Debug, Clone)]
pub struct DevOptions {
    /// How many nodes.
    pub nodes: u16,
    /// Where nginx listens. Port 0 takes a free one.
    pub bind: SocketAddr,
    /// The folder for everything.
    pub data_dir: PathBuf,
    /// The nodes' file of settings.
    pub config_file: Option<PathBuf>,
}

/// Runs the cluster until SIGINT or SIGTERM; then everything is stopped in order. A second signal
/// kills what is left.
pub fn run(config: &Config, options: &DevOptions) -> Result<(), DevError> {
    System::new().block_on(async {
        let mut signals = Signals::new()?;
        let log = CombinedLog::default();
        let programs = programs::find()?;
        let made =
            |folder: &Path| std::fs::create_dir_all(folder).map_err(DevError::folder(folder));
        made(&options.data_dir)?;
        let data_dir =
            std::path::absolute(&options.data_dir).map_err(DevError::folder(&options.data_dir))?;

        log.say("starting Postgres");
        let cluster = Cluster::start(&config.database, &data_dir).await?;
        // Only who has the folder's lock, by its Postgres, may end what was left there.
        let leftovers = Leftovers::new(&data_dir);
        leftovers.end().await;
        let started = start(
            &programs,
            options,
            &data_dir,
            cluster.url(),
            &log,
            &leftovers,
        );
        let outcome = match started {
            Ok(mut parts) => {
                let watched = watch(&mut parts, &mut signals, &log).await;
                stop(parts, &mut signals, &log).await;
                watched
            }
            Err(error) => Err(error),
        };
        leftovers.forget();
        log.say("stopping Postgres");
        cluster.stop().await?;
        outcome
    })
}

/// What was started.
struct Parts {
    redis: Child,
    nodes: Vec<Child>,
    nginx: Child,
    address: SocketAddr,
}

fn start(
    programs: &programs::Programs,
    options: &DevOptions,
    data_dir: &Path,
    database_url: &str,
    log: &CombinedLog,
    leftovers: &Leftovers,
) -> Result<Parts, DevError> {
    let folder = |name: &str| {
        let folder = data_dir.join(name);
        std::fs::create_dir_all(&folder).map_err(DevError::folder(&folder))?;
        Ok::<_, DevError>(folder)
    };
    let address = match options.bind.port() {
        0 => SocketAddr::new(options.bind.ip(), free_port()?),
        _ => options.bind,
    };

    let redis_port = free_port()?;
    let password = uuid::Uuid::new_v4().simple().to_string();
    let redis_folder = folder("redis")?;
    let redis_config = redis_folder.join("redis.conf");
    write_private(
        &redis_config,
        &format!(
            "bind 127.0.0.1\nport {redis_port}\nrequirepass {password}\ndir {}\n\
             save \"\"\nappendonly no\ndaemonize no\n",
            quoted(&redis_folder)
        ),
    )?;
    let mut redis = Command::new(&programs.redis);
    redis.arg(&redis_config);
    let redis = Child::start("redis", redis, log, leftovers);

    let ports: Vec<u16> = (0..options.nodes)
        .map(|_| free_port())
        .collect::<Result<_, _>>()?;
    let binary = std::env::current_exe().map_err(DevError::Binary)?;
    let mut nodes = Vec::new();
    for (number, port) in (1..).zip(&ports) {
        let name = format!("node-{number}");
        let mut node = Command::new(&binary);
        node.arg("serve")
            .env("HUBBUB__HTTP__BIND", format!("127.0.0.1:{port}"))
            .env("HUBBUB__HTTP__TRUSTED_PROXIES", "127.0.0.1/32")
            .env("HUBBUB__NODE__ID", &name)
            .env("HUBBUB__DATA_DIR", folder(&name)?)
            .env("DATABASE_URL", database_url)
            .env(
                "REDIS_URL",
                format!("redis://:{password}@127.0.0.1:{redis_port}/"),
            );
        if let Some(file) = &options.config_file {
            node.arg("--config").arg(file);
        }
        // The private Postgres gives a hundred connections to all of them.
        if std::env::var_os("HUBBUB__DATABASE__POOL_MAX").is_none() {
            let each = (72 / options.nodes).clamp(2, 20).to_string();
            node.env("HUBBUB__DATABASE__POOL_MAX", each)
                .env("HUBBUB__DATABASE__POOL_MIN", "1");
        }
        nodes.push(Child::start(&name, node, log, leftovers));
    }

    let nginx_folder = folder("nginx")?;
    let settings = proxy::Settings {
        listen: address,
        nodes: ports
            .iter()
            .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, *port)))
            .collect(),
        folder: nginx_folder.clone(),
    };
    let nginx_config = nginx_folder.join("nginx.conf");
    write_private(&nginx_config, &proxy::configuration(&settings))?;
    let mut nginx = Command::new(&programs.nginx);
    nginx
        .arg("-p")
        .arg(&nginx_folder)
        .arg("-c")
        .arg(&nginx_config)
        .args(["-e", "stderr", "-g", "daemon off;"]);
    let nginx = Child::start("nginx", nginx, log, leftovers);
    Ok(Parts {
        redis,
        nodes,
        nginx,
        address,
    })
}

/// Until a signal to stop.
async fn watch(
    parts: &mut Parts,
    signals: &mut Signals,
    log: &CombinedLog,
) -> Result<(), DevError> {
    tokio::select! {
        ready = all_ready(parts) => ready?,
        () = signals.stop() => return Ok(()),
    }
    log.say(&format!(
        "ready: {} nodes at http://{} (Ctrl-C stops them; SIGHUP to {} restarts the nodes one after the other)",
        parts.nodes.len(),
        parts.address,
        std::process::id(),
    ));
    loop {
        if signals.next().await == Told::Stop {
            return Ok(());
        }
        tokio::select! {
            rolled = roll(&parts.nodes, log) => rolled?,
            () = signals.stop() => return Ok(()),
        }
    }
}

async fn all_ready(parts: &Parts) -> Result<(), DevError> {
    for node in &parts.nodes {
        node.ready(READY).await?;
    }
    let listens = async {
        while TcpStream::connect(parts.address).await.is_err() {
            tokio::time::sleep(LOOK).await;
        }
    };
    let not_ready = |_| DevError::NotReady {
        name: parts.nginx.name().to_owned(),
        seconds: GRACE.as_secs(),
    };
    tokio::time::timeout(GRACE, listens)
        .await
        .map_err(not_ready)
}

/// Restarts the nodes one after the other, each when the one before serves again.
async fn roll(nodes: &[Child], log: &CombinedLog) -> Result<(), DevError> {
    for node in nodes {
        log.say(&format!("restarting {}", node.name()));
        node.restart(NODE_GRACE).await;
        node.ready(READY).await?;
    }
    log.say("all nodes were restarted");
    Ok(())
}

/// Clients first, then what they need.
async fn stop(parts: Parts, signals: &mut Signals, log: &CombinedLog) {
    log.say("stopping");
    let Parts {
        redis,
        nodes,
        nginx,
        ..
    } = parts;
    let in_order = async {
        let nodes = nodes
            .iter()
            .map(|node| node.end(Ending::Terminate, NODE_GRACE));
        futures_util::future::join_all(nodes).await;
        nginx.end(Ending::Terminate, GRACE).await;
        redis.end(Ending::Terminate, GRACE).await;
    };
    tokio::select! {
        () = in_order => return,
        () = signals.stop() => {}
    }
    log.say("told to stop again: killing what is left");
    let all = nodes.iter().chain([&nginx, &redis]);
    futures_util::future::join_all(all.map(|child| child.end(Ending::Kill, GRACE))).await;
}

/// A port that nobody listens on. It may be taken before it is used: then the child that needs it says
/// so and is started again, with as little success.
fn free_port() -> Result<u16, DevError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(DevError::Port)?;
    Ok(listener.local_addr().map_err(DevError::Port)?.port())
}

/// A path as one word of Redis's settings.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Passwords and paths are nobody else's business, not even for a moment.
fn write_private(path: &Path, text: &str) -> Result<(), DevError> {
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        // One of an earlier run may be another's to read.
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())
    };
    write().map_err(DevError::folder(path))
}

/// What a signal says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Stop,
    Roll,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    roll: Signal,
}

impl Signals {
    fn new() -> Result<Self, DevError> {
        let listen = |kind| signal(kind).map_err(DevError::Signals);
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            roll: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.roll.recv() => Told::Roll,
        }
    }

    /// Until one to stop.
    async fn stop(&mut self) {
        while self.next().await != Told::Stop {}
    }
}
