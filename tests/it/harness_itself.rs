//! The harness holds what it promises.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::node::Node;
use crate::harness::postgres::{self, Options, TestServer};
use crate::harness::rest;
use crate::harness::socket::{End, Socket};
use crate::harness::tcp_proxy::{Direction, Target, TcpProxy, Way};

#[tokio::test]
async fn every_test_has_a_migrated_database_of_its_own() {
    let (a, b) = (postgres::database().await, postgres::database().await);
    assert_ne!(a.url, b.url);
    for database in [&a, &b] {
        let rooms: i64 = database
            .connect()
            .await
            .query_one("SELECT count(*) FROM rooms", &[])
            .await
            .unwrap()
            .get(0);
        assert_eq!(rooms, 0);
    }
}

#[tokio::test]
async fn a_killed_postgres_comes_back_with_what_was_committed() {
    let mut server = TestServer::start(Options { fsync: true }).await;
    let database = server.database().await;
    let client = database.connect().await;
    client
        .batch_execute("CREATE TABLE t (n int); INSERT INTO t VALUES (7)")
        .await
        .unwrap();
    server.kill9().await;
    assert!(client.query("SELECT 1", &[]).await.is_err());
    assert!(postgres::try_connect(&database.url).await.is_err());
    server.restart().await;
    let client = database.connect().await;
    let row = client.query_one("SELECT n FROM t", &[]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), 7);
}

#[tokio::test]
async fn a_frozen_postgres_answers_when_it_is_thawed() {
    let server = TestServer::start(Options { fsync: true }).await;
    let client = server.database().await.connect().await;
    server.freeze();
    let mut answer = std::pin::pin!(client.query_one("SELECT 1", &[]));
    let early = tokio::time::timeout(std::time::Duration::from_millis(200), &mut answer).await;
    assert!(early.is_err(), "it answered while frozen");
    server.thaw();
    assert_eq!(answer.await.unwrap().get::<_, i32>(0), 1);
}

#[tokio::test]
async fn a_fault_is_carried_out_where_it_was_put() {
    let (node, _database) = Node::on_fresh_database().await;
    let alice = rest::register(&node, "alice").await;
    let room = alice.create_room("tea").await;
    let mut socket = Socket::connect(&node, &alice).await;
    socket.join(&room.id).await;
    node.fault("hub.fanout.deliver", "1*panic").await;
    assert_eq!(alice.say(&room.id, "boom", "c1").await.status, 201);
    // The fan-out's end ends its sockets.
    assert!(matches!(socket.closed().await, End::Broken(_)));
}

/// A server that says what it hears, and a way to it.
async fn echo() -> TcpProxy {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    TcpProxy::to(Target::Tcp(address))
}

async fn says(stream: &mut TcpStream, what: &[u8]) -> std::io::Result<()> {
    let mut heard = vec![0; what.len()];
    stream.read_exact(&mut heard).await?;
    assert_eq!(heard, what);
    Ok(())
}

/// Whether nothing comes, for as long as anybody would wait who is not busy.
async fn is_silent(stream: &mut TcpStream) -> bool {
    let quiet = Duration::from_millis(50);
    tokio::time::timeout(quiet, stream.read_u8()).await.is_err()
}

#[tokio::test]
async fn a_way_that_is_frozen_half_open_or_slow_loses_nothing() {
    let proxy = echo().await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(b"one").await.unwrap();
    says(&mut stream, b"one").await.unwrap();
    let ways = [
        Way::Frozen,
        Way::Silent(Direction::ToServer),
        Way::Silent(Direction::ToNode),
    ];
    for way in ways {
        proxy.set(way);
        stream.write_all(b"two").await.unwrap();
        assert!(is_silent(&mut stream).await, "{way:?}");
        let mut another = TcpStream::connect(proxy.address).await.unwrap();
        another.write_all(b"three").await.unwrap();
        assert!(is_silent(&mut another).await, "{way:?}");
        proxy.heal();
        says(&mut stream, b"two").await.unwrap();
        says(&mut another, b"three").await.unwrap();
    }
    proxy.set(Way::Delayed(Duration::from_millis(20)));
    let sent = std::time::Instant::now();
    stream.write_all(b"four").await.unwrap();
    says(&mut stream, b"four").await.unwrap();
    assert!(sent.elapsed() >= Duration::from_millis(40), "both ways");
}

#[tokio::test]
async fn a_way_that_is_cut_has_no_connections() {
    let proxy = echo().await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(b"one").await.unwrap();
    says(&mut stream, b"one").await.unwrap();
    proxy.set(Way::Cut);
    says(&mut stream, b"two").await.unwrap_err();
    if let Ok(mut another) = TcpStream::connect(proxy.address).await {
        another.read_u8().await.unwrap_err();
    }
    proxy.heal();
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(b"three").await.unwrap();
    says(&mut stream, b"three").await.unwrap();
    drop(proxy);
    stream.read_u8().await.unwrap_err();
}
