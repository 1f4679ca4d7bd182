//! What only TLS has: names, versions, protocols, resumption, and its word at the end.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::rustls::{
    ClientConfig, HandshakeKind, ProtocolVersion, SupportedProtocolVersion,
};
use tokio_rustls::rustls::{pki_types::ServerName, version};

use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{self, TestDatabase};
use crate::harness::raw::{FIN, masked, opcode};
use crate::harness::rest::{http, register, send};
use crate::harness::tls::connect;

async fn node() -> (Node, TestDatabase) {
    let database = postgres::database().await;
    let node = Node::start(NodeOptions::on(&database.url).with_tls()).await;
    (node, database)
}

/// Asks for the node's health and gives the answer, up to its end.
async fn ask<IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(stream: &mut IO) -> String {
    let request = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.expect("it is sent");
    let mut answer = String::new();
    // An end without `close_notify` would be an error.
    let read = stream.read_to_string(&mut answer).await;
    read.expect("the answer ends with TLS's own word");
    answer
}

#[tokio::test]
async fn both_versions_are_spoken_and_sessions_are_resumed() {
    let (node, _database) = node().await;
    let versions: [(&'static SupportedProtocolVersion, ProtocolVersion); 2] = [
        (&version::TLS12, ProtocolVersion::TLSv1_2),
        (&version::TLS13, ProtocolVersion::TLSv1_3),
    ];
    for (offered, spoken) in versions {
        let config = node.certificate().client_of(&[offered]);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let stream = connect(&node.own_address, config.clone()).await;
            let mut stream = stream.expect("a handshake");
            let answer = ask(&mut stream).await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            let (_, tls) = stream.get_ref();
            assert_eq!(tls.protocol_version(), Some(spoken));
            assert_eq!(tls.handshake_kind(), Some(kind), "{spoken:?}");
        }
    }
    let full = node.metric("tls_handshakes_total{kind=\"full\"}").await;
    let resumed = node.metric("tls_handshakes_total{kind=\"resumed\"}").await;
    assert!(full >= 2 && resumed >= 2, "{full} full, {resumed} resumed");
}

#[tokio::test]
async fn the_protocol_is_chosen_by_alpn() {
    let (node, _database) = node().await;
    for (offered, chosen) in [
        (&[][..], None),
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1"][..], Some("http/1.1")),
    ] {
        let mut config = node.certificate().client();
        config.alpn_protocols = offered.iter().map(|it| it.as_bytes().to_vec()).collect();
        let mut stream = connect(&node.own_address, config)
            .await
            .expect("a handshake");
        let spoken = stream.get_ref().1.alpn_protocol();
        assert_eq!(spoken, chosen.map(str::as_bytes));
        if chosen == Some("h2") {
            let (mut client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
            tokio::spawn(connection);
            let request =
                tokio_tungstenite::tungstenite::http::Request::get("https://localhost/health/live");
            let (answer, _) = client
                .send_request(request.body(()).expect("a request"), true)
                .expect("it is sent");
            assert_eq!(answer.await.expect("an answer").status(), 200);
        } else {
            let answer = ask(&mut stream).await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        }
    }
    let mut config = node.certificate().client();
    config.alpn_protocols = vec![b"gopher".to_vec()];
    assert!(connect(&node.own_address, config).await.is_err());
}

/// A client that names nobody, or an address, is served; one that has a certificate is not asked
/// for it.
#[tokio::test]
async fn names_and_certificates_of_clients_do_not_matter() {
    let (node, _database) = node().await;
    let mut nameless = node.certificate().client();
    nameless.enable_sni = false;
    let mut stream = connect(&node.own_address, nameless)
        .await
        .expect("a handshake");
    assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200 "));

    let tcp = tokio::net::TcpStream::connect(&node.own_address)
        .await
        .expect("a connection");
    let connector = tokio_rustls::TlsConnector::from(Arc::new(node.certificate().client()));
    let name = ServerName::try_from("127.0.0.1").expect("an address");
    let mut stream = connector.connect(name, tcp).await.expect("a handshake");
    assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200 "));

    let own: ClientConfig = node.certificate().client_with_certificate();
    let mut stream = connect(&node.own_address, own).await.expect("a handshake");
    assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_socket_ends_with_its_close_frame_and_then_with_tls() {
    let (node, _database) = node().await;
    let ada = register(&node, "ada").await;
    let stream = connect(&node.own_address, node.certificate().client()).await;
    let mut stream = stream.expect("a handshake");
    let head = format!(
        "GET /ws HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        ada.token
    );
    // In the same record as the handshake, and a larger one than a record may be.
    let mut said = head.into_bytes();
    said.extend(masked(FIN | opcode::PING, b"early"));
    said.extend(masked(FIN | opcode::TEXT, &vec![b' '; 40_000]));
    said.extend(masked(FIN | opcode::PING, b"late"));
    said.extend(masked(FIN | opcode::CLOSE, &1000_u16.to_be_bytes()));
    stream.write_all(&said).await.expect("it is sent");
    let mut heard = Vec::new();
    let read = stream.read_to_end(&mut heard).await;
    read.expect("the end is TLS's own word");
    let text = String::from_utf8_lossy(&heard);
    assert!(text.starts_with("HTTP/1.1 101 "), "{text}");
    for said in ["early", "invalid_request", "late"] {
        assert!(text.contains(said), "no {said:?} in {text}");
    }
    assert!(heard.ends_with(&[0x88, 2, 0x03, 0xe8]), "{text}");
}

/// The scheme is known: cookies are `Secure`, and pages of `https://` are the node's own.
#[tokio::test]
async fn cookies_are_secure_and_the_own_origin_is_https() {
    let (node, _database) = node().await;
    register(&node, "ada").await;
    let login = serde_json::json!({ "login": "ada", "password": crate::harness::rest::PASSWORD });
    let answer = send(http().post(node.url("/api/auth/login")).json(&login)).await;
    answer.ok();
    let cookie = answer.header("set-cookie").expect("a cookie").to_owned();
    assert!(cookie.ends_with("; Secure"), "{cookie}");
    let cookie = cookie.split(';').next().expect("a pair").to_owned();
    for (scheme, status) in [("https", 201), ("http", 403)] {
        let room = serde_json::json!({ "name": scheme });
        let request = http()
            .post(node.url("/api/rooms"))
            .header("cookie", &cookie)
            .header("origin", format!("{scheme}://{}", node.address))
            .json(&room);
        assert_eq!(send(request).await.status, status, "{scheme}");
    }
}
