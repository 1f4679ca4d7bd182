//! Registering, logging in and out: sessions, cookies, tickets.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hubbub::auth::sessions::Sessions;
use hubbub::config::Config;
use hubbub::protocol::id::{SessionId, UserId};
use hubbub::store::Store;
use serde_json::{Value, json};

use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{self, TestDatabase};
use crate::harness::rest::{
    Answer, PASSWORD, User, http, login, register, registration, send, text,
};
use crate::harness::socket::{End, Socket};

async fn post(node: &Node, path: &str, body: &Value) -> Answer {
    send(http().post(node.url(path)).json(body)).await
}

/// The cookie of an answer, as its attributes.
fn cookie(answer: &Answer) -> Vec<String> {
    let header = answer.header("set-cookie").expect("a cookie");
    header.split("; ").map(str::to_owned).collect()
}

/// Who a cookie stands for.
async fn who(node: &Node, cookie: &str) -> Answer {
    let request = http().get(node.url("/api/users/me"));
    send(request.header("cookie", cookie)).await
}

#[tokio::test]
async fn who_registers_is_logged_in_by_token_and_by_cookie() {
    let (node, _database) = Node::on_fresh_database().await;
    let answer = post(&node, "/api/auth/register", &registration("ada")).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let body = answer.json();
    assert_eq!(body["user"]["username"], "ada");
    assert_eq!(body["user"]["display_name"], "ada");
    assert_eq!(body["user"]["email"], "ada@example.org");
    assert!(!answer.text.contains(PASSWORD) && !answer.text.contains("argon2"));
    let token = text(&body["token"]);
    let attributes = cookie(&answer);
    assert_eq!(attributes[0], format!("hubbub_session={token}"));
    for attribute in ["Path=/", "Max-Age=86400", "HttpOnly", "SameSite=Lax"] {
        assert!(
            attributes.iter().any(|it| it == attribute),
            "{attributes:?}"
        );
    }
    // Plain HTTP on loopback, where browsers would drop a cookie that is `Secure`.
    assert!(
        !attributes.iter().any(|it| it == "Secure"),
        "{attributes:?}"
    );
    let by_cookie = who(&node, &attributes[0]).await.ok();
    let request = http().get(node.url("/api/users/me")).bearer_auth(&token);
    assert_eq!(send(request).await.ok(), by_cookie);
    assert_eq!(by_cookie, body["user"]);
}

#[tokio::test]
async fn one_logs_in_by_name_or_address_whatever_the_case() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    for login in ["ada", "ADA", "ada@example.org", "Ada@Example.ORG"] {
        let body = json!({ "login": login, "password": PASSWORD });
        let answer = post(&node, "/api/auth/login", &body).await;
        assert_eq!(answer.status, 200, "{login}: {answer:?}");
        assert_eq!(answer.json()["user"]["id"], ada.id.as_str());
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_are_told_and_cost_alike() {
    let (node, _database) = Node::on_fresh_database().await;
    register(&node, "ada").await;
    let hashed = || async {
        let page = send(http().get(node.url("/metrics"))).await.text;
        let count = page.lines().find_map(|line| {
            let count = line.strip_prefix("auth_password_hash_seconds_count ")?;
            count.parse::<f64>().ok()
        });
        count.expect("the metric")
    };
    let mut answers = Vec::new();
    for login in ["ada", "nobody", "nobody@example.org"] {
        let before = hashed().await;
        let body = json!({ "login": login, "password": "wrong" });
        let answer = post(&node, "/api/auth/login", &body).await;
        answer.problem(401, "invalid_credentials");
        assert!(answer.header("set-cookie").is_none());
        answers.push(answer.text);
        assert!(
            hashed().await >= before + 1.0,
            "{login}: a hash was computed"
        );
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[tokio::test]
async fn a_login_takes_the_place_of_the_browsers_old_session() {
    let (node, _database) = Node::on_fresh_database().await;
    let old = register(&node, "ada").await;
    let other = login(&node, "ada").await;
    let mut socket = Socket::connect(&node, &old).await;
    socket.ping().await;
    let request = http()
        .post(node.url("/api/auth/login"))
        .header("cookie", &old.cookie)
        .json(&json!({ "login": "ada", "password": PASSWORD }));
    let answer = send(request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let new = cookie(&answer).swap_remove(0);
    assert_ne!(new, old.cookie);
    who(&node, &new).await.ok();
    who(&node, &old.cookie)
        .await
        .problem(401, "unauthenticated");
    who(&node, &other.cookie).await.ok();
    assert!(matches!(
        socket.closed().await,
        End::Closed { code: 4101, .. }
    ));
}

#[tokio::test]
async fn logging_out_ends_the_session_its_sockets_and_its_tickets() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let elsewhere = login(&node, "ada").await;
    let ticket = ada.ticket().await;
    let mut socket = Socket::connect(&node, &ada).await;
    let mut other = Socket::connect(&node, &elsewhere).await;
    socket.ping().await;
    let answer = ada.post("/api/auth/logout", &json!({})).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    let attributes = cookie(&answer);
    assert_eq!(attributes[0], "hubbub_session=");
    assert!(
        attributes.iter().any(|it| it == "Max-Age=0"),
        "{attributes:?}"
    );
    assert!(matches!(
        socket.closed().await,
        End::Closed { code: 4101, .. }
    ));
    ada.get("/api/users/me")
        .await
        .problem(401, "unauthenticated");
    who(&node, &ada.cookie)
        .await
        .problem(401, "unauthenticated");
    let refused = Socket::open(&node, &format!("/ws?ticket={ticket}"), &[]).await;
    assert_eq!(refused.err().map(|it| it.status), Some(401));
    elsewhere.get("/api/users/me").await.ok();
    other.ping().await;
}

#[tokio::test]
async fn a_ticket_is_good_once_and_not_for_rest() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let answer = ada.post("/api/auth/ticket", &json!({})).await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.ok()["expires_in"], 30);
    let ticket = text(&answer.json()["ticket"]);
    let request = http().get(node.url(&format!("/api/users/me?ticket={ticket}")));
    send(request).await.problem(401, "unauthenticated");
    let path = format!("/ws?ticket={ticket}");
    let first = Socket::open(&node, &path, &[]).await;
    first.expect("the ticket is good").ping().await;
    let second = Socket::open(&node, &path, &[]).await;
    assert_eq!(second.err().map(|it| it.status), Some(401));
}

async fn session_row(database: &TestDatabase, user: &User) -> (bool, f64, f64) {
    let row = database
        .connect()
        .await
        .query_one(
            "SELECT count(*) OVER () = 1,
                    extract(epoch FROM now() - last_seen_at)::float8,
                    extract(epoch FROM expires_at - now())::float8
             FROM sessions WHERE user_id = $1::text::uuid",
            &[&user.id],
        )
        .await
        .expect("the session");
    (row.get(0), row.get(1), row.get(2))
}

#[tokio::test]
async fn a_session_slides_with_one_write_a_minute_and_takes_the_cookie_along() {
    let database = postgres::database().await;
    // The test ages the row, which a node that remembers the session would see later.
    let options = NodeOptions::on(&database.url).set("HUBBUB__AUTH__SESSION_CACHE_S", "0");
    let node = Node::start(options).await;
    let ada = register(&node, "ada").await;
    let sql = database.connect().await;
    let age = |seen_s: i32, left_s: i32| {
        format!(
            "UPDATE sessions SET last_seen_at = now() - interval '{seen_s} s',
                                 expires_at = now() + interval '{left_s} s'"
        )
    };
    // Used half a minute ago: nothing is written.
    sql.batch_execute(&age(30, 600)).await.expect("aged");
    let answer = who(&node, &ada.cookie).await;
    answer.ok();
    assert!(answer.header("set-cookie").is_none());
    let (_, seen_s, left_s) = session_row(&database, &ada).await;
    assert!(seen_s > 29.0 && left_s < 601.0, "{seen_s} {left_s}");
    // Two minutes ago: many requests at once renew it, one of them by a write.
    sql.batch_execute(&age(120, 600)).await.expect("aged");
    let answers = futures_util::future::join_all((0..20).map(|_| who(&node, &ada.cookie))).await;
    let renewed = answers.iter().filter_map(|answer| {
        answer.ok();
        answer.header("set-cookie")
    });
    let renewed: Vec<_> = renewed.collect();
    assert_eq!(renewed.len(), 1, "{renewed:?}");
    assert!(renewed[0].starts_with(&ada.cookie), "{renewed:?}");
    assert!(renewed[0].contains("Max-Age=86400"), "{renewed:?}");
    let (_, seen_s, left_s) = session_row(&database, &ada).await;
    assert!(seen_s < 60.0 && left_s > 86_000.0, "{seen_s} {left_s}");
    // Past its end: gone, however it is shown, and it does not come back.
    sql.batch_execute(&age(120, -1)).await.expect("aged");
    who(&node, &ada.cookie)
        .await
        .problem(401, "unauthenticated");
    ada.get("/api/users/me")
        .await
        .problem(401, "unauthenticated");
    let refused = Socket::open(&node, "/ws", &[("cookie", &ada.cookie)]).await;
    assert_eq!(refused.err().map(|it| it.status), Some(401));
}

#[tokio::test]
async fn what_is_stored_opens_nothing() {
    let (node, database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let sql = database.connect().await;
    let dump: String = sql
        .query_one(
            "SELECT (SELECT string_agg(u::text, ' ') FROM users u)
                 || (SELECT string_agg(s::text || encode(token_hash, 'base64'), ' ')
                     FROM sessions s)",
            &[],
        )
        .await
        .expect("a dump")
        .get(0);
    assert!(dump.contains("$argon2id$v=19$"), "{dump}");
    assert!(
        !dump.contains(PASSWORD) && !dump.contains(&ada.token),
        "{dump}"
    );
    let hash: Vec<u8> = sql
        .query_one("SELECT token_hash FROM sessions", &[])
        .await
        .expect("a session")
        .get(0);
    let as_token = URL_SAFE_NO_PAD.encode(&hash);
    let request = http().get(node.url("/api/users/me")).bearer_auth(as_token);
    send(request).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn who_is_deactivated_is_out() {
    let (node, database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let sql = database.connect().await;
    let deactivate = "UPDATE users SET is_active = false";
    sql.batch_execute(deactivate).await.expect("deactivated");
    ada.get("/api/users/me")
        .await
        .problem(401, "unauthenticated");
    let body = json!({ "login": "ada", "password": PASSWORD });
    let answer = post(&node, "/api/auth/login", &body).await;
    answer.problem(401, "invalid_credentials");
}

#[tokio::test]
async fn everything_wrong_with_a_registration_is_said_at_once() {
    let (node, database) = Node::on_fresh_database().await;
    let body = json!({
        "username": "a b",
        "email": "nobody",
        "password": "short",
        "display_name": " padded",
    });
    let answer = post(&node, "/api/auth/register", &body).await;
    let problem = answer.problem(400, "invalid_request");
    let fields: Vec<_> = problem["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .map(|error| text(&error["field"]))
        .collect();
    assert_eq!(fields, ["username", "email", "password", "display_name"]);
    let count: i64 = database
        .connect()
        .await
        .query_one("SELECT count(*) FROM users", &[])
        .await
        .expect("a count")
        .get(0);
    assert_eq!(count, 0);
}

#[tokio::test]
async fn of_many_who_want_one_name_one_gets_it() {
    let (node, _database) = Node::on_fresh_database().await;
    let attempts = (0..10).map(|n| {
        let mut body = registration("ada");
        body["email"] = json!(format!("ada{n}@example.org"));
        let node = &node;
        async move { post(node, "/api/auth/register", &body).await }
    });
    let answers = futures_util::future::join_all(attempts).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 1, "{answers:?}");
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        answer.problem(409, "username_taken");
    }
}

#[tokio::test]
async fn a_page_elsewhere_cannot_log_anybody_in() {
    let (node, _database) = Node::on_fresh_database().await;
    register(&node, "ada").await;
    let request = http()
        .post(node.url("/api/auth/login"))
        .header("origin", "https://evil.example")
        .json(&json!({ "login": "ada", "password": PASSWORD }));
    send(request).await.problem(403, "origin_not_allowed");
}

#[tokio::test]
async fn cookies_are_secure_and_strict_where_they_are_told_to_be() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url)
        .set("HUBBUB__HTTP__PUBLIC_URL", "https://chat.example.org")
        .set("HUBBUB__AUTH__COOKIE_SAME_SITE", "strict")
        .set("HUBBUB__AUTH__COOKIE_NAME", "sid")
        .set("HUBBUB__AUTH__SESSION_TTL_S", "600");
    let node = Node::start(options).await;
    let answer = post(&node, "/api/auth/register", &registration("ada")).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let attributes = cookie(&answer);
    assert!(attributes[0].starts_with("sid="), "{attributes:?}");
    for attribute in ["Secure", "SameSite=Strict", "Max-Age=600"] {
        assert!(
            attributes.iter().any(|it| it == attribute),
            "{attributes:?}"
        );
    }
    who(&node, &attributes[0]).await.ok();
}

/// More wait for a hash than may: they are told so at once, and nothing else suffers.
#[tokio::test]
async fn a_rush_of_logins_is_refused_beyond_the_queue() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url)
        .set("HUBBUB__AUTH__ARGON2_MEMORY_KIB", "65536")
        .set("HUBBUB__AUTH__ARGON2_ITERATIONS", "3")
        .set("HUBBUB__AUTH__HASH_CONCURRENCY", "1")
        .set("HUBBUB__AUTH__HASH_QUEUE_MAX", "2");
    let node = Node::start(options).await;
    let ada = register(&node, "ada").await;
    let rush = (0..20).map(|_| {
        let body = json!({ "login": "ada", "password": "wrong" });
        let node = &node;
        async move { post(node, "/api/auth/login", &body).await }
    });
    let (answers, read) = tokio::join!(
        futures_util::future::join_all(rush),
        ada.get("/api/users/me")
    );
    read.ok();
    let refused = answers.iter().filter(|answer| answer.status == 503);
    for answer in refused.clone() {
        answer.problem(503, "overloaded");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    assert!(refused.count() > 0, "{answers:?}");
    assert!(
        answers.iter().any(|answer| answer.status == 401),
        "{answers:?}"
    );
    login(&node, "ada").await;
}

#[tokio::test]
async fn a_session_in_use_lasts_until_it_is_ended_expires_or_its_user_goes() {
    let (node, database) = Node::on_fresh_database().await;
    register(&node, "ada").await;
    let always = [("HUBBUB__DATABASE__REQUIRE_FSYNC", "false")];
    let always = always.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = Config::from_sources(None, always.into_iter()).expect("the settings are valid");
    let store = Store::connect(&config.database, &database.url).await;
    let sessions = Sessions::new(store.expect("a pool"), &config, None);
    let client = database.connect().await;
    let execute = async |sql: &str| client.execute(sql, &[]).await.expect("it is done");
    let row = client
        .query_one("SELECT id, user_id FROM sessions", &[])
        .await;
    let row = row.expect("a session");
    let (id, user) = (SessionId(row.get(0)), UserId(row.get(1)));
    let check = async || sessions.check(id).await.expect("an answer");

    // Before its end it is moved, by the whole time to live.
    execute("UPDATE sessions SET expires_at = now() + interval '30 s'").await;
    let until = check().await.expect("it lasts");
    let sql = "SELECT expires_at = last_seen_at + interval '1 day' AND expires_at = $1
        FROM sessions";
    let row = client.query_one(sql, &[&until]).await.expect("a session");
    assert!(row.get::<_, bool>(0), "{until}");

    execute("UPDATE users SET is_active = false").await;
    assert_eq!(check().await, None);
    execute("UPDATE users SET is_active = true").await;
    assert!(check().await.is_some());
    execute("UPDATE sessions SET expires_at = now()").await;
    assert_eq!(check().await, None);
    execute("UPDATE sessions SET expires_at = now() + interval '30 s'").await;
    assert!(sessions.end(id, user).await.expect("an answer"));
    assert_eq!(check().await, None);
}
