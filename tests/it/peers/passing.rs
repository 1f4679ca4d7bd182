//! Requests of clients that nodes pass on, and those of who only says that it is a node.

use hubbub::peers::passing::PassedOn;
use hubbub::peers::seal::{self, Claims, REQUEST_HEADER};
use hubbub::store::cluster::Secret;

use super::{Cluster, Listener};
use crate::harness::raw::RawPeer;

const POLL: &str = "/peer/engineio";

/// A poll of a session that is nobody's.
fn poll(channel: &Listener) -> Vec<u8> {
    let sid = format!("{}~1~{}", channel.origin.node, "A".repeat(24));
    let request = PassedOn {
        is_post: false,
        query: format!("EIO=4&transport=polling&sid={sid}"),
        is_bytes: false,
    };
    let mut body = serde_json::to_vec(&request).unwrap();
    body.push(b'\n');
    body
}

#[tokio::test]
async fn a_request_is_passed_on_by_nodes_alone() {
    let cluster = Cluster::start(1, &[]).await;
    let channel = cluster.channel("node-a").await;
    let body = poll(&channel);
    let claims = channel.claims(&body);

    let (forged, _) = claims.seal(&Secret([0; 32]), "POST", POLL);
    let answer = channel.send(POLL, &forged, &body).await;
    assert_eq!(answer, (401, "forged".to_owned()));
    let other = channel.header(&claims, "/peer/connections");
    let answer = channel.send(POLL, &other, &body).await;
    assert_eq!(answer, (401, "forged".to_owned()));
    let mut to = channel.origin.clone();
    to.incarnation += 1;
    let other = channel.header(
        &Claims {
            to,
            ..claims.clone()
        },
        POLL,
    );
    let answer = channel.send(POLL, &other, &body).await;
    assert_eq!(answer, (421, "wrong_node".to_owned()));

    // What is no such request.
    for garbage in [&b""[..], b"{}", b"{}\n", b"\n\n"] {
        let header = channel.header(&channel.claims(garbage), POLL);
        let answer = channel.send(POLL, &header, garbage).await;
        assert_eq!(answer, (400, "invalid_request".to_owned()));
    }

    // And one that is: it says that there is no such session, once.
    let header = channel.header(&claims, POLL);
    let send = async || {
        let request = reqwest::Client::new()
            .post(format!("http://{}{POLL}", channel.address))
            .header(REQUEST_HEADER, &header)
            .body(body.clone());
        request.send().await.unwrap()
    };
    let answer = send().await;
    assert_eq!(answer.status(), 200);
    let text = answer.text().await.unwrap();
    assert_eq!(text, "{\"status\":400,\"kind\":\"unknown_sid\"}\n");
    assert_eq!(send().await.status(), 401);
}

#[tokio::test]
async fn a_websocket_is_passed_on_by_nodes_alone() {
    let cluster = Cluster::start(1, &[]).await;
    let channel = cluster.channel("node-a").await;
    let said = format!(
        r#"{{"query":"EIO=4&transport=websocket&sid=node-a~1~{}","deflate":false}}"#,
        "A".repeat(24)
    );
    let path = format!("/peer/engineio_socket/{}", seal::hex(said.as_bytes()));
    let ask = async |path: &str, header: Option<String>| {
        let mut peer = RawPeer::connect_to(&channel.address).await;
        let header = header.map_or(String::new(), |it| format!("{REQUEST_HEADER}: {it}\r\n"));
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             {header}\r\n"
        );
        peer.write(head.as_bytes()).await;
        let head = peer.read_head().await;
        head.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    let good = |claims: &Claims, path: &str| claims.seal(&channel.secret, "GET", path).0;
    let claims = channel.claims(b"");

    assert_eq!(ask(&path, None).await, "401");
    let (forged, _) = claims.seal(&Secret([0; 32]), "GET", &path);
    assert_eq!(ask(&path, Some(forged)).await, "401");
    let other = good(&claims, "/peer/engineio_socket/00");
    assert_eq!(ask(&path, Some(other)).await, "401");
    let with_body = good(&channel.claims(b"body"), &path);
    assert_eq!(ask(&path, Some(with_body)).await, "401");
    // Who may ask, and asks for nothing that there is.
    for (path, status) in [("/peer/connections", "404"), (&*path, "400")] {
        let header = good(&channel.claims(b""), path);
        assert_eq!(ask(path, Some(header.clone())).await, status);
        assert_eq!(ask(path, Some(header)).await, "401", "a second time");
    }
}
