//! Rate limits over REST: who is refused, who is not, and what they are told.

use serde_json::json;

use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{self, TestDatabase};
use crate::harness::rest::{Answer, PASSWORD, User, http, register, registration, send};

/// A node behind a proxy on this machine: each test client has the address it says it has.
async fn node(settings: &[(&str, &str)]) -> (Node, TestDatabase) {
    let database = postgres::database().await;
    let mut options = NodeOptions::on(&database.url)
        .set("HUBBUB__LIMITS__EXEMPT", "10.9.0.0/16")
        .set("HUBBUB__HTTP__TRUSTED_PROXIES", "127.0.0.0/8");
    for (name, value) in settings {
        options = options.set(name, value);
    }
    (Node::start(options).await, database)
}

async fn read(node: &Node, user: Option<&User>, from: &str) -> Answer {
    let mut request = http()
        .get(node.url("/api/rooms"))
        .header("x-forwarded-for", from);
    if let Some(user) = user {
        request = request.bearer_auth(&user.token);
    }
    send(request).await
}

async fn guess(node: &Node, login: &str, password: &str, from: &str) -> Answer {
    let request = http()
        .post(node.url("/api/auth/login"))
        .header("x-forwarded-for", from)
        .json(&json!({ "login": login, "password": password }));
    send(request).await
}

fn limited(answer: &Answer, bucket: &str, limit: u32) -> u64 {
    let problem = answer.problem(429, "rate_limited");
    assert_eq!(problem["retry"], true);
    let wait = answer.header("retry-after").and_then(|it| it.parse().ok());
    let wait: u64 = wait.expect("seconds");
    assert!(wait > 0);
    let policy = format!("\"{bucket}\";q={limit};w=60");
    assert_eq!(answer.header("ratelimit-policy"), Some(policy.as_str()));
    let left = format!("\"{bucket}\";r=0;t={wait}");
    assert_eq!(answer.header("ratelimit"), Some(left.as_str()));
    wait
}

#[tokio::test]
async fn a_user_is_limited_wherever_they_are_and_alone() {
    let (node, _database) = node(&[("HUBBUB__LIMITS__READS_PER_MIN", "30")]).await;
    let ada = register(&node, "ada").await;
    let bob = register(&node, "bob").await;
    let mut passed = 0;
    for n in 0..45 {
        let answer = read(&node, Some(&ada), &format!("192.0.2.{}", n % 5)).await;
        if answer.status == 200 {
            passed += 1;
        } else {
            limited(&answer, "reads", 30);
        }
    }
    // What drips meanwhile is allowed too.
    assert!((30..45).contains(&passed), "{passed}");
    read(&node, Some(&bob), "192.0.2.1").await.ok();
    // Writing is another matter than reading.
    let request = ada.request(reqwest::Method::POST, "/api/rooms");
    assert_eq!(
        send(request.json(&json!({ "name": "n" }))).await.status,
        201
    );
    // Exempt networks are not limited.
    for _ in 0..50 {
        read(&node, Some(&bob), "10.9.8.7").await.ok();
    }
}

#[tokio::test]
async fn who_asks_whether_anything_is_new_is_counted_only_if_it_is() {
    let (node, _database) = node(&[("HUBBUB__LIMITS__READS_PER_MIN", "30")]).await;
    let ada = register(&node, "ada").await;
    let address = format!("/api/users/{}", ada.id);
    let ask = async |tag: &str| {
        let request = ada.request(reqwest::Method::GET, &address);
        let request = request.header("x-forwarded-for", "192.0.2.1");
        send(request.header("if-none-match", tag)).await
    };
    let tag = ask("\"something else\"").await;
    let tag = tag.header("etag").expect("a tag").to_owned();
    for _ in 0..90 {
        let answer = ask(&tag).await;
        assert_eq!(answer.status, 304);
        assert!(answer.header("ratelimit").is_some());
    }
    // What is sent is counted, whatever was asked for, and then nothing is answered any more.
    let mut passed = 0;
    for _ in 0..45 {
        let answer = ask("\"something else\"").await;
        if answer.status == 200 {
            passed += 1;
        } else {
            limited(&answer, "reads", 30);
        }
    }
    assert!((25..45).contains(&passed), "{passed}");
    limited(&ask(&tag).await, "reads", 30);
}

#[tokio::test]
async fn publishes_and_writes_count_apart() {
    let settings = [
        ("HUBBUB__LIMITS__WRITES_PER_MIN", "5"),
        ("HUBBUB__LIMITS__PUBLISHES_PER_MIN", "8"),
    ];
    let (node, _database) = node(&settings).await;
    let ada = register(&node, "ada").await;
    ada.create_room("general").await;
    let mut published = 0;
    for n in 0..20 {
        let answer = ada.say("general", "x", &format!("k{n}")).await;
        match answer.status {
            201 => published += 1,
            _ => assert!(limited(&answer, "publishes", 8) > 0),
        }
    }
    assert!((8..12).contains(&published), "{published}");
    // One write is spent on the room; the publishes took none.
    let mut tickets = 0;
    for _ in 0..12 {
        let answer = ada.post("/api/auth/ticket", &json!({})).await;
        match answer.status {
            200 => tickets += 1,
            _ => assert!(limited(&answer, "writes", 5) > 0),
        }
    }
    assert!((4..8).contains(&tickets), "{tickets}");
}

#[tokio::test]
async fn guessing_wrong_tokens_counts_for_the_address() {
    let (node, _database) = node(&[("HUBBUB__LIMITS__READS_PER_MIN", "20")]).await;
    let ada = register(&node, "ada").await;
    let mut stranger = ada.clone();
    stranger.token = "x".repeat(43);
    let mut refused = 0;
    for _ in 0..40 {
        let answer = read(&node, Some(&stranger), "192.0.2.1").await;
        if answer.status == 429 {
            refused += 1;
        } else {
            answer.problem(401, "unauthenticated");
        }
    }
    assert!(refused > 10, "{refused}");
    read(&node, Some(&ada), "192.0.2.2").await.ok();
}

#[tokio::test]
async fn a_thousand_guesses_disturb_nobody_else() {
    let (node, _database) = node(&[]).await;
    for name in ["ada", "bob"] {
        let request = http()
            .post(node.url("/api/auth/register"))
            .header("x-forwarded-for", "10.9.0.1")
            .json(&registration(name));
        assert_eq!(send(request).await.status, 201);
    }
    let (mut tried, mut longest) = (0, 0);
    for n in 0..1000 {
        let answer = guess(&node, "ada", &format!("guess {n}"), "192.0.2.1").await;
        if answer.status == 401 {
            answer.problem(401, "invalid_credentials");
            tried += 1;
        } else {
            longest = longest.max(limited(&answer, "logins", 10));
        }
    }
    assert!((10..=20).contains(&tried), "{tried}");
    assert!(longest > 60, "who goes on is blocked: {longest} s");
    // The right password from there, in time, is refused too: a guess must not be confirmed.
    let answer = guess(&node, "ada", PASSWORD, "192.0.2.1").await;
    limited(&answer, "logins", 10);
    // Ada elsewhere, and others at the same address, come in.
    assert_eq!(guess(&node, "ada", PASSWORD, "192.0.2.2").await.status, 200);
    assert_eq!(guess(&node, "bob", PASSWORD, "192.0.2.1").await.status, 200);
}

#[tokio::test]
async fn an_address_cannot_be_made_up() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url)
        .set("HUBBUB__LIMITS__EXEMPT", "10.9.0.0/16")
        .set("HUBBUB__LIMITS__READS_PER_MIN", "10");
    let node = Node::start(options).await;
    let mut last = 0;
    for n in 0..30 {
        last = read(&node, None, &format!("10.9.0.{n}")).await.status;
    }
    assert_eq!(last, 429, "without a trusted proxy the header says nothing");
}

/// What needs no credentials costs work all the same; health is asked by who must have an answer.
#[tokio::test]
async fn open_pages_count_as_reads_and_health_does_not() {
    let (node, _database) = node(&[("HUBBUB__LIMITS__READS_PER_MIN", "20")]).await;
    let get = async |path: &str, from: &str| {
        let request = http().get(node.url(path)).header("x-forwarded-for", from);
        send(request).await
    };
    for (path, from) in [
        ("/metrics", "192.0.2.1"),
        ("/openapi.json", "192.0.2.2"),
        ("/%6detrics", "192.0.2.3"),
    ] {
        let mut passed = 0;
        // So many that the address is blocked: however slow they are, the next is refused, too.
        for _ in 0..80 {
            let answer = get(path, from).await;
            match answer.status {
                200 => passed += 1,
                _ => assert!(limited(&answer, "reads", 20) > 0),
            }
        }
        assert!((20..60).contains(&passed), "{path}: {passed}");
        // The bucket is that of all reads.
        limited(&read(&node, None, from).await, "reads", 20);
        for health in [
            "/health",
            "/health/live",
            "/health/ready",
            "/health/db",
            "/health/redis",
        ] {
            assert_eq!(get(health, from).await.status, 200, "{health}");
        }
        for _ in 0..40 {
            assert_eq!(get(path, "10.9.8.7").await.status, 200);
        }
    }
}
