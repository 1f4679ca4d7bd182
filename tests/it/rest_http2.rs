//! REST over HTTP/2: by TLS, as browsers come, and in plain, as a proxy may come.

use h2::client::{self, SendRequest};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::http::{Request, Response};

use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres;
use crate::harness::rest::{User, register};
use crate::harness::tls::connect;

type Client = SendRequest<bytes::Bytes>;

async fn handshake<S>(stream: S) -> Client
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (client, connection) = client::handshake(stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    client
}

/// An answer, with its body.
async fn ask(
    client: &Client,
    user: &User,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    body: &str,
) -> (Response<()>, Vec<u8>) {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("https://localhost{path}"));
    request = request.header("authorization", format!("Bearer {}", user.token));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut client = client.clone().ready().await.expect("a place for a stream");
    let request = request.body(()).expect("a request");
    let (answer, mut sending) = client
        .send_request(request, body.is_empty())
        .expect("it is sent");
    if !body.is_empty() {
        sending
            .send_data(body.to_owned().into(), true)
            .expect("it is sent");
    }
    let (head, mut incoming) = answer.await.expect("an answer").into_parts();
    let mut read = Vec::new();
    while let Some(part) = incoming.data().await {
        let part = part.expect("a part");
        let released = incoming.flow_control().release_capacity(part.len());
        released.expect("a stream");
        read.extend_from_slice(&part);
    }
    (Response::from_parts(head, ()), read)
}

/// What REST promises holds here, too, for many requests at once on one connection.
async fn talk(client: Client, ada: &User) {
    const JSON: (&str, &str) = ("content-type", "application/json");
    let room = ada.create_room("general").await;
    let path = format!("/api/rooms/{}/messages", room.id);
    let said: Vec<_> = (0..20)
        .map(|n| json!({ "body": format!("m{n}, again and again") }).to_string())
        .collect();
    let said = said
        .iter()
        .map(|body| ask(&client, ada, ("POST", &path), &[JSON], body));
    for (answer, _) in futures_util::future::join_all(said).await {
        assert_eq!(answer.status(), 201);
    }
    let (plain, body) = ask(&client, ada, ("GET", &path), &[], "").await;
    assert_eq!(plain.status(), 200);
    let page: Value = serde_json::from_slice(&body).expect("a page");
    assert_eq!(page["messages"].as_array().map(Vec::len), Some(20));
    for coding in ["br", "zstd", "gzip"] {
        let wish = [("accept-encoding", coding)];
        let (answer, packed) = ask(&client, ada, ("GET", &path), &wish, "").await;
        assert_eq!(answer.headers()["content-encoding"], coding);
        assert_eq!(super::rest_answers::unpacked(coding, &packed), body);
    }
    let (head, nothing) = ask(&client, ada, ("HEAD", &path), &[], "").await;
    assert_eq!((head.status().as_u16(), nothing.len()), (200, 0));
    let (options, _) = ask(&client, ada, ("OPTIONS", &path), &[], "").await;
    assert_eq!(options.headers()["allow"], "GET, HEAD, POST, OPTIONS");
    let key = [JSON, ("idempotency-key", "k")];
    let (_, first) = ask(
        &client,
        ada,
        ("POST", "/api/rooms"),
        &key,
        "{\"name\": \"x\"}",
    )
    .await;
    let (again, second) = ask(
        &client,
        ada,
        ("POST", "/api/rooms"),
        &key,
        "{\"name\": \"x\"}",
    )
    .await;
    assert_eq!(
        (again.headers()["idempotency-replayed"].as_bytes(), first),
        (&b"true"[..], second)
    );
    let export = format!("/api/rooms/{}/export", room.id);
    let (_, lines) = ask(&client, ada, ("GET", &export), &[], "").await;
    assert_eq!(String::from_utf8_lossy(&lines).lines().count(), 20);
}

#[tokio::test]
async fn by_tls() {
    let database = postgres::database().await;
    let node = Node::start(NodeOptions::on(&database.url).with_tls()).await;
    let ada = register(&node, "ada").await;
    let mut config = node.certificate().client();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = connect(&node.own_address, config)
        .await
        .expect("a handshake");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    talk(handshake(stream).await, &ada).await;
}

#[tokio::test]
async fn in_plain() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let stream = TcpStream::connect(&node.address)
        .await
        .expect("the node accepts");
    talk(handshake(stream).await, &ada).await;
}
