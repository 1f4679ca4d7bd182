//! A way over which one node gets to a server, and that a test can break: slow, frozen, cut, silent
//! in one direction. One for each node and service, so that others keep theirs.
//!
//! What is held up is not lost: after [`TcpProxy::heal`] the bytes come, in their order, as they do
//! when a network carries again.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};

/// Connections at once; further ones are reset. A node has some tens.
const CONNECTIONS: usize = 256;

/// What is read at once in one direction of one connection, bytes. Nothing else is held.
const CHUNK: usize = 16 * 1024;

/// How long the server may take to be connected to.
const CONNECT: Duration = Duration::from_secs(5);

/// How the way is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Open,
    /// Each piece comes this much later.
    Delayed(Duration),
    /// Connections stay and are made, and nothing passes.
    Frozen,
    /// All connections are reset, new ones, too.
    Cut,
    /// Half-open: what goes in this direction does not arrive.
    Silent(Direction),
}

/// Where bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    ToServer,
    ToNode,
}

/// Where the way leads.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// Listens for a node. Dropping it ends the connections.
#[derive(Debug)]
pub(crate) struct TcpProxy {
    /// Where to connect to instead of the server.
    pub(crate) address: SocketAddr,
    way: watch::Sender<Way>,
    task: AbortHandle,
}

impl TcpProxy {
    /// An open way; within a runtime, which drives it.
    pub(crate) fn to(target: Target) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("it can be set");
        let address = listener.local_addr().expect("an address");
        let listener = TcpListener::from_std(listener).expect("a listener");
        let (way, is_now) = watch::channel(Way::Open);
        let task = tokio::spawn(accept(listener, target, is_now)).abort_handle();
        Self { address, way, task }
    }

    /// Makes the way so, for connections that there are and those that will be.
    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }

    /// Opens it again.
    pub(crate) fn heal(&self) {
        self.set(Way::Open);
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, target: Target, way: watch::Receiver<Way>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    // Ended with this task.
    let mut connections = JoinSet::new();
    while let Ok((node, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let place = Arc::clone(&places).try_acquire_owned();
        let (target, way) = (target.clone(), way.clone());
        let Ok(place) = place else {
            reset(&node);
            continue;
        };
        connections.spawn(async move {
            pass(node, &target, way).await;
            drop(place);
        });
    }
}

/// Has the peer see a reset instead of an end.
fn reset(node: &TcpStream) {
    // Without it the peer sees an orderly end, which is no more than a milder fault.
    let _ = node.set_zero_linger();
}

async fn pass(mut node: TcpStream, target: &Target, mut way: watch::Receiver<Way>) {
    let _ = node.set_nodelay(true);
    if *way.borrow_and_update() == Way::Cut {
        return reset(&node);
    }
    let carried = carry(&mut node, target, way.clone());
    tokio::select! {
        () = carried => {}
        _ = way.wait_for(|way| *way == Way::Cut) => {}
    }
    // Either the server has gone, or the way.
    reset(&node);
}

async fn carry(node: &mut TcpStream, target: &Target, way: watch::Receiver<Way>) {
    let mut open = way.clone();
    // Over a frozen way nobody gets to the server.
    let passes = |way: &Way| matches!(way, Way::Open | Way::Delayed(_));
    if open.wait_for(passes).await.is_err() {
        return;
    }
    match target {
        Target::Tcp(address) => {
            let connecting = async { TcpSocket::new_v4()?.connect(*address).await };
            if let Ok(Ok(mut server)) = tokio::time::timeout(CONNECT, connecting).await {
                let _ = server.set_nodelay(true);
                let (read, write) = server.split();
                both(node, read, write, way).await;
            }
        }
        Target::Unix(path) => {
            let connecting = UnixStream::connect(path);
            if let Ok(Ok(mut server)) = tokio::time::timeout(CONNECT, connecting).await {
                let (read, write) = server.split();
                both(node, read, write, way).await;
            }
        }
    }
}

/// Both directions, until one has ended.
async fn both(
    node: &mut TcpStream,
    from_server: impl AsyncRead + Unpin,
    to_server: impl AsyncWrite + Unpin,
    way: watch::Receiver<Way>,
) {
    let (from_node, to_node) = node.split();
    tokio::select! {
        () = copy(from_node, to_server, Direction::ToServer, way.clone()) => {}
        () = copy(from_server, to_node, Direction::ToNode, way) => {}
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    direction: Direction,
    mut way: watch::Receiver<Way>,
) {
    let mut chunk = vec![0; CHUNK];
    loop {
        let Ok(read @ 1..) = from.read(&mut chunk).await else {
            // An end is not heard of either, over a way that carries nothing.
            return until_it_carries(&mut way, direction).await;
        };
        let is_now = *way.borrow();
        if let Way::Delayed(time) = is_now {
            tokio::time::sleep(time).await;
        }
        until_it_carries(&mut way, direction).await;
        if to.write_all(&chunk[..read]).await.is_err() {
            return;
        }
    }
}

async fn until_it_carries(way: &mut watch::Receiver<Way>, direction: Direction) {
    let carries = |way: &Way| !matches!(way, Way::Frozen) && *way != Way::Silent(direction);
    // It ends with the proxy, and this task does, too.
    let _ = way.wait_for(carries).await;
}
