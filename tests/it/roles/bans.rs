//! Banned: out at once, and back by no way.

use serde_json::{Value, json};

use super::{Scene, add, ban, unban};
use crate::harness::eventually;
use crate::harness::rest::{Room, User, login, text};
use crate::harness::socket::Socket;

async fn invitation(by: &User, room: &Room) -> String {
    let path = format!("/api/rooms/{}/invitations", room.id);
    text(&by.post(&path, &json!({})).await.ok()["token"])
}

#[tokio::test]
async fn who_is_banned_is_out_at_once_and_cannot_come_back() {
    let scene = Scene::start().await;
    let (maker, target) = (&scene.maker, &scene.target);
    let room = scene.room("r", None, Some("member")).await;
    let mut watching = Socket::connect(&scene.node, maker).await;
    watching.join(&room.id).await;
    let mut sockets = Vec::new();
    for _ in 0..3 {
        let mut socket = Socket::connect(&scene.node, target).await;
        socket.join(&room.id).await;
        sockets.push(socket);
    }
    let token = invitation(maker, &room).await;

    let until = "2999-01-02T03:04:05.123456Z";
    let banned = ban(
        maker,
        &room,
        target,
        &json!({ "reason": "spam", "until": until }),
    )
    .await;
    assert_eq!(banned.status, 201, "{banned:?}");
    let view = banned.json();
    assert_eq!(
        (&view["reason"], &view["until"]),
        (&json!("spam"), &json!(until))
    );
    assert_eq!(view["banned_by"], json!(maker.id));
    let push = watching.push("member").await;
    assert_eq!(push["change"], "banned", "{push}");
    assert_eq!(
        (&push["until"], &push["by"]),
        (&json!(until), &json!(maker.id))
    );
    for socket in &mut sockets {
        assert_eq!(socket.push("removed").await["room"], json!(room.id));
        let refused = socket.err("join", json!({ "room": room.id })).await;
        assert_eq!(refused["code"], "not_a_member");
        let fields = json!({ "room": room.id, "body": "x", "client_id": "c" });
        let refused = socket.err("publish", fields).await;
        assert_eq!(refused["code"], "not_a_member");
    }

    let join = format!("/api/rooms/{}/join", room.id);
    target.post(&join, &json!({})).await.problem(403, "banned");
    for role in ["member", "moderator", "owner"] {
        add(maker, &room, target, role).await.problem(403, "banned");
    }
    let accept = json!({ "token": token });
    let accepted = target.post("/api/invitations/accept", &accept).await;
    accepted.problem(403, "banned");
    // Another session is the same user.
    let again = login(&scene.node, "target").await;
    again.post(&join, &json!({})).await.problem(403, "banned");

    let bans = format!("/api/rooms/{}/bans", room.id);
    let listed = maker.get(&bans).await.ok();
    assert_eq!(listed["bans"].as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(listed["bans"][0]["username"], "target");
    assert_eq!(listed["next"], Value::Null);
    scene.actor.get(&bans).await.problem(403, "not_a_member");

    assert_eq!(unban(maker, &room, target).await.status, 204);
    assert_eq!(watching.push("member").await["change"], "unbanned");
    assert_eq!(unban(maker, &room, target).await.status, 204);
    assert_eq!(maker.get(&bans).await.ok()["bans"], json!([]));
    // The invitation was not used up by the refusal.
    target.post("/api/invitations/accept", &accept).await.ok();
    let push = watching.push("member").await;
    assert_eq!(
        (&push["change"], &push["user_id"]),
        (&json!("joined"), &json!(target.id))
    );
}

#[tokio::test]
async fn a_ban_can_be_for_a_time_and_be_changed() {
    let scene = Scene::start().await;
    let (maker, target) = (&scene.maker, &scene.target);
    let room = scene.room("r", None, None).await;
    // Who never was a member can be banned too, and in a private room nobody is told.
    assert_eq!(
        ban(maker, &room, target, &json!({ "seconds": 600 }))
            .await
            .status,
        201
    );
    let head = async || -> i64 {
        let row = scene.sql.query_one("SELECT last_seq FROM room_heads", &[]);
        row.await.expect("a head").get(0)
    };
    let before = head().await;
    let until = json!({ "until": "2999-01-01T00:00:00Z" });
    assert_eq!(ban(maker, &room, target, &until).await.status, 201);
    assert_eq!(ban(maker, &room, target, &until).await.status, 201);
    assert_eq!(head().await, before + 1, "the same again changes nothing");
    assert_eq!(
        ban(maker, &room, target, &json!({ "seconds": 1 }))
            .await
            .status,
        201
    );
    let join = format!("/api/rooms/{}/join", room.id);
    target.post(&join, &json!({})).await.problem(403, "banned");
    eventually("the ban is over", async || {
        let answer = target.post(&join, &json!({})).await;
        (answer.status == 200).then_some(())
    })
    .await;
    let left = scene.sql.query("SELECT FROM room_bans", &[]).await;
    assert!(left.expect("an answer").is_empty());
    for wrong in [
        json!({ "seconds": 0 }),
        json!({ "until": "1999-01-01T00:00:00Z" }),
        json!({ "until": "2999-01-01T00:00:00Z", "seconds": 5 }),
        json!({ "until": "tomorrow" }),
        json!({ "reason": "x".repeat(1001) }),
        json!({ "reason": "a\u{0}b" }),
    ] {
        let answer = ban(maker, &room, target, &wrong).await;
        assert_eq!(answer.status, 400, "{wrong}: {answer:?}");
    }
    let mut nobody = target.clone();
    nobody.id = "00000000-0000-7000-8000-000000000000".into();
    ban(maker, &room, &nobody, &json!({}))
        .await
        .problem(404, "user_not_found");
}
