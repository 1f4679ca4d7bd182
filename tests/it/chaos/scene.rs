//! Making what a run begins with. The nodes of a run have so little patience that on a busy machine they
//! refuse for now although nothing is broken; whoever sets the scene asks again.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::harness::DEADLINE;
use crate::harness::node::Node;
use crate::harness::rest::{
    Answer, PASSWORD, Room, User, http, registration, room_of, send, user_of,
};

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// Signs somebody up.
pub(super) async fn user(node: &Node, name: &str) -> User {
    let ask = async |path: &str, body: &Value| {
        patiently(async || send(http().post(node.url(path)).json(body)).await).await
    };
    let mut answer = ask("/api/auth/register", &registration(name)).await;
    if answer.status == 409 {
        // It was stored the first time, without an answer that said so.
        let body = json!({ "login": name, "password": PASSWORD });
        answer = ask("/api/auth/login", &body).await;
    }
    user_of(&node.address, name, &answer)
}

/// Makes a room.
pub(super) async fn room(owner: &User, body: &Value) -> Room {
    let mut answer = patiently(async || owner.post("/api/rooms", body).await).await;
    if answer.status == 409 {
        let slug = body["slug"].as_str().expect("it was given one");
        let path = format!("/api/rooms/{slug}");
        answer = patiently(async || owner.get(&path).await).await;
    }
    room_of(&answer)
}

/// Adds a member.
pub(super) async fn member(owner: &User, room: &Room, body: &Value) {
    let path = format!("/api/rooms/{}/members", room.id);
    patiently(async || owner.post(&path, body).await).await.ok();
}

/// The first answer that is not for now alone.
async fn patiently(ask: impl AsyncFn() -> Answer) -> Answer {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let answer = ask().await;
        if answer.status != 503 || Instant::now() > deadline {
            return answer;
        }
        sleep(PAUSE).await;
    }
}
