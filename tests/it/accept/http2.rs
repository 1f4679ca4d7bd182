//! What one connection of HTTP/2 can hold.

use h2::client;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::http::Request;

use crate::harness::node::Node;
use crate::harness::rest::{http, register, send};
use crate::harness::{DEADLINE, eventually};

/// The preface, and settings without any.
const BEGINNING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A request for `/health/live` with these further bytes in its packed head: HEADERS with
/// `END_STREAM` and `END_HEADERS`.
fn asked(stream: u32, further: &[u8]) -> Vec<u8> {
    // GET, http, the path, and the authority `x`.
    let mut head = b"\x82\x86\x04\x0c/health/live\x01\x01x".to_vec();
    head.extend_from_slice(further);
    let length = u32::try_from(head.len()).expect("a small head");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([1, 5]);
    frame.extend(stream.to_be_bytes());
    frame.extend(head);
    frame
}

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
    let mut said = BEGINNING.to_vec();
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

/// A head that goes on and on, which the library would keep up to 16 MiB of.
#[tokio::test]
async fn a_head_without_an_end_cuts_the_connection() {
    let settings = [("HUBBUB__HTTP__MAX_HEAD_BYTES", "20000")];
    let (node, _database) = Node::on_fresh_database_with(&settings).await;
    let mut said = BEGINNING.to_vec();
    // HEADERS with END_STREAM, and then CONTINUATION, each with nothing but indexed `:path: /`.
    for (number, kind) in [1_u8, 9, 9].into_iter().enumerate() {
        let flags = u8::from(number == 0);
        said.extend([0, 0x20, 0, kind, flags, 0, 0, 0, 1]);
        said.extend([0x84; 0x2000]);
    }
    let mut peer = stream(&node).await;
    let _ = peer.write_all(&said).await;
    let mut answers = Vec::new();
    let reading = timeout(DEADLINE, peer.read_to_end(&mut answers)).await;
    let _ = reading.expect("the end");
    assert_eq!(cut(&node, "head").await, 1);
}

/// A head that is small on its way and large when it is unpacked.
#[tokio::test]
async fn a_head_that_unpacks_to_too_much_is_refused_and_others_are_not() {
    let (node, _database) = Node::on_fresh_database().await;
    // A field of 3,000 bytes that is remembered, which is a byte each time from then on.
    let mut field = b"\x40\x07x-large\x7f\xb9\x16".to_vec();
    field.extend([b'x'; 3000]);
    let mut said = BEGINNING.to_vec();
    said.extend(asked(1, &field));
    for (stream, times) in [(3, 10), (5, 30), (7, 10)] {
        said.extend(asked(stream, &vec![0xbe; times]));
    }
    let mut peer = stream(&node).await;
    peer.write_all(&said).await.expect("it is open");
    for (status, count) in [(200, 3), (431, 1)] {
        let name = format!(
            "http_request_duration_seconds_count\
             {{method=\"GET\",route=\"/health/live\",status=\"{status}\"}}"
        );
        eventually("they are answered", async || {
            (node.metric(&name).await == count).then_some(())
        })
        .await;
    }
    assert_eq!(cut(&node, "head").await, 0);
    // The same over HTTP/1.
    let mut request = http().get(node.url("/health/live"));
    for _ in 0..30 {
        request = request.header("x-large", "x".repeat(3000));
    }
    send(request).await.problem(431, "too_large");
}

/// Its last words say which requests it has taken.
#[tokio::test]
async fn an_idle_connection_is_told_that_it_ends() {
    let settings = [("HUBBUB__HTTP__KEEP_ALIVE_S", "1")];
    let (node, _database) = Node::on_fresh_database_with(&settings).await;
    for streams in [0_u32, 3] {
        let mut said = BEGINNING.to_vec();
        for number in 0..streams {
            said.extend(asked(2 * number + 1, &[]));
        }
        let mut peer = stream(&node).await;
        peer.write_all(&said).await.expect("it is open");
        let (mut heard, mut frames) = (Vec::new(), Vec::new());
        let mut part = [0; 4096];
        loop {
            let reading = timeout(DEADLINE, peer.read(&mut part)).await;
            let bytes = reading.expect("the end").expect("no reset");
            if bytes == 0 {
                break;
            }
            heard.extend_from_slice(&part[..bytes]);
            // Frame by frame; a ping is answered, as a client that is alive does.
            while let Some(head) = heard.first_chunk::<9>() {
                let length = usize::from(head[1]) << 8 | usize::from(head[2]);
                if heard.len() < 9 + length {
                    break;
                }
                let mut frame: Vec<u8> = heard.drain(..9 + length).collect();
                if frame[3] == 6 && frame[4] == 0 {
                    frame[4] = 1;
                    let _ = peer.write_all(&frame).await;
                }
                frames.push(frame);
            }
        }
        let last = frames.last().expect("a frame");
        let mut expected = vec![0, 0, 8, 7, 0, 0, 0, 0, 0];
        let last_stream = (2 * streams).saturating_sub(1);
        expected.extend(last_stream.to_be_bytes());
        expected.extend([0; 4]);
        assert_eq!(*last, expected);
    }
}
