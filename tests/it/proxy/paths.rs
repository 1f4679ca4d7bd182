//! What goes through the proxy, and how.

use serde_json::json;

use crate::harness::dev_cluster::DevCluster;
use crate::harness::node::NodeOptions;
use crate::harness::rest::{http, register_at, send};
use crate::harness::socket::Socket;
use crate::harness::stream::EventStream;

#[tokio::test]
async fn rest_sockets_and_streams_go_through_it() {
    let cluster = DevCluster::start(3, NodeOptions::embedded()).await;
    let url = |path: &str| format!("http://{}{path}", cluster.address);
    let ada = register_at(&cluster.address, "ada").await;
    let room = ada.create_room("room").await;

    // Six of each: they are on different nodes, as each goes where the fewest are.
    let mut sockets = Vec::new();
    let mut streams = Vec::new();
    for _ in 0..6 {
        let mut socket = Socket::connect_to(&cluster.address, &ada).await;
        socket.join(&room.id).await;
        sockets.push(socket);
        let request = EventStream::request(&ada, "/api/events");
        let mut stream = EventStream::by_proxy(request).await.expect("a stream");
        stream.event("resumed").await;
        streams.push(stream);
    }
    for number in 1..=3i64 {
        let client_id = format!("c{number}");
        sockets[0].publish(&room.id, "hello", &client_id).await;
        for socket in &mut sockets {
            let push = socket.push("message").await;
            assert_eq!(push["client_id"], *client_id, "{push}");
        }
        for stream in &mut streams {
            let event = stream.event("message").await;
            assert_eq!(event.json()["client_id"], *client_id);
        }
    }
    let access = cluster.folder().path().join("nginx/access.log");
    drop((sockets, streams));
    let nodes_of = |text: &str| {
        let via = text.lines().filter(|line| line.contains(" /ws "));
        let mut nodes: Vec<_> = via.filter_map(|line| line.split(" via ").nth(1)).collect();
        nodes.sort_unstable();
        nodes.dedup_by_key(|via| via.split(' ').next().unwrap_or_default().to_owned());
        nodes.len()
    };
    crate::harness::eventually("all nodes had sockets", async || {
        let text = std::fs::read_to_string(&access).unwrap_or_default();
        (nodes_of(&text) == 3).then_some(())
    })
    .await;

    // Above the node's bound and below the proxy's: the node says what is wrong.
    let large = json!({ "body": "x".repeat(1_500_000), "client_id": "large" });
    let answer = ada
        .post(&format!("/api/rooms/{}/messages", room.id), &large)
        .await;
    answer.problem(413, "too_large");
    // Above both.
    let huge = http().post(url("/api/rooms")).body("x".repeat(3_000_000));
    assert_eq!(send(huge).await.status, 413);

    // Each node has its own.
    assert_eq!(send(http().get(url("/metrics"))).await.status, 404);

    let description = async || send(http().get(url("/openapi.json"))).await;
    let first = description().await;
    assert_eq!(
        (first.status, first.header("x-cache-status")),
        (200, Some("MISS"))
    );
    assert_eq!(description().await.header("x-cache-status"), Some("HIT"));

    // A page that is worth it is compressed, for those who take it.
    let plain = ada.get("/openapi.json").await;
    assert_eq!(plain.header("content-encoding"), None);
    let packed = http()
        .get(url("/openapi.json"))
        .header("accept-encoding", "gzip");
    assert_eq!(send(packed).await.header("content-encoding"), Some("gzip"));
}

#[tokio::test]
async fn a_socket_io_session_is_sent_to_the_node_that_its_id_names() {
    let mut cluster = DevCluster::start(3, NodeOptions::embedded()).await;
    let mut addresses = Vec::new();
    // The log has been read up to `ready`; the nodes say where they are before that.
    let access = cluster.folder().path().join("nginx/access.log");
    let config = std::fs::read_to_string(cluster.folder().path().join("nginx/nginx.conf")).unwrap();
    for number in 1..=3 {
        let upstream = format!("upstream at_node-{number} ");
        let line = config
            .lines()
            .find(|line| line.contains(&upstream))
            .unwrap();
        let (_, address) = line.split_once(" server ").unwrap();
        addresses.push(address.split(' ').next().unwrap().to_owned());
    }
    let ask = async |sid: &str| {
        let url = format!(
            "http://{}/socket.io/?EIO=4&transport=polling&sid={sid}",
            cluster.address
        );
        send(http().get(url)).await.status
    };
    let via = |line: usize| {
        let text = std::fs::read_to_string(&access).unwrap_or_default();
        let line = text.lines().nth(line)?.to_owned();
        Some(line.split(" via ").nth(1)?.to_owned())
    };
    for (place, number) in [2, 3, 1, 2].into_iter().enumerate() {
        // No such session is known; what counts is who was asked.
        ask(&format!("node-{number}~1~abc")).await;
        let via = crate::harness::eventually("it is logged", async || via(place)).await;
        assert!(
            via.starts_with(&format!("{} ", addresses[number - 1])),
            "{via}"
        );
    }
    // A name that only begins like a node's is none: anybody may answer.
    ask("node-11~1~abc").await;
    let anybody = crate::harness::eventually("it is logged", async || via(4)).await;
    assert!(
        addresses.iter().any(|it| anybody.starts_with(it.as_str())),
        "{anybody}"
    );
    assert!(cluster.stop().await.success());
}
