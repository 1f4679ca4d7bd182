//! What comes to a port that speaks TLS, and should not; and to one that does not.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::cipher::{OutboundChunks, OutboundPlainMessage};
use tokio_rustls::rustls::{
    ClientConnection, ConnectionTrafficSecrets, ContentType, ProtocolVersion,
};

use crate::harness::node::{Node, NodeOptions};
use crate::harness::rest::{User, register};
use crate::harness::socket::Socket;
use crate::harness::tls::{Certificate, connect};
use crate::harness::{DEADLINE, eventually, postgres, rounds};

async fn stranger(node: &Node) -> TcpStream {
    let stream = TcpStream::connect(&node.own_address).await;
    stream.expect("the node accepts")
}

/// Everything up to the end, which may be a reset.
async fn heard(stream: &mut TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    let reading = stream.read_to_end(&mut heard);
    let _ = timeout(DEADLINE, reading).await.expect("the end comes");
    heard
}

async fn refused(node: &Node, reason: &str) -> u64 {
    let name = format!("http_connections_refused_total{{reason=\"{reason}\"}}");
    node.metric(&name).await
}

#[tokio::test]
async fn plain_http_is_told_what_is_spoken_here() {
    let database = postgres::database().await;
    let node = Node::start(NodeOptions::on(&database.url).with_tls()).await;
    let mut peer = stranger(&node).await;
    let request = format!(
        "GET /health/live HTTP/1.1\r\nhost: {}\r\n\r\n",
        node.own_address
    );
    peer.write_all(request.as_bytes())
        .await
        .expect("it is sent");
    let answer = String::from_utf8(heard(&mut peer).await).expect("text");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("https://"), "{answer}");
    assert_eq!(refused(&node, "not_tls").await, 1);
}

#[tokio::test]
async fn tls_on_a_plain_port_ends_at_once() {
    let (node, _database) = Node::on_fresh_database().await;
    let error = connect(&node.own_address, Certificate::new().client()).await;
    error.expect_err("there is no TLS");
    let ada = register(&node, "ada").await;
    Socket::connect(&node, &ada).await.ping().await;
}

/// Records of nonsense, handshakes that are cut off anywhere and those that have a byte changed
/// end their own connection; a bystander goes on.
#[tokio::test]
async fn garbage_ends_its_own_connection_alone() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url)
        .with_tls()
        .set("HUBBUB__HTTP__TLS_HANDSHAKE_TIMEOUT_MS", "1000");
    let node = Node::start(options).await;
    let ada = register(&node, "ada").await;
    let mut bystander = Socket::connect(&node, &ada).await;
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut hello = Vec::new();
    let client = node.certificate().client();
    let name = tokio_rustls::rustls::pki_types::ServerName::try_from("localhost").expect("a name");
    let mut tls = ClientConnection::new(client.into(), name).expect("one");
    tls.write_tls(&mut hello).expect("a first message");
    for round in 0..rounds(40) {
        let mut said = match round % 4 {
            // A record that is announced and does not come.
            0 => vec![22, 3, 1, 0xff, 0xff],
            1 => {
                let mut said = vec![22, 3, 3, 0x3f, 0xff];
                said.resize(5 + 0x3fff, 0);
                random.fill_bytes(&mut said[5..]);
                said
            }
            2 => hello.clone(),
            _ => hello[..random.random_range(1..hello.len())].to_vec(),
        };
        if round % 4 == 2 {
            let place = random.random_range(0..said.len());
            said[place] ^= random.random_range(1..=255_u8);
            // What would still be a handshake goes on with what is none.
            said.extend([23, 3, 3, 0, 1, 0]);
        }
        let mut peer = stranger(&node).await;
        // It may have ended before everything was said.
        let _ = peer.write_all(&said).await;
        heard(&mut peer).await;
        bystander.ping().await;
    }
}

/// A handshake's message that has come in part, or a second one in the same record, is still known of
/// when what follows is wrong.
#[tokio::test]
async fn a_handshake_that_goes_wrong_in_the_middle_is_refused() {
    let database = postgres::database().await;
    let node = Node::start(NodeOptions::on(&database.url).with_tls()).await;
    let ada = register(&node, "ada").await;
    let mut bystander = Socket::connect(&node, &ada).await;
    let part = [22, 3, 1, 0, 6, 1, 0, 16, 0, 3, 3];
    let cases: [(&str, &[u8], &[u8]); 5] = [
        ("data within a message", &part, &[23, 3, 3, 0, 1, 0]),
        ("an alert within a message", &part, &[21, 3, 3, 0, 2, 1, 90]),
        ("an unknown record", &part, &[99, 3, 3, 0, 1, 0]),
        ("two messages", &[22, 3, 1, 0, 8, 1, 0, 0, 0], &[1, 0, 0, 0]),
        (
            "a message and a part",
            &[22, 3, 1, 0, 6, 1, 0, 0, 0],
            &[1, 0],
        ),
    ];
    for (n, (what, first, second)) in (1..).zip(cases) {
        let mut peer = stranger(&node).await;
        let said = [first, second].concat();
        peer.write_all(&said).await.expect("it is taken");
        let alert = heard(&mut peer).await;
        assert!(alert.is_empty() || alert[0] == 21, "{what}: {alert:?}");
        eventually("it is counted", async || {
            (refused(&node, "handshake_failed").await == n).then_some(())
        })
        .await;
        bystander.ping().await;
    }
    let log = node.log().text();
    assert!(!log.contains("panicked"), "{log}");
}

/// The same after the handshake: a part of a message under the right keys, then nonsense. The
/// connection still has something to say at its end.
#[tokio::test]
async fn a_message_of_tls_that_goes_wrong_ends_its_socket() {
    let database = postgres::database().await;
    let node = Node::start(NodeOptions::on(&database.url).with_tls()).await;
    let ada = register(&node, "ada").await;
    let mut bystander = Socket::connect(&node, &ada).await;
    let mut client = node.certificate().client();
    client.enable_secret_extraction = true;
    for nonsense in [&[23, 3, 3, 0, 32][..], &[99, 3, 3, 0, 32]] {
        let mut stream = connect(&node.own_address, client.clone())
            .await
            .expect("a handshake");
        upgrade(&mut stream, &ada).await;
        let (mut tcp, tls) = stream.into_inner();
        let part = sealed_part(tls);
        let said = [&part[..], nonsense, &[7; 32]].concat();
        tcp.write_all(&said).await.expect("it is sent");
        heard(&mut tcp).await;
        bystander.ping().await;
    }
    eventually("both have gone", async || {
        (node.metric("websocket_active_connections").await == 1).then_some(())
    })
    .await;
    let down = "hub_actors_down_total{kind=\"connection\"}";
    assert_eq!(node.metric(down).await, 0);
    let log = node.log().text();
    assert!(!log.contains("panicked"), "{log}");
}

/// The beginning of a message of TLS 1.3 itself, as this client would send it.
fn sealed_part(tls: ClientConnection) -> Vec<u8> {
    let suite = tls.negotiated_cipher_suite().and_then(|it| it.tls13());
    let (number, secrets) = tls.dangerous_extract_secrets().expect("the keys").tx;
    let (ConnectionTrafficSecrets::Aes128Gcm { key, iv }
    | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
    | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) = secrets
    else {
        panic!("keys of another kind")
    };
    let part = OutboundPlainMessage {
        typ: ContentType::Handshake,
        version: ProtocolVersion::TLSv1_2,
        payload: OutboundChunks::Single(&[24, 0, 0]),
    };
    let mut seal = suite.expect("TLS 1.3").aead_alg.encrypter(key, iv);
    seal.encrypt(part, number).expect("a record").encode()
}

/// Asks for a socket.
async fn upgrade(stream: &mut TlsStream<TcpStream>, user: &User) {
    let head = format!(
        "GET /ws HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        user.token
    );
    stream.write_all(head.as_bytes()).await.expect("it is sent");
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 101");
}

/// What comes after a good handshake, and is none of its records, ends the connection with an
/// alert, also that of a socket.
#[tokio::test]
async fn garbage_after_the_handshake_ends_the_connection() {
    let database = postgres::database().await;
    let node = Node::start(NodeOptions::on(&database.url).with_tls()).await;
    let ada = register(&node, "ada").await;
    let client = node.certificate().client();
    for is_socket in [false, true] {
        let mut stream = connect(&node.own_address, client.clone())
            .await
            .expect("a handshake");
        if is_socket {
            upgrade(&mut stream, &ada).await;
        }
        let (tcp, _) = stream.get_mut();
        tcp.write_all(&[23, 3, 3, 0, 32]).await.expect("it is sent");
        tcp.write_all(&[7; 32]).await.expect("it is sent");
        let mut heard = Vec::new();
        let reading = stream.read_to_end(&mut heard);
        let read = timeout(DEADLINE, reading).await.expect("the end comes");
        let error = read.expect_err("the end is an alert").to_string();
        assert!(error.contains("BadRecordMac"), "{error}");
    }
    eventually("both have gone", async || {
        (node.metric("websocket_active_connections").await == 0).then_some(())
    })
    .await;
}

/// Handshakes that never finish and those of one byte a second are cut off, however many there
/// are, and others are let in meanwhile.
#[tokio::test]
async fn handshakes_that_do_not_finish_are_cut_off() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url)
        .with_tls()
        .set("HUBBUB__HTTP__TLS_HANDSHAKE_TIMEOUT_MS", "2000")
        .set("HUBBUB__HTTP__REQUEST_HEAD_TIMEOUT_MS", "2000");
    let node = Node::start(options).await;
    let ada = register(&node, "ada").await;
    let begun = Instant::now();
    let mut peers = Vec::new();
    for n in 0..200 {
        let mut peer = stranger(&node).await;
        let said: &[u8] = match n % 4 {
            0 => &[],
            1 => &[22],
            _ => &[22, 3, 1, 2, 0, 1, 0, 1, 0xfc],
        };
        peer.write_all(said).await.expect("it is taken");
        peers.push((n, peer));
    }
    Socket::connect(&node, &ada).await.ping().await;
    let mut ends = tokio::task::JoinSet::new();
    for (n, mut peer) in peers {
        ends.spawn(async move {
            if n % 4 == 3 {
                // A byte now and then makes it no better.
                while peer.write_all(&[0]).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
            }
            heard(&mut peer).await;
        });
    }
    ends.join_all().await;
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1900), "too early: {took:?}");
    assert_eq!(refused(&node, "silent").await, 50);
    assert_eq!(refused(&node, "handshake_timeout").await, 150);
    Socket::connect(&node, &ada).await.ping().await;
}
