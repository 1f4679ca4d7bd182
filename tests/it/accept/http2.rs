//! What one connection of HTTP/2 can hold.

use h2::client;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::http::Request;

use crate::harness::node::Node;
use crate::harness::rest::register;
use crate::harness::{DEADLINE, eventually};

async fn stream(node: &Node) -> TcpStream {
    let stream = TcpStream::connect(&node.address).await;
    stream.expect("the node accepts")
}

fn large(node: &Node) -> Request<()> {
    let request = Request::get(node.url("/openapi.json"));
    request.body(()).expect("a request")
}

async fn cut(node: &Node, reason: &str) -> u64 {
    let name = format!("http_connections_cut_total{{reason=\"{reason}\"}}");
    node.metric(&name).await
}

#[tokio::test]
async fn a_client_is_told_how_many_requests_it_may_have_and_has_them() {
    let settings = [("HUBBUB__HTTP__HTTP2_MAX_STREAMS", "7")];
    let (node, _database) = Node::on_fresh_database_with(&settings).await;
    let connecting = client::handshake(stream(&node).await);
    let (mut client, connection) = connecting.await.expect("it speaks HTTP/2");
    tokio::spawn(connection);
    eventually("it has been told", async || {
        (client.current_max_send_streams() == 7).then_some(())
    })
    .await;
    let mut answers = Vec::new();
    for _ in 0..50 {
        client = client.ready().await.expect("a place for a stream");
        let (answer, _) = client.send_request(large(&node), true).expect("it is sent");
        answers.push(tokio::spawn(async move {
            let mut body = answer.await.expect("an answer").into_body();
            let mut bytes = 0;
            while let Some(part) = body.data().await {
                let part = part.expect("a part");
                bytes += part.len();
                let released = body.flow_control().release_capacity(part.len());
                released.expect("a stream");
            }
            bytes
        }));
    }
    for answer in answers {
        let bytes = timeout(DEADLINE, answer).await.expect("in time");
        assert!(bytes.expect("an answer") > 50_000);
    }
    assert_eq!(cut(&node, "streams").await, 0);
}

/// Requests that are sent whatever one is told.
#[tokio::test]
async fn too_many_requests_at_once_cut_the_connection() {
    let settings = [("HUBBUB__HTTP__HTTP2_MAX_STREAMS", "5")];
    let (node, _database) = Node::on_fresh_database_with(&settings).await;
    let mut said = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for number in 0..1000_u32 {
        // HEADERS with END_STREAM and END_HEADERS: GET, http, /, and the authority `x`.
        said.extend([0, 0, 6, 1, 5]);
        said.extend((2 * number + 1).to_be_bytes());
        said.extend([0x82, 0x86, 0x84, 0x41, 1, b'x']);
    }
    let mut peer = stream(&node).await;
    // It may be cut off before everything was said.
    let _ = peer.write_all(&said).await;
    let mut answers = Vec::new();
    let reading = timeout(DEADLINE, peer.read_to_end(&mut answers)).await;
    let _ = reading.expect("the end");
    assert_eq!(cut(&node, "streams").await, 1);
}

/// The socket takes everything, and the stream has no window.
#[tokio::test]
async fn an_answer_without_a_window_is_not_kept() {
    let settings = [("HUBBUB__HTTP__WRITE_TIMEOUT_MS", "1000")];
    let (node, _database) = Node::on_fresh_database_with(&settings).await;
    let connecting = client::Builder::new()
        .initial_window_size(0)
        .handshake::<_, bytes::Bytes>(stream(&node).await);
    let (mut client, connection) = connecting.await.expect("it speaks HTTP/2");
    let connection = tokio::spawn(connection);
    let (answer, _) = client.send_request(large(&node), true).expect("it is sent");
    let answer = timeout(DEADLINE, answer).await.expect("in time");
    // Kept: a stream that is dropped is given up.
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), 200);
    let ended = timeout(DEADLINE, connection).await.expect("the end");
    let _ = ended.expect("no panic");
    assert_eq!(cut(&node, "not_reading").await, 1);
    drop(answer);
}

/// Whoever just answers pings is idle.
#[tokio::test]
async fn a_connection_without_requests_ends() {
    let settings = [("HUBBUB__HTTP__KEEP_ALIVE_S", "1")];
    let (node, _database) = Node::on_fresh_database_with(&settings).await;
    for is_used in [false, true] {
        let connecting = client::handshake(stream(&node).await);
        let (mut client, connection) = connecting.await.expect("it speaks HTTP/2");
        let connection = tokio::spawn(connection);
        if is_used {
            let (answer, _) = client.send_request(large(&node), true).expect("it is sent");
            answer.await.expect("an answer");
        }
        let ended = timeout(DEADLINE, connection).await.expect("the end");
        let _ = ended.expect("no panic");
    }
}

/// Streams that share a connection count one by one.
#[tokio::test]
async fn streams_count_for_their_address() {
    let settings = [
        ("HUBBUB__LIMITS__EXEMPT", "192.0.2.0/24"),
        ("HUBBUB__HTTP__MAX_CONNECTIONS_PER_ADDRESS", "8"),
    ];
    let (node, _database) = Node::on_fresh_database_with(&settings).await;
    let ada = register(&node, "ada").await;
    let connecting = client::handshake(stream(&node).await);
    let (mut client, connection) = connecting.await.expect("it speaks HTTP/2");
    tokio::spawn(connection);
    let (mut open, mut refused) = (Vec::new(), 0);
    for _ in 0..20 {
        let request = Request::get(node.url("/api/events"))
            .header("authorization", format!("Bearer {}", ada.token))
            .body(())
            .expect("a request");
        client = client.ready().await.expect("a place for a stream");
        let (answer, _) = client.send_request(request, true).expect("it is sent");
        let answer = timeout(DEADLINE, answer).await.expect("in time");
        match answer.expect("an answer") {
            answer if answer.status() == 200 => open.push(answer),
            answer => {
                assert_eq!(answer.status(), 503);
                refused += 1;
            }
        }
    }
    assert!(open.len() < 8, "{} streams", open.len());
    assert!(refused > 12, "{refused} refused");
}
