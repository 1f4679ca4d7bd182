//! Socket.IO's requests as HTTP: who may begin a session, which pages may read the answers, cookies,
//! compression, and the client that is served to browsers.

use reqwest::Method;

use crate::harness::engineio::{Place, Polled, polled};
use crate::harness::node::Node;
use crate::harness::postgres::TestDatabase;
use crate::harness::rest::{http, register, send};

const PATH: &str = "/socket.io/";
const LISTED: &str = "https://app.example.org";
const OTHER: &str = "https://widget.example.net";

async fn node(settings: &[(&str, &str)]) -> (Node, TestDatabase, Place) {
    let (node, database) = Node::on_fresh_database_with(settings).await;
    let place = Place::new(&node.address, PATH, 4);
    (node, database, place)
}

async fn open(place: &Place, headers: &[(&str, &str)]) -> Polled {
    let mut request = http().get(place.polling(""));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    polled(request).await
}

const CORS: [(&str, &str); 2] = [
    ("HUBBUB__HTTP__ALLOWED_ORIGINS", LISTED),
    ("HUBBUB__SOCKETIO__CORS_ORIGINS", OTHER),
];

#[tokio::test]
async fn pages_of_listed_origins_may_read_the_answers() {
    let (_node, _database, place) = node(&CORS).await;
    for (origin, may_read, has_credentials) in [
        (LISTED, true, true),
        (OTHER, true, false),
        ("https://evil.example", false, false),
        ("null", false, false),
    ] {
        let opened = open(&place, &[("origin", origin)]).await;
        assert_eq!(opened.status, 200, "{origin}");
        let refused = place
            .ask_from(origin, "EIO=4&transport=polling&sid=x")
            .await;
        refused.unknown_session();
        for answer in [opened, refused] {
            let allowed = answer.header("access-control-allow-origin");
            assert_eq!(allowed, may_read.then_some(origin));
            let credentials = answer.header("access-control-allow-credentials");
            assert_eq!(credentials, has_credentials.then_some("true"));
        }
    }
}

#[tokio::test]
async fn browsers_that_ask_first_are_answered() {
    let (_node, _database, place) = node(&CORS).await;
    let preflight = async |origin: &str| {
        let request = http()
            .request(Method::OPTIONS, place.polling(""))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,x-mine");
        polled(request).await
    };
    for origin in [LISTED, OTHER] {
        let answer = preflight(origin).await;
        assert_eq!(answer.status, 204);
        for (name, value) in [
            ("access-control-allow-origin", origin),
            ("access-control-allow-methods", "GET, POST"),
            ("access-control-allow-headers", "authorization,x-mine"),
        ] {
            assert_eq!(answer.header(name), Some(value));
        }
    }
    let answer = preflight("https://evil.example").await;
    answer.error(400, 2, "Bad handshake method");
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn all_origins_can_be_listed_and_none_of_them_has_cookies() {
    let (_node, _database, place) = node(&[("HUBBUB__SOCKETIO__CORS_ORIGINS", "*")]).await;
    let answer = open(&place, &[("origin", "https://anybody.example")]).await;
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("https://anybody.example")
    );
    assert_eq!(answer.header("access-control-allow-credentials"), None);
}

#[tokio::test]
async fn a_cookie_counts_from_pages_of_this_origin_alone() {
    let (node, _database, place) = node(&CORS).await;
    let ada = register(&node, "ada").await;
    let own = format!("http://{}", node.address);
    for (origin, status) in [
        (own.as_str(), 200),
        (LISTED, 200),
        (OTHER, 403),
        ("https://evil.example", 403),
        ("null", 403),
    ] {
        let headers = [("cookie", ada.cookie.as_str()), ("origin", origin)];
        let answer = open(&place, &headers).await;
        if status == 200 {
            assert_eq!(answer.status, 200, "{origin}: {answer:?}");
        } else {
            answer.error(403, 4, "Forbidden");
        }
        let socket = place.socket("", &headers).await;
        assert_eq!(socket.is_ok(), status == 200, "{origin}");
    }
}

#[tokio::test]
async fn credentials_that_are_shown_on_purpose_must_be_good() {
    let (node, _database, place) = node(&[]).await;
    let ada = register(&node, "ada").await;
    let good = format!("Bearer {}", ada.token);
    assert_eq!(open(&place, &[("authorization", &good)]).await.status, 200);
    for bad in ["Bearer nobody", "Basic YTpi"] {
        let answer = open(&place, &[("authorization", bad)]).await;
        answer.error(403, 4, "Forbidden");
    }
    // A browser sends an old cookie along, whatever the page shows.
    let (name, _) = ada.cookie.split_once('=').unwrap();
    let stale = format!("{name}={}", "A".repeat(43));
    assert_eq!(open(&place, &[("cookie", &stale)]).await.status, 200);
}

#[tokio::test]
async fn who_is_known_by_a_cookie_need_show_nothing_else() {
    let (node, _database, place) = node(&[]).await;
    let ada = register(&node, "ada").await;
    let own = format!("http://{}", node.address);
    let session = place
        .open_with(|it| it.header("cookie", &ada.cookie).header("origin", &own))
        .await;
    assert_eq!(session.post("40").await.ok(), "ok");
    assert!(session.get().await.ok().starts_with(r#"40{"sid":""#));

    let stranger = place.open().await;
    assert_eq!(stranger.post("40").await.ok(), "ok");
    assert!(stranger.get().await.ok().starts_with("44{"));
}

#[tokio::test]
async fn sessions_begin_so_often_and_are_so_many() {
    let (_node, _database, place) = node(&[
        ("HUBBUB__LIMITS__EXEMPT", ""),
        ("HUBBUB__LIMITS__CONNECTS_PER_MIN", "3"),
    ])
    .await;
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(open(&place, &[]).await.status);
    }
    assert_eq!(statuses, [200, 200, 200, 429, 429]);

    let (_node, _database, place) = self::node(&[("HUBBUB__HTTP__MAX_CONNECTIONS", "2")]).await;
    let _first = place.open().await;
    let (_second, _) = place.open_socket().await;
    assert_eq!(open(&place, &[]).await.status, 503);
    let refused = place.refused_socket("EIO=4&transport=websocket").await;
    assert_eq!(refused.status, 503);
}

#[tokio::test]
async fn a_session_s_id_can_be_told_by_a_cookie() {
    let (_node, _database, place) = node(&[]).await;
    assert_eq!(open(&place, &[]).await.header("set-cookie"), None);

    let (_node, _database, place) = self::node(&[
        ("HUBBUB__SOCKETIO__COOKIE", "io"),
        ("HUBBUB__SOCKETIO__COOKIE_MAX_AGE_S", "60"),
        ("HUBBUB__SOCKETIO__COOKIE_SAME_SITE", "none"),
    ])
    .await;
    for revision in [3, 4] {
        let place = Place {
            revision,
            ..place.clone()
        };
        let answer = open(&place, &[]).await;
        let cookie = answer.header("set-cookie").expect("a cookie").to_owned();
        let (value, attributes) = cookie.split_once("; ").unwrap();
        let sid = value.strip_prefix("io=").unwrap();
        assert!(answer.text().contains(&format!(r#""sid":"{sid}""#)));
        for attribute in [
            "HttpOnly",
            "SameSite=None",
            "Secure",
            "Path=/",
            "Max-Age=60",
        ] {
            assert!(attributes.contains(attribute), "{cookie}");
        }
    }
}

#[tokio::test]
async fn long_answers_are_compressed_for_those_who_take_it() {
    let (_node, _database, mut place) = node(&[("HUBBUB__SOCKETIO__ECHO_CONTRACT", "true")]).await;
    place.path = "/engine.io/";
    let session = place.open().await;
    let long = format!("4{}", "abc".repeat(1000));
    let take = async |encoding: &str| {
        assert_eq!(session.post(long.clone()).await.ok(), "ok");
        let request = session.get_request().header("accept-encoding", encoding);
        polled(request).await
    };
    let plain = take("identity").await;
    assert_eq!(
        (plain.ok(), plain.header("content-encoding")),
        (&*long, None)
    );
    let packed = take("br, gzip").await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert!(packed.body.len() < 200, "{} bytes", packed.body.len());
    let mut text = String::new();
    let mut decoder = flate2::read::GzDecoder::new(&packed.body[..]);
    std::io::Read::read_to_string(&mut decoder, &mut text).unwrap();
    assert_eq!(text, long);

    assert_eq!(session.post("4short").await.ok(), "ok");
    let request = session.get_request().header("accept-encoding", "gzip");
    let short = polled(request).await;
    assert_eq!(
        (short.ok(), short.header("content-encoding")),
        ("4short", None)
    );
}

/// What was embedded when the node was built.
fn has_client() -> bool {
    std::path::Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/web/socket.io-client/dist/VERSION"
    ))
    .exists()
}

#[tokio::test]
async fn the_browser_s_client_is_served_if_it_was_there_at_the_build() {
    let (node, _database, _) = node(&[]).await;
    for name in [
        "socket.io.js",
        "socket.io.min.js",
        "socket.io.esm.min.js.map",
    ] {
        let url = node.url(&format!("{PATH}{name}"));
        let answer = polled(http().get(&url)).await;
        if !has_client() {
            assert_eq!(answer.status, 404);
            assert!(answer.text().contains("scripts/socketio-client"));
            continue;
        }
        assert_eq!(answer.status, 200, "{name}");
        let caching = answer.header("cache-control").unwrap();
        assert!(caching.starts_with("public, max-age="), "{caching}");
        assert!(answer.body.len() > 10_000, "{name}");
        let etag = answer.header("etag").unwrap();
        let again = polled(http().get(&url).header("if-none-match", etag)).await;
        assert_eq!((again.status, again.body.len()), (304, 0));
        let packed = polled(http().get(&url).header("accept-encoding", "gzip")).await;
        assert_eq!(packed.header("content-encoding"), Some("gzip"));
        assert!(packed.body.len() < answer.body.len());
    }
    for name in ["socket.io.php", "VERSION", "..%2f..%2fetc%2fpasswd"] {
        let url = node.url(&format!("{PATH}{name}"));
        send(http().get(url)).await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn the_browser_s_client_can_be_left_out() {
    let (node, _database, _) = node(&[("HUBBUB__SOCKETIO__SERVE_CLIENT", "false")]).await;
    let url = node.url(&format!("{PATH}socket.io.js"));
    send(http().get(url)).await.problem(404, "not_found");
}
