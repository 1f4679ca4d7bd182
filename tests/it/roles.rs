//! What each role may do to whom, and what becomes of those to whom it is done.

mod bans;
mod mutes;
mod rooms;

use reqwest::Method;
use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::harness::node::Node;
use crate::harness::postgres::TestDatabase;
use crate::harness::rest::{Answer, Room, User, register, send};

/// A node with people, whose roles the tests give them.
struct Scene {
    node: Node,
    _database: TestDatabase,
    sql: Client,
    /// Whoever makes the rooms.
    maker: User,
    actor: User,
    target: User,
}

impl Scene {
    async fn start() -> Self {
        let (node, database) = Node::on_fresh_database().await;
        Self {
            maker: register(&node, "maker").await,
            actor: register(&node, "actor").await,
            target: register(&node, "target").await,
            sql: database.connect().await,
            _database: database,
            node,
        }
    }

    /// A room in which the actor and the target have these roles, or none.
    async fn room(&self, name: &str, actor: Option<&str>, target: Option<&str>) -> Room {
        let room = self.maker.create_room(name).await;
        for (user, role) in [(&self.actor, actor), (&self.target, target)] {
            if let Some(role) = role {
                add(&self.maker, &room, user, role).await.ok();
            }
        }
        room
    }

    /// A column of somebody's membership; none if there is no membership.
    async fn member<T: for<'a> tokio_postgres::types::FromSql<'a>>(
        &self,
        room: &Room,
        user: &User,
        column: &str,
    ) -> Option<T> {
        let query =
            format!("SELECT {column} FROM room_members WHERE room_id = $1 AND user_id = $2");
        let (room, user) = (uuid(&room.id), uuid(&user.id));
        let row = self.sql.query_opt(&query, &[&room, &user]).await;
        row.expect("an answer").map(|row| row.get(0))
    }
}

fn uuid(id: &str) -> Uuid {
    id.parse().expect("an id")
}

async fn add(by: &User, room: &Room, user: &User, role: &str) -> Answer {
    let body = json!({ "user_id": user.id, "role": role });
    by.post(&format!("/api/rooms/{}/members", room.id), &body)
        .await
}

async fn mute(by: &User, room: &Room, user: &User, body: &Value) -> Answer {
    let path = format!("/api/rooms/{}/members/{}/mute", room.id, user.id);
    by.post(&path, body).await
}

async fn unmute(by: &User, room: &Room, user: &User) -> Answer {
    let path = format!("/api/rooms/{}/members/{}/mute", room.id, user.id);
    by.delete(&path).await
}

/// Bans; `more` has what else is to be said.
async fn ban(by: &User, room: &Room, user: &User, more: &Value) -> Answer {
    let mut body = more.clone();
    body["user_id"] = json!(user.id);
    by.post(&format!("/api/rooms/{}/bans", room.id), &body)
        .await
}

async fn unban(by: &User, room: &Room, user: &User) -> Answer {
    by.delete(&format!("/api/rooms/{}/bans/{}", room.id, user.id))
        .await
}

/// What one can do to somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Add,
    Remove,
    Role,
    Ban,
    Unban,
    Mute,
    Unmute,
}

impl Deed {
    async fn of(self, by: &User, room: &Room, to: &User) -> Answer {
        let path = format!("/api/rooms/{}/members/{}", room.id, to.id);
        match self {
            Self::Add => add(by, room, to, "member").await,
            Self::Remove => send(by.request(Method::DELETE, &path)).await,
            // One that nobody in the table has.
            Self::Role => by.patch(&path, &json!({ "role": "owner" })).await,
            Self::Ban => ban(by, room, to, &json!({})).await,
            Self::Unban => unban(by, room, to).await,
            Self::Mute => mute(by, room, to, &json!({})).await,
            Self::Unmute => unmute(by, room, to).await,
        }
    }

    /// What the answer must be, by the ranks of the two: 0 no member, 1 member, 2 moderator, 3
    /// owner.
    fn expected(self, by: usize, to: usize) -> (u16, Option<&'static str>) {
        const DONE: (u16, Option<&str>) = (204, None);
        const FORBIDDEN: (u16, Option<&str>) = (403, Some("forbidden"));
        const NOBODY: (u16, Option<&str>) = (404, Some("user_not_found"));
        let is_above = by == 3 || by > to;
        match (self, by) {
            (_, 0) => (403, Some("not_a_member")),
            (_, 1) | (Self::Role, 2) => FORBIDDEN,
            (Self::Add, _) => (201, None),
            (Self::Role | Self::Mute | Self::Unmute, _) if to == 0 => NOBODY,
            (Self::Role, _) => (200, None),
            (Self::Unban, _) => DONE,
            _ if !is_above => FORBIDDEN,
            (Self::Ban, _) => (201, None),
            (Self::Mute, _) => (200, None),
            (Self::Remove | Self::Unmute, _) => DONE,
        }
    }
}

const ROLES: [Option<&str>; 4] = [None, Some("member"), Some("moderator"), Some("owner")];

/// Everything that one can do to another, by everyone to everyone.
#[tokio::test]
async fn the_table_of_permissions() {
    use Deed::{Add, Ban, Mute, Remove, Role, Unban, Unmute};
    let scene = Scene::start().await;
    let mut cells = 0;
    for deed in [Add, Remove, Role, Ban, Unban, Mute, Unmute] {
        for (by, actor) in ROLES.into_iter().enumerate() {
            for (to, target) in ROLES.into_iter().enumerate() {
                // To give the role that somebody has, or to add a member, is another deed.
                if (deed == Role && to == 3) || (deed == Add && to > 0) {
                    continue;
                }
                let name = format!("r{cells}");
                let room = scene.room(&name, actor, target).await;
                let answer = deed.of(&scene.actor, &room, &scene.target).await;
                let (status, code) = deed.expected(by, to);
                assert_eq!(
                    answer.status, status,
                    "{deed:?} by {actor:?} to {target:?}: {answer:?}"
                );
                if let Some(code) = code {
                    answer.problem(status, code);
                }
                let is_gone = status < 300 && matches!(deed, Remove | Ban);
                let role: Option<String> = scene.member(&room, &scene.target, "role").await;
                let expected = match (deed, status) {
                    (Add, 201) => Some("member"),
                    (Role, 200) => Some("owner"),
                    _ if is_gone => None,
                    _ => target,
                };
                assert_eq!(
                    role.as_deref(),
                    expected,
                    "{deed:?} by {actor:?} to {target:?}"
                );
                cells += 1;
            }
        }
    }
    assert_eq!(cells, 7 * 16 - 4 - 12);
}

/// Nobody can do these to themselves, and a room keeps an owner.
#[tokio::test]
async fn one_cannot_act_on_oneself_and_the_last_owner_stays() {
    let scene = Scene::start().await;
    let maker = &scene.maker;
    let room = scene.room("r", Some("owner"), Some("member")).await;
    ban(maker, &room, maker, &json!({}))
        .await
        .problem(403, "forbidden");
    mute(maker, &room, maker, &json!({}))
        .await
        .problem(403, "forbidden");
    // Another owner may be shut out; then one is left, who cannot leave or become less.
    assert_eq!(
        ban(maker, &room, &scene.actor, &json!({})).await.status,
        201
    );
    let path = format!("/api/rooms/{}/members/{}", room.id, maker.id);
    for role in ["member", "moderator"] {
        let answer = maker.patch(&path, &json!({ "role": role })).await;
        answer.problem(409, "last_owner");
    }
    let leave = format!("/api/rooms/{}/leave", room.id);
    maker
        .post(&leave, &json!({}))
        .await
        .problem(409, "last_owner");
    for body in [
        json!({}),
        json!({ "role": "king" }),
        json!({ "role": null }),
    ] {
        let answer = maker.patch(&path, &body).await;
        answer.problem(400, "invalid_request");
    }
}
