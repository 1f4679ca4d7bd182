//! Writers of the journal that panic.

use super::crowd::Scene;

#[tokio::test]
async fn a_writer_that_panics_loses_nothing_that_it_acknowledged() {
    let scene = Scene::new(4).await;
    let talk = scene.talk().await;
    let mut panics = 0;
    // With entries waiting, and with a batch that is committed and not told of.
    for point in ["hub.journal.writer", "hub.journal.settle"] {
        for _ in 0..3 {
            talk.goes_on(20).await;
            scene.node.fault(point, "1*panic").await;
            panics += 1;
            scene.down("writer", panics).await;
        }
    }
    talk.goes_on(20).await;
    assert_eq!(talk.check(&scene).await, [], "nobody was disconnected");
}

#[tokio::test]
async fn what_a_writer_committed_and_did_not_tell_is_pushed() {
    // The comparison of heads is asked for when a writer ends: its own turn is far away.
    let scene = Scene::with(2, |options| {
        options.set("HUBBUB__HUB__ANTI_ENTROPY_MS", "60000")
    })
    .await;
    let mut bob = scene.joined(1).await;
    scene.node.fault("hub.journal.settle", "1*panic").await;
    let answer = scene.users[0].say(&scene.room.id, "told late", "c1").await;
    answer.problem(503, "unknown");
    assert_eq!(bob.push("message").await["body"], "told late");
}
