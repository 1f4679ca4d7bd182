//! What answers have around their bodies: validators, codings, limits, methods.

use std::io::Read as _;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres;
use crate::harness::rest::{User, http, register, send};

/// The body of an answer, in the coding that was wished.
async fn asked(user: &User, path: &str, accept: &str) -> (Option<String>, Vec<u8>) {
    let request = user.request(Method::GET, path);
    let response = request
        .header("accept-encoding", accept.as_bytes())
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), 200, "{path}");
    let vary = response.headers().get_all("vary").iter();
    let mut named = vary.flat_map(|value| value.to_str().expect("a text").split(','));
    let varies = named.any(|name| name.trim() == "Accept-Encoding");
    assert!(varies, "{path}: {response:?}");
    let coding = response.headers().get("content-encoding");
    let coding = coding.map(|coding| coding.to_str().expect("a text").to_owned());
    (coding, response.bytes().await.expect("a body").to_vec())
}

pub(super) fn unpacked(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match coding {
        "br" => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut plain),
        "zstd" => zstd::stream::read::Decoder::new(bytes)
            .expect("zstd")
            .read_to_end(&mut plain),
        "gzip" => flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain),
        other => panic!("nobody asked for {other}"),
    }
    .expect("it is packed so");
    plain
}

#[tokio::test]
async fn answers_are_packed_as_the_client_wishes() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await;
    for n in 0..40 {
        ada.say(&room.id, &"many words, ".repeat(20), &format!("c{n}"))
            .await
            .ok();
    }
    for n in 0..12 {
        let body = "a page that is larger than what is packed in between".repeat(1000);
        ada.say(&room.id, &body[..40_000], &format!("d{n}"))
            .await
            .ok();
    }
    let paths = [
        format!("/api/rooms/{}/messages?before=40", room.id),
        format!("/api/rooms/{}/messages", room.id),
        "/openapi.json".to_owned(),
        "/".to_owned(),
    ];
    for path in &paths {
        let (coding, plain) = asked(&ada, path, "identity").await;
        assert_eq!(coding, None);
        for accept in ["br", "zstd", "gzip"] {
            let (coding, packed) = asked(&ada, path, accept).await;
            assert_eq!(coding.as_deref(), Some(accept), "{path}");
            assert!(
                packed.len() < plain.len() / 2,
                "{path} by {accept}: {}",
                packed.len()
            );
            assert_eq!(unpacked(accept, &packed), plain, "{path} by {accept}");
        }
        for garbage in [
            "",
            ";;q=,,",
            "gzip;q=x",
            "*;q=0",
            "identity;q=0",
            "\u{fc}",
            "deflate",
        ] {
            let (coding, same) = asked(&ada, path, garbage).await;
            assert_eq!(
                (coding, same == plain),
                (None, true),
                "{path} by {garbage:?}"
            );
        }
    }
    // What is small is not worth it; what is secret would tell by its length.
    let small = ada
        .request(Method::GET, "/api/users/me")
        .header("accept-encoding", "gzip");
    assert_eq!(send(small).await.header("content-encoding"), None);
    let body = json!({ "login": "ada", "password": crate::harness::rest::PASSWORD });
    let login = http().post(node.url("/api/auth/login")).json(&body);
    let login = send(login.header("accept-encoding", "gzip")).await;
    assert_eq!(
        (login.status, login.header("content-encoding")),
        (200, None)
    );
}

#[tokio::test]
async fn public_documents_are_validated_and_not_sent_again() {
    let (node, _database) = Node::on_fresh_database().await;
    for path in ["/openapi.json", "/"] {
        let first = send(http().get(node.url(path))).await;
        assert_eq!(first.header("cache-control"), Some("public, no-cache"));
        let etag = first.header("etag").expect("an ETag").to_owned();
        assert!(etag.starts_with("W/\""), "{etag}");
        let known = format!("\"other\", {etag}");
        let again = send(http().get(node.url(path)).header("if-none-match", known)).await;
        assert_eq!((again.status, again.text.as_str()), (304, ""), "{path}");
        assert_eq!(again.header("etag"), Some(etag.as_str()));
        for garbage in [
            "",
            "\"",
            "W/\"",
            ",,",
            "x",
            "\u{fc}",
            &"\"a\",".repeat(2000),
        ] {
            let asked = http()
                .get(node.url(path))
                .header("if-none-match", garbage.as_bytes());
            let answer = send(asked).await;
            assert_eq!(
                (answer.status, answer.text == first.text),
                (200, true),
                "{garbage:?}"
            );
        }
    }
}

#[tokio::test]
async fn every_counted_answer_says_what_is_left() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url)
        .set("HUBBUB__LIMITS__EXEMPT", "10.9.0.0/16")
        .set("HUBBUB__HTTP__TRUSTED_PROXIES", "127.0.0.0/8")
        .set("HUBBUB__LIMITS__READS_PER_MIN", "20");
    let node = Node::start(options).await;
    let ada = register(&node, "ada").await;
    let read = async |from: &str| {
        let request = ada.request(Method::GET, "/api/rooms/none");
        send(request.header("x-forwarded-for", from)).await
    };
    let mut last = u64::MAX;
    for n in 0..20 {
        let answer = read("192.0.2.1").await;
        // Also where there is nothing.
        answer.problem(404, "room_not_found");
        assert_eq!(
            answer.header("ratelimit-policy"),
            Some("\"reads\";q=20;w=60")
        );
        let left = answer.header("ratelimit").expect("what is left");
        let left = left
            .strip_prefix("\"reads\";r=")
            .and_then(|it| it.split_once(";t="));
        let (left, after) = left.expect("the form of the draft");
        let (left, after): (u64, u64) = (left.parse().expect("r"), after.parse().expect("t"));
        assert!(left < last || n > 15, "{left} after {last}");
        assert!((1..=60).contains(&after), "{answer:?}");
        last = left;
    }
    assert!(last <= 10, "most of them are gone: {last}");
    let exempt = read("10.9.0.1").await;
    assert_eq!(
        (
            exempt.header("ratelimit"),
            exempt.header("ratelimit-policy")
        ),
        (None, None)
    );
    let write = ada
        .request(Method::POST, "/api/rooms")
        .json(&json!({ "name": "x" }));
    let write = send(write.header("x-forwarded-for", "192.0.2.1")).await;
    assert_eq!(
        write.header("ratelimit-policy"),
        Some("\"writes\";q=100;w=60")
    );
    // Several rooms at once are one read.
    let batch = ada
        .request(Method::POST, "/api/rooms/batch")
        .json(&json!({ "rooms": [] }));
    let batch = send(batch.header("x-forwarded-for", "192.0.2.1")).await;
    assert_eq!(
        batch.header("ratelimit-policy"),
        Some("\"reads\";q=20;w=60")
    );
}

/// HEAD is answered wherever GET is, with the same status and type and no body; OPTIONS says what
/// there is.
#[tokio::test]
async fn head_and_options_are_answered_at_every_address() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await;
    let message = ada.say(&room.id, "hello", "c").await.ok();
    let document: Value = send(http().get(node.url("/openapi.json"))).await.ok();
    let mut seen = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        let address = path
            .replace("/users/{id}", "/users/ada")
            .replace("/rooms/{id}", "/rooms/general")
            .replace("{message_id}", message["id"].as_str().expect("an id"))
            .replace("{user_id}", &ada.id)
            .replace("{emoji}", "x")
            .replace("{id}", &ada.id)
            .replace("{invitation_id}", &ada.id);
        let options = send(ada.request(Method::OPTIONS, &address)).await;
        assert_eq!((options.status, options.text.as_str()), (204, ""), "{path}");
        let allowed: Vec<&str> = options
            .header("allow")
            .expect("methods")
            .split(", ")
            .collect();
        for method in item.as_object().expect("operations").keys() {
            assert!(
                allowed.contains(&method.to_uppercase().as_str()),
                "{path}: {allowed:?}"
            );
        }
        let streams = path.ends_with("/events");
        if item.get("get").is_none() || path == "/ws" || streams {
            continue;
        }
        let get = ada.get(&address).await;
        let head = send(ada.request(Method::HEAD, &address)).await;
        assert_eq!(
            (head.status, head.text.as_str()),
            (get.status, ""),
            "{path}"
        );
        assert_eq!(
            head.header("content-type"),
            get.header("content-type"),
            "{path}"
        );
        seen += 1;
    }
    assert!(seen > 20, "{seen}");
}
