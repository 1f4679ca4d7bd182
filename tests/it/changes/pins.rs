//! The list of what is pinned.

use serde_json::Value;

use super::scene::scene;
use crate::harness::rest::text;

/// Large ones do not come all at once, and none is left out.
#[tokio::test]
async fn pins_come_in_pages_of_bounded_size() {
    const PAGE_BODY_BYTES: usize = 512 * 1024;
    const BODY_BYTES: usize = 60_000;
    let scene = scene().await;
    let mut pinned = Vec::new();
    for letter in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] {
        let message = scene.said(&scene.ada, &letter.repeat(BODY_BYTES)).await;
        scene.pin(&scene.mo, &message).await.ok();
        pinned.push(message);
    }
    let (mut listed, mut pages, mut query) = (Vec::new(), 0, String::new());
    loop {
        let path = format!("/api/rooms/room/pins{query}");
        let page = scene.bob.get(&path).await.ok();
        let messages = page["messages"].as_array().expect("messages");
        assert!(messages.len() * BODY_BYTES <= PAGE_BODY_BYTES);
        listed.extend(messages.iter().map(|message| text(&message["id"])));
        pages += 1;
        match &page["next"] {
            Value::Null => break,
            next => query = format!("?after={next}"),
        }
    }
    assert_eq!(listed, pinned);
    assert_eq!(pages, 2);
    let wrong = scene.bob.get("/api/rooms/room/pins?after=x").await;
    wrong.problem(400, "invalid_request");
}
