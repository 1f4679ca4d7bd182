//! Who may ask a node and who may not, and what it costs who may not.

use hubbub::peers::seal::Claims;
use hubbub::protocol::origin::Origin;
use hubbub::store::cluster::Secret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{CONNECTIONS, Cluster, Listener, NOBODY};
use crate::harness::eventually;
use crate::harness::node::Node;

async fn refused(node: &Node, code: &str) -> u64 {
    let name = format!("peer_requests_refused_total{{code=\"{code}\"}}");
    node.metric(&name).await
}

#[tokio::test]
async fn who_has_the_secret_is_answered_once() {
    let cluster = Cluster::start(1, &[]).await;
    let channel = cluster.channel("node-a").await;
    let header = channel.header(&channel.claims(NOBODY), CONNECTIONS);
    let good = channel.send(CONNECTIONS, &header, NOBODY).await;
    assert_eq!(good, (200, String::new()));
    for count in 1..4 {
        let again = channel.send(CONNECTIONS, &header, NOBODY).await;
        assert_eq!(again, (401, "replayed".to_owned()));
        assert_eq!(refused(&cluster.nodes[0], "replayed").await, count);
    }
}

#[tokio::test]
async fn whoever_else_asks_is_refused_counted_and_seldom_logged() {
    let cluster = Cluster::start(1, &[]).await;
    let node = &cluster.nodes[0];
    let channel = cluster.channel("node-a").await;
    let claims = channel.claims(NOBODY);
    let header = |claims: &Claims| channel.header(claims, CONNECTIONS);
    let send = async |header: &str, body: &[u8]| channel.send(CONNECTIONS, header, body).await;

    // Without a header, or with none of ours.
    for garbage in ["", "1", "hello there", &"x ".repeat(1000)] {
        assert_eq!(send(garbage, NOBODY).await, (401, "unsigned".to_owned()));
    }
    // Of who does not have the secret.
    let (forged, _) = claims.seal(&Secret([0; 32]), "POST", CONNECTIONS);
    assert_eq!(send(&forged, NOBODY).await, (401, "forged".to_owned()));
    // For another question, and with another body.
    let other = channel.header(&claims, "/peer/redeem_ticket");
    assert_eq!(send(&other, NOBODY).await, (401, "forged".to_owned()));
    let changed = br#"{"user_id":null,"limit":11}"#;
    let swapped = send(&header(&channel.claims(NOBODY)), changed).await;
    assert_eq!(swapped, (401, "forged".to_owned()));
    // For another node, and for another life.
    for to in [("node-b", 1), ("node-a", channel.origin.incarnation + 1)] {
        let to = Origin {
            node: to.0.into(),
            incarnation: to.1,
        };
        let other = header(&Claims {
            to,
            ..claims.clone()
        });
        assert_eq!(send(&other, NOBODY).await, (421, "wrong_node".to_owned()));
    }
    // From the past and from the future.
    for off_us in [-60_000_000, 60_000_000] {
        let time_us = claims.time_us + off_us;
        let other = header(&Claims {
            time_us,
            ..claims.clone()
        });
        assert_eq!(send(&other, NOBODY).await, (401, "expired".to_owned()));
    }
    // Of who may ask, but not this.
    let path = "/peer/anything";
    let header = channel.header(&channel.claims(NOBODY), path);
    let unknown = channel.send(path, &header, NOBODY).await;
    assert_eq!(unknown, (404, "unknown_query".to_owned()));
    let header = channel.header(&channel.claims(b"{}"), CONNECTIONS);
    let invalid = channel.send(CONNECTIONS, &header, b"{}").await;
    assert_eq!(invalid, (400, "invalid_request".to_owned()));

    for (code, count) in [
        ("unsigned", 4),
        ("forged", 3),
        ("wrong_node", 2),
        ("expired", 2),
    ] {
        assert_eq!(refused(node, code).await, count, "{code}");
        let lines = || {
            let text = node.log().text();
            let line = |line: &&str| line.contains("was refused") && line.contains(code);
            text.lines().filter(line).count()
        };
        assert_eq!(
            lines(),
            1,
            "{code}: one line for all:\n{}",
            node.log().text()
        );
    }
    // And the secret is in no line.
    let secret = hubbub::peers::seal::hex(&channel.secret.0);
    assert!(!node.log().text().contains(&secret));
}

/// A connection to the channel, by hand.
struct Raw(TcpStream);

impl Raw {
    async fn open(channel: &Listener) -> Self {
        let stream = TcpStream::connect(&channel.address).await;
        Self(stream.expect("a connection"))
    }

    async fn write(&mut self, text: &str) {
        self.0
            .write_all(text.as_bytes())
            .await
            .expect("it is taken");
    }

    /// Everything up to the end.
    async fn read(&mut self) -> String {
        let mut text = Vec::new();
        // It may be cut off while something is still on its way.
        self.0.read_to_end(&mut text).await.ok();
        String::from_utf8_lossy(&text).into_owned()
    }
}

#[tokio::test]
async fn what_is_too_large_or_too_slow_is_cut_off_and_the_others_are_answered() {
    let settings = [
        ("HUBBUB__PEERS__REQUEST_TIMEOUT_MS", "1000"),
        ("HUBBUB__PEERS__MAX_BODY_BYTES", "65536"),
        ("HUBBUB__PEERS__MAX_REQUESTS", "4"),
    ];
    let cluster = Cluster::start(1, &settings).await;
    let node = &cluster.nodes[0];
    let channel = cluster.channel("node-a").await;
    let large = vec![b' '; 65_537];
    let header = channel.header(&channel.claims(&large), CONNECTIONS);
    let start = |header: &str, length: usize| {
        format!(
            "POST {CONNECTIONS} HTTP/1.1\r\nhost: x\r\nhubbub-peer: {header}\r\n\
             content-length: {length}\r\n\r\n"
        )
    };
    // It is refused by what it says of its size, before it has come.
    let mut raw = Raw::open(&channel).await;
    raw.write(&start(&header, large.len())).await;
    let answer = raw.read().await;
    assert!(
        answer.contains("413 ") && answer.contains("too_large"),
        "{answer}"
    );
    // And by its size, if it says nothing.
    let header = channel.header(&channel.claims(&large), CONNECTIONS);
    let mut raw = Raw::open(&channel).await;
    let chunked = format!(
        "POST {CONNECTIONS} HTTP/1.1\r\nhost: x\r\nhubbub-peer: {header}\r\n\
         transfer-encoding: chunked\r\n\r\n10001\r\n{}\r\n0\r\n\r\n",
        " ".repeat(65_537)
    );
    raw.write(&chunked).await;
    let answer = raw.read().await;
    assert!(
        answer.contains("413 ") && answer.contains("too_large"),
        "{answer}"
    );

    // Those who send half a head have not shown who they are.
    let mut slow_heads = Vec::new();
    for _ in 0..8 {
        let mut raw = Raw::open(&channel).await;
        raw.write("POST /peer/connections HTTP/1.1\r\nhost: x\r\n")
            .await;
        slow_heads.push(raw);
    }
    // Those who do not go on after the head take places of requests, for their time.
    let mut slow_bodies = Vec::new();
    for _ in 0..4 {
        let mut raw = Raw::open(&channel).await;
        let header = channel.header(&channel.claims(NOBODY), CONNECTIONS);
        raw.write(&start(&header, NOBODY.len())).await;
        raw.write("{").await;
        slow_bodies.push(raw);
    }
    for mut raw in slow_bodies {
        let answer = raw.read().await;
        assert!(
            answer.contains("408 ") && answer.contains("too_slow"),
            "{answer}"
        );
    }
    for mut raw in slow_heads {
        let answer = raw.read().await;
        assert!(answer.is_empty() || answer.contains("408 "), "{answer}");
    }
    let header = channel.header(&channel.claims(NOBODY), CONNECTIONS);
    assert_eq!(channel.send(CONNECTIONS, &header, NOBODY).await.0, 200);
    assert_eq!(refused(node, "too_large").await, 2);
    assert_eq!(refused(node, "too_slow").await, 4);
}

/// Places of requests are taken by who may ask; the next one is told that a retry helps.
#[tokio::test]
async fn requests_are_answered_so_many_at_once() {
    let settings = [
        ("HUBBUB__PEERS__REQUEST_TIMEOUT_MS", "20000"),
        ("HUBBUB__PEERS__MAX_REQUESTS", "1"),
    ];
    let cluster = Cluster::start(1, &settings).await;
    let channel = cluster.channel("node-a").await;
    let header = channel.header(&channel.claims(NOBODY), CONNECTIONS);
    let mut raw = Raw::open(&channel).await;
    raw.write(&format!(
        "POST {CONNECTIONS} HTTP/1.1\r\nhost: x\r\nhubbub-peer: {header}\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        NOBODY.len()
    ))
    .await;
    eventually("the place is taken", async || {
        let header = channel.header(&channel.claims(NOBODY), CONNECTIONS);
        let answer = channel.send(CONNECTIONS, &header, NOBODY).await;
        (answer == (503, "overloaded".to_owned())).then_some(())
    })
    .await;
    raw.write(std::str::from_utf8(NOBODY).unwrap()).await;
    let answer = raw.read().await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let header = channel.header(&channel.claims(NOBODY), CONNECTIONS);
    assert_eq!(channel.send(CONNECTIONS, &header, NOBODY).await.0, 200);
}

/// A node that is full of requests that it must remember refuses, and forgets none.
#[tokio::test]
async fn its_memory_is_bounded_and_what_is_in_it_stays_refused() {
    let settings = [
        ("HUBBUB__PEERS__REMEMBERED_MAX", "1000"),
        ("HUBBUB__PEERS__MAX_AGE_MS", "600000"),
    ];
    let cluster = Cluster::start(1, &settings).await;
    let channel = cluster.channel("node-a").await;
    let first = channel.header(&channel.claims(NOBODY), CONNECTIONS);
    assert_eq!(channel.send(CONNECTIONS, &first, NOBODY).await.0, 200);
    let client = reqwest::Client::new();
    let mut refused = None;
    for sent in 1..1100 {
        let header = channel.header(&channel.claims(NOBODY), CONNECTIONS);
        let request = client
            .post(format!("http://{}{CONNECTIONS}", channel.address))
            .header("hubbub-peer", header)
            .body(NOBODY);
        let answer = request.send().await.expect("an answer");
        if answer.status() == 503 {
            refused = Some(sent);
            break;
        }
    }
    assert_eq!(refused, Some(1000));
    let again = channel.send(CONNECTIONS, &first, NOBODY).await;
    assert_eq!(again, (401, "replayed".to_owned()));
}

/// An operator who thinks that the secret is known deletes it.
#[tokio::test]
async fn a_new_secret_is_taken_by_all() {
    let cluster = Cluster::start(2, &[]).await;
    let old = cluster.channel("node-a").await;
    let sql = cluster.database.connect().await;
    let deleted = sql.execute("DELETE FROM cluster_secret", &[]).await;
    assert_eq!(deleted.expect("it is gone"), 1);
    let out = eventually("they understand each other", async || {
        let said = cluster.run(&["nodes"]).await;
        (said.code == Some(0)).then_some(said.out)
    })
    .await;
    assert!(out.contains("node-a") && out.contains("node-b"), "{out}");
    let new = cluster.channel("node-a").await;
    assert_ne!(old.secret, new.secret);
    eventually("the old one is worth nothing", async || {
        let header = old.header(&new.claims(NOBODY), CONNECTIONS);
        let answer = new.send(CONNECTIONS, &header, NOBODY).await;
        (answer == (401, "forged".to_owned())).then_some(())
    })
    .await;
}
