//! Fan-outs and connections that panic.

use serde_json::json;

use super::crowd::{Scene, until};
use crate::harness::socket::{End, Socket};

#[tokio::test]
async fn a_fanout_that_panics_ends_its_sockets_and_they_resume() {
    let scene = Scene::new(4).await;
    let talk = scene.talk().await;
    let mut panics = 0;
    for point in ["hub.fanout.deliver", "hub.fanout.apply"] {
        for _ in 0..3 {
            talk.goes_on(20).await;
            scene.node.fault(point, "1*panic").await;
            panics += 1;
            scene.down("fanout", panics).await;
        }
    }
    talk.goes_on(20).await;
    let ends = talk.check(&scene).await;
    assert!(!ends.is_empty());
    let is_broken = |end: &End| matches!(end, End::Broken(_));
    assert!(ends.iter().all(is_broken), "{ends:?}");
}

#[tokio::test]
async fn a_connection_that_panics_disturbs_nobody_else() {
    let scene = Scene::new(3).await;
    let talk = scene.talk().await;
    for n in 1..=5 {
        talk.goes_on(10).await;
        scene.node.fault("hub.connection.command", "1*panic").await;
        scene.down("connection", n).await;
    }
    talk.goes_on(10).await;
    assert_eq!(talk.check(&scene).await.len(), 5, "one for each panic");
}

#[tokio::test]
async fn nothing_is_left_of_a_connection_that_panicked() {
    let scene = Scene::new(2).await;
    let mut ann = scene.joined(0).await;
    let mut bob = scene.joined(1).await;
    let here = json!({ "room": scene.room.id });
    scene.node.fault("hub.connection.command", "1*panic").await;
    assert!(bob.try_request("ping", json!({})).await.is_err());
    assert!(matches!(bob.closed().await, End::Broken(_)));
    until("he is gone", &mut ann, ("presence", here), |reply| {
        (reply["ok"]["count"] == 1).then_some(())
    })
    .await;
    assert_eq!(scene.metric("websocket_active_connections").await, 1);
    ann.publish(&scene.room.id, "where is he?", "c1").await;
    assert_eq!(ann.push("message").await["client_id"], "c1");
}

/// What the checker of clients has to find must be there to be found.
#[tokio::test]
async fn the_fanout_loses_doubles_and_swaps_when_asked_to() {
    let scene = Scene::with(2, |options| options.set("HUBBUB__HTTP__WORKERS", "1")).await;
    let mut first = scene.joined(0).await;
    let mut second = scene.joined(1).await;
    let mut told = async |fault: &str, actions: &str| {
        scene.node.fault(fault, actions).await;
        for n in 0..3 {
            let key = format!("{fault} {actions} {n}");
            scene.users[0].say(&scene.room.id, "x", &key).await.ok();
        }
        let mut told = Vec::new();
        for socket in [&mut first, &mut second] {
            let last = format!("{fault} {actions} 2");
            let mut keys = Vec::new();
            while keys.last() != Some(&'2') {
                let key = socket.push("message").await["client_id"].clone();
                let key = key.as_str().expect("a key").to_owned();
                keys.extend(key.chars().last());
                assert!(key <= last, "{key}");
            }
            told.push(keys.into_iter().collect::<String>());
        }
        told
    };
    assert_eq!(told("hub.fanout.lose", "1*return").await, ["12", "12"]);
    assert_eq!(
        told("hub.fanout.lose", "1*return(one)").await,
        ["12", "012"]
    );
    assert_eq!(
        told("hub.fanout.double", "1*return").await,
        ["0012", "0012"]
    );
    let doubled = told("hub.fanout.double", "1*return(one)").await;
    assert_eq!(doubled, ["0012", "012"]);
    assert_eq!(told("hub.fanout.swap", "1*return").await, ["102", "102"]);
    assert_eq!(
        told("hub.fanout.swap", "1*return(one)").await,
        ["102", "012"]
    );
    let mut third = Socket::connect(&scene.node, &scene.users[1]).await;
    let joined = third
        .ok("join", json!({ "room": scene.room.id, "since": 0 }))
        .await;
    assert_eq!(joined["replayed"], scene.head().await, "the log is whole");
}
