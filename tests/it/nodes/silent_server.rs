//! A server that lets a connection in and then says nothing, as a pooler before a frozen Postgres
//! does: what was given up is closed.

use std::time::Duration;

use hubbub::store::SessionOptions;
use hubbub::store::head_notices::NoticeLink;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Lets a connection in: authenticated, and ready for a query.
async fn let_in(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.expect("a connection");
    let length = stream.read_u32().await.expect("a start");
    let mut start = vec![0; length as usize - 4];
    stream.read_exact(&mut start).await.expect("all of it");
    let mut answer = vec![b'R', 0, 0, 0, 8, 0, 0, 0, 0];
    answer.extend([b'Z', 0, 0, 0, 5, b'I']);
    stream.write_all(&answer).await.expect("it listens");
    stream
}

#[tokio::test]
async fn what_is_given_up_while_it_begins_is_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let url = format!("postgres://hubbub@{address}/hubbub?sslmode=disable");
    let limit = Duration::from_millis(200);
    let options = SessionOptions {
        application_name: "test",
        connect_timeout: Duration::from_secs(10),
        statement_timeout: limit,
        idle_in_transaction_timeout: limit,
        lock_timeout: limit,
        synchronous_commit: None,
        keepalives: false,
    };
    let (opened, mut stream) = tokio::join!(NoticeLink::open(&url, &options), let_in(&listener));
    let error = opened.expect_err("nobody answers");
    assert_eq!(error.kind(), "timeout", "{error:?}");
    // What it asked, and then the end.
    let mut asked = Vec::new();
    let read = stream.read_to_end(&mut asked);
    let ended = tokio::time::timeout(crate::harness::DEADLINE, read).await;
    ended.expect("it is closed").ok();
    assert!(!asked.is_empty());
}
