//! Rooms with more people than lists name.

use serde_json::json;

use super::scene::{Cluster, asked, present};
use crate::harness::eventually;
use crate::harness::redis::Redis;
use crate::harness::rest::register;
use crate::harness::socket::Socket;

#[tokio::test]
async fn a_large_room_is_counted_and_listed_again_when_it_is_small() {
    let redis = Redis::start().await;
    let settings = [
        ("HUBBUB__HUB__PRESENCE_LIST_MAX", "4"),
        ("HUBBUB__HUB__PRESENCE_COUNT_MS", "100"),
    ];
    let cluster = Cluster::start(Some(&redis), 2, &settings).await;
    let mut users = Vec::new();
    for number in 0..6 {
        users.push(register(&cluster.nodes[0], &format!("user{number}")).await);
    }
    let room = cluster
        .room(&users[0], &users[1..].iter().collect::<Vec<_>>())
        .await;
    let mut sockets = Vec::new();
    for (number, user) in users.iter().enumerate() {
        let mut socket = Socket::connect(&cluster.nodes[number % 2], user).await;
        socket.join(&room.id).await;
        sockets.push(socket);
    }
    let everybody = json!({ "room": room.id, "count": 6, "users": [], "only_count": true });
    for socket in sockets.iter_mut().take(2) {
        eventually("there are six", async || {
            (asked(socket, &room).await == everybody).then_some(())
        })
        .await;
        let push = socket
            .next_push("they are counted", |push| push["count"] == 6)
            .await;
        assert_eq!(push["only_count"], true);
        assert_eq!((&push["joins"], &push["leaves"]), (&json!([]), &json!([])));
    }
    for socket in sockets.drain(3..) {
        socket.close().await;
    }
    let three: Vec<_> = users.iter().take(3).collect();
    for socket in &mut sockets {
        present(socket, &room, &three).await;
        let push = socket
            .next_push("they are listed", |push| push["reset"] == true)
            .await;
        assert!(push.get("only_count").is_none(), "{push}");
        assert!(
            push["joins"].as_array().is_some_and(|it| it.len() <= 4),
            "{push}"
        );
    }
}
