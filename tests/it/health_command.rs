//! `hubbub health`: what a container engine asks.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};

use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres;
use crate::harness::tls;

async fn health(options: &NodeOptions, arguments: &[&str]) -> (Option<i32>, String) {
    let arguments = [&["health"], arguments].concat();
    let mut command = options.command(&arguments);
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[tokio::test]
async fn it_says_whether_the_node_lives_and_whether_it_is_ready() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url);
    let mut node = Node::start(options.clone()).await;
    let address = node.address.clone();
    let bound = options.clone().set("HUBBUB__HTTP__BIND", &address);
    // By its settings, as in a container, and by its address.
    assert_eq!(health(&bound, &[]).await, (Some(0), String::new()));
    assert_eq!(health(&bound, &["--ready"]).await.0, Some(0));
    assert_eq!(health(&options, &["--address", &address]).await.0, Some(0));
    let (code, error) = health(&options, &[]).await;
    assert_eq!(code, Some(1));
    assert!(error.contains("port 0"), "{error}");

    // A frozen one says nothing.
    node.freeze();
    let (code, error) = health(&bound, &["--timeout", "1"]).await;
    assert_eq!(code, Some(1));
    assert!(error.contains("did not answer within 1 s"), "{error}");
    node.thaw();

    // One that is told to drain is not for clients.
    let mut drain = options.command(&["drain", "--wait"]);
    let drained = tokio::task::spawn_blocking(move || drain.output())
        .await
        .unwrap()
        .unwrap();
    assert!(drained.status.success());
    let (code, error) = health(&bound, &["--ready"]).await;
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("answers 503"), "{error}");
    assert_eq!(
        health(&bound, &[]).await.0,
        Some(0),
        "it lives all the same"
    );

    node.kill9();
    let (code, error) = health(&bound, &[]).await;
    assert_eq!(code, Some(1));
    assert!(error.contains("does not answer"), "{error}");
}

#[tokio::test]
async fn a_node_that_speaks_tls_takes_connections() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url).with_tls();
    let mut node = Node::start(options.clone()).await;
    let bound = options.set("HUBBUB__HTTP__BIND", &node.own_address);
    assert!(!tls::is_wanted());
    assert_eq!(health(&bound, &[]).await.0, Some(0));
    node.kill9();
    assert_eq!(health(&bound, &[]).await.0, Some(1));
}

/// Where something else listens that answers each request so.
fn something_else(answer: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            // Who has heard enough goes.
            let _ = stream.write_all(&answer);
        }
    });
    address
}

/// A container's environment often names a proxy, which does not know the container's own address.
#[tokio::test]
async fn a_proxy_is_not_asked_for_the_node_of_this_machine() {
    let (node, _database) = Node::on_fresh_database().await;
    let proxy = something_else(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n".into());
    let proxy = format!("http://{proxy}");
    let options = NodeOptions::embedded()
        .set("HTTP_PROXY", &proxy)
        .set("http_proxy", &proxy);
    let said = health(&options, &["--address", &node.own_address]).await;
    assert_eq!(said, (Some(0), String::new()));
}

#[tokio::test]
async fn what_another_program_says_there_is_bounded_and_does_no_harm() {
    let options = NodeOptions::embedded();
    let ask = async |answer: Vec<u8>| {
        let address = something_else(answer).to_string();
        health(&options, &["--address", &address]).await
    };
    let mut endless = b"HTTP/1.1 503 No\r\n\r\n\x1b[2J\x07not well\r".to_vec();
    endless.resize(50_000_000, b'x');
    let (code, error) = ask(endless).await;
    assert_eq!(code, Some(1));
    assert!(error.contains("answers 503"), "{error:.1000}");
    assert!(error.contains("not well"), "{error:.1000}");
    assert!(error.len() < 2000, "{} bytes", error.len());
    let control = |c: char| c.is_control() && c != '\n';
    assert!(!error.contains(control), "{error:?}");

    // Another's answer is not the node's.
    let well = something_else(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".into());
    let moved =
        format!("HTTP/1.1 302 Found\r\nlocation: http://{well}/\r\ncontent-length: 0\r\n\r\n");
    let (code, error) = ask(moved.into()).await;
    assert_eq!(code, Some(1));
    assert!(error.contains("answers 302"), "{error}");
}
