//! Certificate and key: what is wrong with them is said, and new ones are taken while the node
//! runs.

use tokio_rustls::client::TlsStream;

use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres;
use crate::harness::rest::register;
use crate::harness::socket::Socket;
use crate::harness::tls::{Certificate, connect};

#[tokio::test]
async fn what_is_wrong_is_said_with_the_key_and_the_file() {
    let (ours, other) = (Certificate::new(), Certificate::new());
    let half = &ours.cert_pem[..ours.cert_pem.len() / 2];
    let broken = ours.cert_pem.replace("MII", "!!!");
    // What it is, the two files, and words of the refusal.
    type Case<'a> = (&'a str, Option<&'a str>, Option<&'a str>, &'a [&'a str]);
    let cases: &[Case<'_>] = &[
        (
            "no certificate's file",
            None,
            Some(&ours.key_pem),
            &["http.tls_cert", "cert.pem", "cannot read"],
        ),
        (
            "no key's file",
            Some(&ours.cert_pem),
            None,
            &["http.tls_key", "key.pem", "cannot read"],
        ),
        (
            "the key instead of the certificate",
            Some(&ours.key_pem),
            Some(&ours.key_pem),
            &["http.tls_cert", "cert.pem", "BEGIN CERTIFICATE"],
        ),
        (
            "the certificate instead of the key",
            Some(&ours.cert_pem),
            Some(&ours.cert_pem),
            &["http.tls_key", "key.pem", "BEGIN PRIVATE KEY"],
        ),
        (
            "a certificate that is cut off",
            Some(half),
            Some(&ours.key_pem),
            &["http.tls_cert", "cert.pem", "PEM"],
        ),
        (
            "a certificate that is no base64",
            Some(&broken),
            Some(&ours.key_pem),
            &["http.tls_cert", "cert.pem", "PEM"],
        ),
        (
            "another's key",
            Some(&ours.cert_pem),
            Some(&other.key_pem),
            &["http.tls_key", "key.pem", "cert.pem"],
        ),
        (
            "empty files",
            Some(""),
            Some(""),
            &["http.tls_cert", "cert.pem"],
        ),
    ];
    for (what, cert, key, said) in cases {
        let options = NodeOptions::embedded().with_tls();
        let folder = options.folder().path().to_owned();
        for (name, text) in [("cert.pem", cert), ("key.pem", key)] {
            match text {
                Some(text) => std::fs::write(folder.join(name), text).expect("it is written"),
                None => std::fs::remove_file(folder.join(name)).expect("it is removed"),
            }
        }
        let failed = Node::try_start(options).await.err();
        let failed = failed.unwrap_or_else(|| panic!("{what}: it started"));
        assert_ne!(failed.status.code(), Some(0), "{what}");
        for word in *said {
            assert!(
                failed.log.contains(word),
                "{what}: no {word:?} in {}",
                failed.log
            );
        }
        assert!(
            !failed.log.contains("PRIVATE KEY-----"),
            "{what}: {}",
            failed.log
        );
    }
}

#[tokio::test]
async fn one_of_the_two_is_not_enough() {
    for (key, other) in [("TLS_CERT", "http.tls_key"), ("TLS_KEY", "http.tls_cert")] {
        let options = NodeOptions::embedded().set(&format!("HUBBUB__HTTP__{key}"), "some.pem");
        let failed = Node::try_start(options).await.err().expect("it is refused");
        let found = failed.log.contains(&format!("{other}: is not set"));
        assert!(found, "{}", failed.log);
    }
}

/// The certificate that a connection was shown.
fn shown<IO>(stream: &TlsStream<IO>) -> Vec<u8> {
    let (_, tls) = stream.get_ref();
    let chain = tls.peer_certificates().expect("a certificate");
    chain[0].to_vec()
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_and_nobody_is_disconnected() {
    let database = postgres::database().await;
    let node = Node::start(NodeOptions::on(&database.url).with_tls()).await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await.id;
    let mut socket = Socket::connect(&node, &ada).await;
    socket.join(&room).await;
    let old = node.certificate().clone();
    let before = connect(&node.own_address, old.client())
        .await
        .expect("it is trusted");

    // What cannot be used changes nothing.
    let folder = node.folder().path().to_owned();
    std::fs::write(folder.join("cert.pem"), "nonsense").expect("it is written");
    node.hang_up();
    node.log()
        .find(0, |line| {
            line.contains("those of before stay").then_some(())
        })
        .await;
    let still = connect(&node.own_address, old.client())
        .await
        .expect("it is trusted");
    assert_eq!(shown(&still), shown(&before));

    let new = Certificate::new();
    new.write(&folder);
    node.hang_up();
    node.log()
        .find(0, |line| {
            line.contains("certificate that was read now").then_some(())
        })
        .await;
    let after = connect(&node.own_address, new.client())
        .await
        .expect("it is trusted");
    assert_ne!(shown(&after), shown(&before));
    assert!(connect(&node.own_address, old.client()).await.is_err());

    socket.publish(&room, "still here", "1").await;
    assert_eq!(socket.push("message").await["body"], "still here");
}

#[tokio::test]
async fn without_tls_a_reload_ends_nothing() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let mut socket = Socket::connect(&node, &ada).await;
    node.hang_up();
    node.log()
        .find(0, |line| line.contains("without TLS").then_some(()))
        .await;
    socket.ping().await;
}
