//! What is deleted is nowhere any more.

use super::{Cluster, cached, get_with, messages, seen};
use crate::harness::eventually;
use crate::harness::redis::Redis;
use crate::harness::rest::{register, text};

/// Every value that Redis has.
async fn everything(redis: &Redis) -> String {
    let mut connection = redis.connect().await;
    let mut command = redis::cmd("KEYS");
    let keys = connection.send_packed_command(command.arg("*")).await;
    let keys: Vec<String> = redis::from_redis_value(keys.expect("keys")).expect("names");
    let mut all = Vec::new();
    for key in keys.iter().filter(|key| key.contains("cache:")) {
        let mut command = redis::cmd("HGETALL");
        let found = connection.send_packed_command(command.arg(key)).await;
        all.push(format!("{:?}", found.expect("a hash")));
    }
    all.concat()
}

#[tokio::test]
async fn a_deleted_text_is_in_no_copy() {
    const SECRET: &str = "unspeakable";
    let redis = Redis::start().await;
    let settings = [
        ("REDIS_URL", redis.url()),
        ("HUBBUB__REDIS__CALL_TIMEOUT_MS", "10000".to_owned()),
    ];
    let settings = settings
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let cluster = Cluster::new(2, &settings).await;
    let ada = register(&cluster.nodes[0], "ada").await;
    let there = ada.at(&cluster.nodes[1]);
    let room = ada.create_room("general").await;
    let said = text(&ada.say(&room.id, SECRET, "1").await.ok()["id"]);
    ada.say(&room.id, "harmless", "2").await.ok();
    let paths = [messages(&room), format!("{}?before=1000", messages(&room))];
    for path in &paths {
        for user in [&ada, &there] {
            eventually("there is a copy", async || {
                let answer = user.get(path).await;
                assert!(answer.text.contains(SECRET));
                (cached(&answer) == "HIT").then_some(())
            })
            .await;
        }
    }
    eventually("it is shared", async || {
        everything(&redis)
            .await
            .contains("unspeakable")
            .then_some(())
    })
    .await;
    ada.delete(&format!("{}/{said}", messages(&room)))
        .await
        .ok();
    for path in &paths {
        let page = ada.get(path).await;
        assert!(!page.text.contains(SECRET), "{}", page.text);
        let cursor = seen(&room, page.json()["last_seq"].as_u64().unwrap());
        let page = get_with(&there, path, &[("hubbub-min-cursor", &cursor)]).await;
        assert!(!page.text.contains(SECRET), "{}", page.text);
        page.ok();
    }
    eventually("it is not in Redis", async || {
        (!everything(&redis).await.contains("unspeakable")).then_some(())
    })
    .await;
    for path in &paths {
        eventually("nor elsewhere", async || {
            (!there.get(path).await.text.contains(SECRET)).then_some(())
        })
        .await;
    }
}
