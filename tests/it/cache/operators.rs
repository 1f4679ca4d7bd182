//! `hubbub cache`.

use super::{Cluster, cached, messages};
use crate::harness::eventually;
use crate::harness::node::NodeOptions;
use crate::harness::rest::register;

fn cache(options: &NodeOptions, arguments: &[&str]) -> (bool, String) {
    let arguments = [&["cache"], arguments].concat();
    let output = options.command(&arguments).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let wrong = String::from_utf8_lossy(&output.stderr);
    (output.status.success(), format!("{said}{wrong}"))
}

#[tokio::test]
async fn an_operator_looks_at_copies_and_drops_them() {
    let cluster = Cluster::new(2, &[]).await;
    let options = NodeOptions::on(&cluster.database.url);
    let ada = register(&cluster.nodes[0], "ada").await;
    let room = ada.create_room("general").await;
    ada.say(&room.id, "hello", "1").await.ok();
    let hit = async || {
        for node in &cluster.nodes {
            let ada = ada.at(node);
            eventually("there is a copy", async || {
                let answer = ada.get(&messages(&room)).await;
                (cached(&answer) == "HIT").then_some(())
            })
            .await;
        }
    };
    hit().await;
    let (is_ok, said) = cache(&options, &["stats", "--json"]);
    assert!(is_ok, "{said}");
    assert_eq!(said.lines().count(), 2, "{said}");
    let (is_ok, said) = cache(&options, &["stats"]);
    assert!(
        is_ok && said.contains("messages") && said.contains("HITS"),
        "{said}"
    );
    let (is_ok, said) = cache(&options, &["inspect", "general"]);
    assert!(
        is_ok && said.contains("Messages") && said.contains("Access"),
        "{said}"
    );
    for arguments in [&["drop", "general"][..], &["drop", "--all"]] {
        let before = cluster.nodes[1]
            .metric("cache_invalidations_total{what=\"order\"}")
            .await;
        let (is_ok, said) = cache(&options, arguments);
        assert!(is_ok, "{said}");
        eventually("each node has heard of it", async || {
            let name = "cache_invalidations_total{what=\"order\"}";
            let after = cluster.nodes[1].metric(name).await;
            (after > before).then_some(())
        })
        .await;
        assert_eq!(
            cached(&ada.at(&cluster.nodes[1]).get(&messages(&room)).await),
            "MISS"
        );
        hit().await;
    }
    let (is_ok, said) = cache(&options, &["inspect", "nowhere"]);
    assert!(!is_ok && said.contains("no room called"), "{said}");
    let (is_ok, _) = cache(&options, &["drop"]);
    assert!(!is_ok, "it must be said what");
}
