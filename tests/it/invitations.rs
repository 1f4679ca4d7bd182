//! Invitations: one person, once, for a time.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{self, TestDatabase};
use crate::harness::rest::{Answer, Room, User, register, text};
use crate::harness::rounds;

struct Scene {
    node: Node,
    database: TestDatabase,
    owner: User,
    guest: User,
    room: Room,
}

/// A private room, and somebody who is not in it.
async fn scene() -> Scene {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url).set("HUBBUB__LIMITS__INVITATIONS_PER_ROOM", "5");
    let node = Node::start(options).await;
    let owner = register(&node, "owner").await;
    let guest = register(&node, "guest").await;
    let body = json!({ "name": "den", "is_private": true });
    let room = owner.create_room_with(&body).await;
    Scene {
        node,
        database,
        owner,
        guest,
        room,
    }
}

async fn invite(by: &User, room: &Room, body: &Value) -> Answer {
    by.post(&format!("/api/rooms/{}/invitations", room.id), body)
        .await
}

async fn accept(by: &User, token: &str) -> Answer {
    let body = json!({ "token": token });
    by.post("/api/invitations/accept", &body).await
}

async fn token(by: &User, room: &Room, body: &Value) -> String {
    text(&invite(by, room, body).await.ok()["token"])
}

#[tokio::test]
async fn an_invitation_brings_one_person_in_once() {
    let Scene {
        owner,
        guest,
        room,
        node,
        database,
    } = &scene().await;
    let made = invite(
        owner,
        room,
        &json!({ "role": "moderator", "expires_in_s": 60 }),
    )
    .await;
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    assert_eq!(made["role"], "moderator");
    let token = text(&made["token"]);
    assert_eq!(token.len(), 43);
    let sql = database.connect().await;
    let kept = "SELECT count(*) FROM invitations WHERE encode(token_hash, 'base64') LIKE $1";
    let kept = sql.query_one(kept, &[&format!("%{token}%")]).await;
    assert_eq!(
        kept.expect("a count").get::<_, i64>(0),
        0,
        "only a digest is kept"
    );
    let path = format!("/api/rooms/{}/invitations", room.id);
    let listed = owner.get(&path).await.ok();
    assert_eq!(listed["invitations"][0]["id"], made["id"]);
    assert_eq!(listed["invitations"][0].get("token"), None);

    guest
        .get(&format!("/api/rooms/{}", room.id))
        .await
        .problem(404, "room_not_found");
    let view = accept(guest, &token).await.ok();
    assert_eq!(
        (&view["role"], &view["id"]),
        (&json!("moderator"), &json!(room.id))
    );
    // Whoever lost the answer asks again; nobody else comes by it.
    accept(guest, &token).await.ok();
    let other = register(node, "other").await;
    accept(&other, &token).await.problem(409, "invitation_used");
    assert_eq!(owner.get(&path).await.ok()["invitations"], json!([]));
    // Nor does the guest come twice.
    let leave = format!("/api/rooms/{}/leave", room.id);
    assert_eq!(guest.post(&leave, &json!({})).await.status, 204);
    accept(guest, &token).await.problem(409, "invitation_used");
}

#[tokio::test]
async fn what_is_no_invitation_or_none_any_more() {
    let Scene {
        owner,
        guest,
        room,
        database,
        node,
    } = &scene().await;
    for nonsense in ["", "x", &"A".repeat(43), &"\u{e9}".repeat(20), "'; --"] {
        accept(guest, nonsense)
            .await
            .problem(404, "invitation_not_found");
    }
    guest
        .post("/api/invitations/accept", &json!({}))
        .await
        .problem(400, "invalid_request");
    let made = invite(owner, room, &json!({})).await.ok();
    let path = format!("/api/rooms/{}/invitations/{}", room.id, text(&made["id"]));
    guest.delete(&path).await.problem(404, "room_not_found");
    assert_eq!(owner.delete(&path).await.status, 204);
    owner
        .delete(&path)
        .await
        .problem(404, "invitation_not_found");
    let nonsense = format!("/api/rooms/{}/invitations/x", room.id);
    owner
        .delete(&nonsense)
        .await
        .problem(404, "invitation_not_found");
    accept(guest, &text(&made["token"]))
        .await
        .problem(404, "invitation_not_found");

    let late = token(owner, room, &json!({})).await;
    let sql = database.connect().await;
    let over = "UPDATE invitations SET expires_at = now() WHERE revoked_at IS NULL";
    sql.execute(over, &[]).await.expect("it is over");
    accept(guest, &late)
        .await
        .problem(409, "invitation_expired");

    // One that was made by somebody who could not make it now.
    let moderator = register(node, "moderator").await;
    let members = format!("/api/rooms/{}/members", room.id);
    let body = json!({ "user_id": moderator.id, "role": "moderator" });
    owner.post(&members, &body).await.ok();
    let by_moderator = token(&moderator, room, &json!({})).await;
    let role = format!("{members}/{}", moderator.id);
    owner.patch(&role, &json!({ "role": "member" })).await.ok();
    accept(guest, &by_moderator)
        .await
        .problem(404, "invitation_not_found");
    owner
        .patch(&role, &json!({ "role": "moderator" }))
        .await
        .ok();
    accept(guest, &by_moderator).await.ok();
}

#[tokio::test]
async fn who_may_invite_whom_and_how_often() {
    let Scene {
        owner,
        guest,
        room,
        node,
        ..
    } = &scene().await;
    invite(guest, room, &json!({}))
        .await
        .problem(404, "room_not_found");
    let by = token(owner, room, &json!({})).await;
    accept(guest, &by).await.ok();
    invite(guest, room, &json!({}))
        .await
        .problem(403, "forbidden");
    let list = format!("/api/rooms/{}/invitations", room.id);
    guest.get(&list).await.problem(403, "forbidden");
    let moderator = register(node, "moderator").await;
    let by = token(owner, room, &json!({ "role": "moderator" })).await;
    accept(&moderator, &by).await.ok();
    invite(&moderator, room, &json!({ "role": "owner" }))
        .await
        .problem(403, "forbidden");
    for wrong in [
        json!({ "role": "king" }),
        json!({ "expires_in_s": 0 }),
        json!({ "expires_in_s": 2_592_001 }),
        json!({ "expires_in_s": -1 }),
    ] {
        invite(owner, room, &wrong)
            .await
            .problem(400, "invalid_request");
    }
    // Used ones do not count, open ones do.
    for _ in 0..5 {
        assert_eq!(invite(&moderator, room, &json!({})).await.status, 201);
    }
    invite(owner, room, &json!({}))
        .await
        .problem(409, "too_many_invitations");
    assert_eq!(
        owner.get(&list).await.ok()["invitations"]
            .as_array()
            .map(Vec::len),
        Some(5)
    );
}

/// Many at the same moment, on two nodes: one of them comes in.
#[tokio::test]
async fn used_twice_at_the_same_moment_it_brings_one() {
    let Scene {
        owner,
        node,
        room,
        database,
        ..
    } = &scene().await;
    let other = Node::start(NodeOptions::on(&database.url)).await;
    let mut guests = Vec::new();
    for n in 0..6 {
        let guest = register(node, &format!("g{n}")).await;
        guests.push(if n % 2 == 0 { guest } else { guest.at(&other) });
    }
    for round in 0..rounds(30) {
        let token = token(owner, room, &json!({})).await;
        let answers = join_all(guests.iter().map(|guest| accept(guest, &token))).await;
        let mut came = None;
        for (guest, answer) in guests.iter().zip(answers) {
            if answer.status == 200 {
                assert!(came.is_none(), "round {round}: two came in");
                came = Some(guest);
            } else {
                answer.problem(409, "invitation_used");
            }
        }
        let came = came.unwrap_or_else(|| panic!("round {round}: nobody came in"));
        let leave = format!("/api/rooms/{}/leave", room.id);
        assert_eq!(came.post(&leave, &json!({})).await.status, 204);
    }
}
