//! Peers that ask much and read nothing of it.

use std::fmt::Write as _;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::harness::node::Node;
use crate::harness::rest::register;
use crate::harness::{DEADLINE, eventually};

/// A request with a large answer: a hundred of them are more than both kernels hold.
const LARGE: &str = "GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n";

const SMALL: &str = "GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";

/// A connection of which the kernel keeps little.
async fn narrow(node: &Node) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(16 * 1024).expect("a size");
    let address = node.address.parse().expect("an address");
    socket.connect(address).await.expect("the node accepts")
}

async fn cut(node: &Node, reason: &str) -> u64 {
    let name = format!("http_connections_cut_total{{reason=\"{reason}\"}}");
    node.metric(&name).await
}

/// Waits until the node has nothing to do: a thread that goes round in circles takes all of a
/// processor.
async fn rests(node: &Node) {
    eventually("the node rests", async || {
        let before = node.cpu_time();
        tokio::time::sleep(Duration::from_millis(400)).await;
        let used = node.cpu_time().saturating_sub(before);
        println!("{used:?} of processor time in 400 ms");
        (used < Duration::from_millis(100)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_takes_nothing_of_an_answer_is_cut_off() {
    let settings = [("HUBBUB__HTTP__WRITE_TIMEOUT_MS", "1000")];
    let (node, _database) = Node::on_fresh_database_with(&settings).await;
    // The connection by which this is asked stays open.
    assert_eq!(cut(&node, "not_reading").await, 0);
    let files = node.open_files();
    let mut open = narrow(&node).await;
    let mut half_closed = narrow(&node).await;
    let mut one = narrow(&node).await;
    for peer in [&mut open, &mut half_closed] {
        let asked = LARGE.repeat(100);
        peer.write_all(asked.as_bytes()).await.expect("it is taken");
    }
    half_closed.shutdown().await.expect("a socket");
    eventually("both are cut off", async || {
        (cut(&node, "not_reading").await == 2).then_some(())
    })
    .await;
    for mut peer in [open, half_closed] {
        let mut answers = Vec::new();
        let reading = timeout(DEADLINE, peer.read_to_end(&mut answers)).await;
        let error = reading.expect("the end").expect_err("not all is there");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    // One that is idle is no such peer.
    one.write_all(SMALL.as_bytes()).await.expect("it is open");
    let mut first = [0; 12];
    one.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200");
    drop(one);
    eventually("the files are given back", async || {
        (node.open_files() <= files).then_some(())
    })
    .await;
}

/// More requests than the dispatcher queues, and after those more than it keeps.
#[tokio::test]
async fn requests_behind_an_answer_that_is_not_read_cost_nothing() {
    let settings = [("HUBBUB__HTTP__WRITE_TIMEOUT_MS", "600000")];
    let (node, _database) = Node::on_fresh_database_with(&settings).await;
    let mut peer = narrow(&node).await;
    let asked = LARGE.repeat(100) + &SMALL.repeat(10_000);
    let (mut reader, mut writer) = peer.split();
    let writing = writer.write_all(asked.as_bytes());
    // The kernels may not hold all of it.
    let _ = timeout(Duration::from_secs(1), writing).await;
    rests(&node).await;
    // It is not cut off, and goes on when the peer does.
    let mut first = vec![0; 200_000];
    let reading = timeout(DEADLINE, reader.read_exact(&mut first)).await;
    reading.expect("in time").expect("answers");
    rests(&node).await;
    assert_eq!(cut(&node, "not_reading").await, 0);
}

/// The same behind an event stream, of which there is no end: this client is cut off.
#[tokio::test]
async fn requests_behind_a_stream_cost_nothing() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let mut peer = narrow(&node).await;
    let stream = format!(
        "GET /api/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n",
        ada.token
    );
    let asked = stream.clone() + &SMALL.repeat(10_000);
    let _ = peer.write_all(asked.as_bytes()).await;
    eventually("it is cut off", async || {
        (cut(&node, "read_ahead").await == 1).then_some(())
    })
    .await;
    rests(&node).await;
    // Some further requests are no harm.
    let mut peer = narrow(&node).await;
    let asked = stream + &SMALL.repeat(100);
    peer.write_all(asked.as_bytes()).await.expect("it is taken");
    let mut first = [0; 12];
    peer.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200");
    rests(&node).await;
    assert_eq!(node.metric("sse_active_streams").await, 1);
    assert_eq!(cut(&node, "read_ahead").await, 1);
}

/// Who sends all of its requests first gets all of the answers, and a body is no further request.
#[tokio::test]
async fn many_requests_at_once_are_all_answered() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await.id;
    let say = |body: &str, framing: &str| {
        format!(
            "POST /api/rooms/{room}/messages HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\n{framing}\r\n\r\n{body}",
            ada.token
        )
    };
    let body = format!(
        "{{\"body\":\"{}\",\"client_id\":\"1\"}}",
        "x".repeat(60_000)
    );
    let whole = say(&body, &format!("content-length: {}", body.len()));
    let mut chunks = String::new();
    for part in body.as_bytes().chunks(1000) {
        let text = String::from_utf8_lossy(part);
        let _ = write!(chunks, "{:x}\r\n{text}\r\n", part.len());
    }
    let chunked = say(&(chunks + "0\r\n\r\n"), "transfer-encoding: chunked");
    let last = SMALL.replace("host: x", "host: x\r\nconnection: close");
    let asked = [
        SMALL.repeat(2000),
        whole,
        SMALL.repeat(2000),
        chunked,
        SMALL.repeat(2000),
        last,
    ];
    let mut peer = TcpStream::connect(&node.address).await.expect("it accepts");
    let (mut reader, mut writer) = peer.split();
    let asked = asked.concat();
    let mut answers = Vec::new();
    let (written, read) = tokio::join!(
        timeout(DEADLINE, writer.write_all(asked.as_bytes())),
        timeout(DEADLINE, reader.read_to_end(&mut answers)),
    );
    written.expect("in time").expect("it is taken");
    read.expect("in time").expect("the end");
    let text = String::from_utf8_lossy(&answers);
    // The second message is a duplicate of the first.
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 6001);
    assert_eq!(text.matches("HTTP/1.1 201 Created").count(), 2);
}
