//! How many connections there may be: in all, of an address, as sockets.

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{self, TestDatabase};
use crate::harness::rest::{User, register};
use crate::harness::socket::Socket;
use crate::harness::tls::connect;
use crate::harness::{DEADLINE, eventually};

struct Scene {
    node: Node,
    database: TestDatabase,
    ada: User,
}

async fn scene(settings: &[(&str, &str)]) -> Scene {
    let (node, database) = Node::on_fresh_database_with(settings).await;
    let ada = register(&node, "ada").await;
    Scene {
        node,
        database,
        ada,
    }
}

impl Scene {
    async fn refused(&self, reason: &str) -> u64 {
        let name = format!("http_connections_refused_total{{reason=\"{reason}\"}}");
        self.node.metric(&name).await
    }

    /// A connection from an address of this machine.
    async fn from(&self, address: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("a socket");
        let own = format!("{address}:0").parse().expect("an address");
        socket.bind(own).expect("an address of this machine");
        let node = self.node.own_address.parse().expect("an address");
        socket.connect(node).await.expect("the node accepts")
    }

    /// Opens a socket over that connection: the status of a refusal.
    async fn upgrade(&self, stream: TcpStream, headers: &[(&str, &str)]) -> Result<Socket, u16> {
        let authorization = format!("Bearer {}", self.ada.token);
        let mut all = vec![("authorization", authorization.as_str())];
        all.extend_from_slice(headers);
        Socket::over(stream, "/ws", &all)
            .await
            .map_err(|error| match error {
                tokio_tungstenite::tungstenite::Error::Http(response) => response.status().as_u16(),
                other => panic!("{other}"),
            })
    }
}

/// Asks for the node's health over a connection that stays open: the status, none if it ends.
async fn health(stream: &mut TcpStream) -> Option<u16> {
    let request = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n";
    let _ = stream.write_all(request).await;
    let mut answer = vec![0; 4096];
    let read = timeout(DEADLINE, stream.read(&mut answer))
        .await
        .expect("in time");
    let read = read.unwrap_or(0);
    let text = std::str::from_utf8(&answer[..read]).expect("text");
    text.split(' ').nth(1)?.parse().ok()
}

#[tokio::test]
async fn connections_of_all_kinds_are_counted() {
    let scene = scene(&[("HUBBUB__HTTP__MAX_TCP_CONNECTIONS", "8")]).await;
    let mut sockets = Vec::new();
    for _ in 0..4 {
        sockets.push(Socket::connect(&scene.node, &scene.ada).await);
    }
    let mut idle = Vec::new();
    eventually("all places are taken", async || {
        let mut peer = scene.from("127.0.0.1").await;
        match health(&mut peer).await {
            Some(200) => idle.push(peer),
            refused => assert_eq!(refused, Some(503)),
        }
        // The client that made the user may not have gone at once.
        (idle.len() == 4).then_some(())
    })
    .await;
    let mut one_more = scene.from("127.0.0.1").await;
    assert_eq!(health(&mut one_more).await, Some(503));
    let mut rest = String::new();
    let reading = one_more.read_to_string(&mut rest);
    let _ = timeout(DEADLINE, reading).await.expect("it is closed");
    let refused = scene.upgrade(scene.from("127.0.0.1").await, &[]).await;
    assert_eq!(refused.err(), Some(503));

    drop(idle);
    eventually("there is room again", async || {
        (health(&mut scene.from("127.0.0.1").await).await == Some(200)).then_some(())
    })
    .await;
    assert!(scene.refused("total").await >= 2);
    for socket in &mut sockets {
        socket.ping().await;
    }
}

/// By TLS nothing can be answered: a connection too many just ends.
#[tokio::test]
async fn a_tls_connection_too_many_is_closed() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url)
        .with_tls()
        .set("HUBBUB__HTTP__MAX_TCP_CONNECTIONS", "4");
    let node = Node::start(options).await;
    let client = node.certificate().client();
    let mut taken = Vec::new();
    for _ in 0..4 {
        let connected = connect(&node.own_address, client.clone()).await;
        taken.push(connected.expect("there is room"));
    }
    connect(&node.own_address, client.clone())
        .await
        .expect_err("it is full");
    drop(taken);
    eventually("there is room again", async || {
        connect(&node.own_address, client.clone())
            .await
            .ok()
            .map(drop)
    })
    .await;
}

/// However many ask at the same moment: never one more than may be.
#[tokio::test]
async fn handshakes_at_the_same_time_do_not_exceed_the_bound() {
    const MAX: usize = 10;
    let scene = scene(&[("HUBBUB__HTTP__MAX_CONNECTIONS", "10")]).await;
    // All of them ask who it is, and wait for the answer.
    let mut client = scene.database.connect().await;
    let lock = client.transaction().await.expect("a transaction");
    lock.batch_execute("LOCK TABLE sessions")
        .await
        .expect("the lock");
    let opening = (0..4 * MAX).map(|_| async {
        let stream = scene.from("127.0.0.1").await;
        scene.upgrade(stream, &[]).await
    });
    let release = async {
        eventually("the others are refused", async || {
            (scene.refused("sockets").await == 3 * MAX as u64).then_some(())
        })
        .await;
        lock.commit().await.expect("the lock is released");
    };
    let (asked, ()) = tokio::join!(join_all(opening), release);
    let (opened, refused): (Vec<_>, Vec<_>) = asked.into_iter().partition(Result::is_ok);
    assert_eq!((opened.len(), refused.len()), (MAX, 3 * MAX));
    assert!(refused.iter().all(|it| it.as_ref().err() == Some(&503)));

    // A handshake that is refused for another reason gives its place back.
    drop(opened);
    eventually("all places are free", async || {
        let mut again = Vec::new();
        for _ in 0..MAX {
            let wrong = [("authorization", "Bearer nonsense")];
            let refused = Socket::over(scene.from("127.0.0.1").await, "/ws", &wrong).await;
            assert!(refused.is_err());
            again.push(
                scene
                    .upgrade(scene.from("127.0.0.1").await, &[])
                    .await
                    .ok()?,
            );
        }
        Some(again)
    })
    .await;
}

#[tokio::test]
async fn an_address_has_only_so_many() {
    let scene = scene(&[
        ("HUBBUB__HTTP__MAX_CONNECTIONS_PER_ADDRESS", "3"),
        ("HUBBUB__LIMITS__EXEMPT", "127.0.0.1/32"),
        ("HUBBUB__HTTP__TRUSTED_PROXIES", "127.0.0.8/32"),
    ])
    .await;
    let mut taken = Vec::new();
    for _ in 0..2 {
        taken.push(scene.from("127.0.0.7").await);
    }
    let mut socket = scene
        .upgrade(scene.from("127.0.0.7").await, &[])
        .await
        .expect("room");
    let mut one_more = scene.from("127.0.0.7").await;
    assert_eq!(health(&mut one_more).await, Some(503));
    // Others are not concerned, nor is who is exempt.
    let mut others = Vec::new();
    for _ in 0..10 {
        let mut exempt = scene.from("127.0.0.1").await;
        assert_eq!(health(&mut exempt).await, Some(200));
        others.push(exempt);
    }
    let mut other = scene.from("127.0.0.9").await;
    assert_eq!(health(&mut other).await, Some(200));

    // Behind a proxy its sockets count, by the address that the proxy gives.
    let forwarded = [("x-forwarded-for", "127.0.0.7")];
    let by_proxy = scene
        .upgrade(scene.from("127.0.0.8").await, &forwarded)
        .await;
    assert_eq!(by_proxy.err(), Some(503));
    let elsewhere = [("x-forwarded-for", "192.0.2.1")];
    let mut proxied = Vec::new();
    for _ in 0..3 {
        let opened = scene
            .upgrade(scene.from("127.0.0.8").await, &elsewhere)
            .await;
        proxied.push(opened.expect("room"));
    }
    let fourth = scene
        .upgrade(scene.from("127.0.0.8").await, &elsewhere)
        .await;
    assert_eq!(fourth.err(), Some(503));
    assert!(scene.refused("address").await >= 3);

    socket.ping().await;
    drop(socket);
    eventually("its place is free again", async || {
        let free = scene
            .upgrade(scene.from("127.0.0.8").await, &forwarded)
            .await;
        free.ok().map(drop)
    })
    .await;
    drop(taken);
}
