//! Who may bring whom into a room and out of it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::node::Node;
use crate::harness::postgres::TestDatabase;
use crate::harness::rest::{Answer, Room, User, register, send, text};

struct Scene {
    _node: Node,
    database: TestDatabase,
    owner: User,
    moderator: User,
    member: User,
    stranger: User,
    room: Room,
}

/// A private room with one of each.
async fn scene() -> Scene {
    let (node, database) = Node::on_fresh_database().await;
    let owner = register(&node, "owner").await;
    let moderator = register(&node, "moderator").await;
    let member = register(&node, "member").await;
    let stranger = register(&node, "stranger").await;
    let body = json!({ "name": "room", "is_private": true });
    let room = owner.create_room_with(&body).await;
    for (user, role) in [(&moderator, "moderator"), (&member, "member")] {
        let answer = add(&owner, &room, user, role).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(answer.json()["role"], role);
    }
    Scene {
        _node: node,
        database,
        owner,
        moderator,
        member,
        stranger,
        room,
    }
}

async fn add(actor: &User, room: &Room, user: &User, role: &str) -> Answer {
    let path = format!("/api/rooms/{}/members", room.id);
    let body = json!({ "user_id": user.id, "role": role });
    actor.post(&path, &body).await
}

async fn remove(actor: &User, room: &Room, user: &User) -> Answer {
    let path = format!("/api/rooms/{}/members/{}", room.id, user.id);
    send(actor.request(Method::DELETE, &path)).await
}

async fn leave(user: &User, room: &Room) -> Answer {
    let path = format!("/api/rooms/{}/leave", room.id);
    user.post(&path, &json!({})).await
}

impl Scene {
    /// The roles by name, as the owner sees them.
    async fn roles(&self) -> Vec<(String, String)> {
        let path = format!("/api/rooms/{}/members", self.room.id);
        let page = self.owner.get(&path).await.ok();
        let mut roles: Vec<_> = page["members"]
            .as_array()
            .expect("members")
            .iter()
            .map(|member| (text(&member["username"]), text(&member["role"])))
            .collect();
        roles.sort();
        roles
    }

    async fn last_seq(&self) -> i64 {
        let sql = self.database.connect().await;
        let query = "SELECT last_seq FROM room_heads";
        sql.query_one(query, &[]).await.expect("a head").get(0)
    }
}

#[tokio::test]
async fn moderators_bring_members_and_owners_give_roles() {
    let Scene {
        owner,
        moderator,
        member,
        stranger,
        room,
        ..
    } = &scene().await;
    add(member, room, stranger, "member")
        .await
        .problem(403, "forbidden");
    add(stranger, room, stranger, "member")
        .await
        .problem(404, "room_not_found");
    for role in ["moderator", "owner"] {
        add(moderator, room, stranger, role)
            .await
            .problem(403, "forbidden");
        add(moderator, room, member, role)
            .await
            .problem(403, "forbidden");
    }
    add(moderator, room, moderator, "owner")
        .await
        .problem(403, "forbidden");
    let answer = add(moderator, room, stranger, "member").await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let answer = add(owner, room, stranger, "owner").await;
    assert_eq!(
        (answer.status, &answer.json()["role"]),
        (200, &json!("owner"))
    );
    // The new owner can do what the old one can.
    let answer = add(stranger, room, owner, "member").await;
    assert_eq!(
        (answer.status, &answer.json()["role"]),
        (200, &json!("member"))
    );
    remove(owner, room, stranger)
        .await
        .problem(403, "forbidden");
}

#[tokio::test]
async fn nothing_happens_twice() {
    let scene = scene().await;
    let before = scene.last_seq().await;
    let again = add(&scene.owner, &scene.room, &scene.member, "member").await;
    assert_eq!(again.status, 200, "{again:?}");
    assert_eq!(
        remove(&scene.owner, &scene.room, &scene.stranger)
            .await
            .status,
        204
    );
    let path = format!("/api/rooms/{}/join", scene.room.id);
    scene.member.post(&path, &json!({})).await.ok();
    assert_eq!(scene.last_seq().await, before, "no event without a change");
    assert_eq!(
        remove(&scene.owner, &scene.room, &scene.member)
            .await
            .status,
        204
    );
    assert_eq!(scene.last_seq().await, before + 1);
    assert_eq!(
        remove(&scene.owner, &scene.room, &scene.member)
            .await
            .status,
        204
    );
    assert_eq!(scene.last_seq().await, before + 1);
}

#[tokio::test]
async fn the_last_owner_stays_while_others_are_there() {
    let scene = scene().await;
    let Scene {
        owner,
        moderator,
        member,
        room,
        ..
    } = &scene;
    leave(owner, room).await.problem(409, "last_owner");
    remove(owner, room, owner).await.problem(409, "last_owner");
    add(owner, room, owner, "member")
        .await
        .problem(409, "last_owner");
    remove(moderator, room, owner)
        .await
        .problem(403, "forbidden");
    assert_eq!(scene.roles().await.len(), 3);
    assert_eq!(leave(moderator, room).await.status, 204);
    assert_eq!(remove(owner, room, member).await.status, 204);
    // Alone they may go, but not stay as a member: nobody could make an owner again.
    for role in ["member", "moderator"] {
        add(owner, room, owner, role)
            .await
            .problem(409, "last_owner");
    }
    assert_eq!(scene.roles().await, [("owner".into(), "owner".into())]);
    assert_eq!(leave(owner, room).await.status, 204);
    owner
        .get(&format!("/api/rooms/{}", room.id))
        .await
        .problem(404, "room_not_found");
}

#[tokio::test]
async fn members_are_listed_to_members_by_pages() {
    let scene = scene().await;
    let roles = scene.roles().await;
    let expected = [
        ("member", "member"),
        ("moderator", "moderator"),
        ("owner", "owner"),
    ];
    let expected: Vec<_> = expected.map(|(a, b)| (a.to_owned(), b.to_owned())).into();
    assert_eq!(roles, expected);
    let mut found = Vec::new();
    let mut path = format!("/api/rooms/{}/members?limit=1", scene.room.slug);
    loop {
        let page = scene.member.get(&path).await.ok();
        found.push(text(&page["members"][0]["username"]));
        match &page["next"] {
            Value::Null => break,
            next => {
                let slug = &scene.room.slug;
                path = format!("/api/rooms/{slug}/members?limit=1&after={}", text(next));
            }
        }
    }
    found.sort();
    assert_eq!(found, ["member", "moderator", "owner"]);
}

#[tokio::test]
async fn a_public_room_is_seen_by_all_and_read_by_members() {
    let scene = scene().await;
    let (owner, stranger) = (&scene.owner, &scene.stranger);
    let room = owner.create_room("public").await;
    assert_eq!(
        stranger.get("/api/rooms/public").await.ok()["role"],
        Value::Null
    );
    for path in ["members", "messages"] {
        let answer = stranger.get(&format!("/api/rooms/public/{path}")).await;
        answer.problem(403, "not_a_member");
    }
    stranger
        .say("public", "hi", "c")
        .await
        .problem(403, "not_a_member");
    stranger
        .post("/api/rooms/public/messages", &json!({ "body": "hi" }))
        .await
        .problem(403, "not_a_member");
    leave(stranger, &room).await.problem(403, "not_a_member");
    let joined = stranger.post("/api/rooms/public/join", &json!({})).await;
    assert_eq!(joined.ok()["role"], "member");
    assert_eq!(joined.ok()["last_seq"], 1);
    assert_eq!(stranger.say("public", "hi", "c").await.status, 201);
    assert_eq!(leave(stranger, &room).await.status, 204);
    stranger
        .say("public", "hi again", "d")
        .await
        .problem(403, "not_a_member");
}

#[tokio::test]
async fn nobody_can_be_added_who_is_not_there() {
    let scene = scene().await;
    let path = format!("/api/rooms/{}/members", scene.room.id);
    let nobody = json!({ "user_id": "00000000-0000-7000-8000-000000000000" });
    let answer = scene.owner.post(&path, &nobody).await;
    answer.problem(404, "user_not_found");
    for body in [
        json!({ "user_id": "x" }),
        json!({ "user_id": scene.stranger.id, "role": "king" }),
    ] {
        let answer = scene.owner.post(&path, &body).await;
        answer.problem(400, "invalid_request");
    }
    let nonsense = format!("{path}/not-an-id");
    let answer = send(scene.owner.request(Method::DELETE, &nonsense)).await;
    answer.problem(404, "user_not_found");
}
