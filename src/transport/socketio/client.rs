//! The browser's client: the bundles of the official `socket.io-client`, embedded if they were there
//! when the node was built (`scripts/socketio-client`).

use std::path::Path;
use std::sync::LazyLock;

use actix_web::http::header::{self, HeaderMap};
use actix_web::web;
use actix_web::{HttpRequest, HttpResponse, ResponseError as _};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::answer::{gzip, takes_gzip};
use crate::peers::seal::hex;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::transport::admission::texts;
use crate::transport::refusal::TransportError;

/// What was embedded: names and contents.
static EMBEDDED: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/socketio_client.rs"));

/// What there may be.
const NAMES: [&str; 8] = [
    "socket.io.js",
    "socket.io.js.map",
    "socket.io.min.js",
    "socket.io.min.js.map",
    "socket.io.msgpack.min.js",
    "socket.io.msgpack.min.js.map",
    "socket.io.esm.min.js",
    "socket.io.esm.min.js.map",
];

/// A day, and as it was for another week while it is asked for again: its address stays the same
/// when it changes, which is with a release.
const CACHING: &str = "public, max-age=86400, stale-while-revalidate=604800";

/// How much trouble is taken, once for each file.
const GZIP_LEVEL: u32 = 9;

/// A file.
struct File {
    name: &'static str,
    content: &'static [u8],
    etag: String,
    packed: LazyLock<Option<Bytes>, Box<dyn FnOnce() -> Option<Bytes> + Send>>,
}

static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
    let known = EMBEDDED.iter().filter(|(name, _)| NAMES.contains(name));
    let file = |(name, content): &(&'static str, &'static [u8])| {
        let digest = Sha256::digest(content);
        let short = hex(&digest[..12]);
        let content = *content;
        File {
            name,
            content,
            // Weak: it is the same, compressed or not.
            etag: format!("W/\"{short}\""),
            packed: LazyLock::new(Box::new(move || gzip(content, GZIP_LEVEL))),
        }
    };
    known.map(file).collect()
});

/// Serves one of them.
pub(super) async fn serve(req: HttpRequest, file: web::Path<String>) -> HttpResponse {
    let Some(found) = FILES.iter().find(|it| it.name == *file) else {
        return TransportError::from(missing(&file)).error_response();
    };
    let mut answer = if is_known(req.headers(), &found.etag) {
        HttpResponse::NotModified()
    } else {
        HttpResponse::Ok()
    };
    answer
        .insert_header((header::ETAG, found.etag.clone()))
        .insert_header((header::CACHE_CONTROL, CACHING))
        .insert_header((header::VARY, "Accept-Encoding"))
        // Anybody may have it; as a module it is fetched like data.
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header((header::CROSS_ORIGIN_RESOURCE_POLICY, "cross-origin"));
    if is_known(req.headers(), &found.etag) {
        return answer.finish();
    }
    answer.content_type(if is_map(found.name) {
        "application/json"
    } else {
        "text/javascript; charset=utf-8"
    });
    let takes_gzip = texts(req.headers(), &header::ACCEPT_ENCODING).any(takes_gzip);
    match found.packed.as_ref().filter(|_| takes_gzip) {
        Some(packed) => answer
            .insert_header((header::CONTENT_ENCODING, "gzip"))
            .body(packed.clone()),
        None => answer.body(found.content),
    }
}

/// Whether it tells debuggers of another file.
fn is_map(name: &str) -> bool {
    Path::new(name).extension() == Some("map".as_ref())
}

/// Whether the client has it already (RFC 9110, section 13.1.2).
fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let mut tags = texts(headers, &header::IF_NONE_MATCH).flat_map(|it| it.split(','));
    tags.any(|tag| tag.trim() == "*" || opaque(tag) == opaque(etag))
}

fn missing(name: &str) -> Refusal {
    let message = if NAMES.contains(&name) {
        "this node was built without the browser's client: run scripts/socketio-client, then build it \
         again; or use the package socket.io-client"
    } else {
        "nothing is served at this address"
    };
    Refusal::new(ErrorCode::NotFound, message)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderMap, HeaderValue, IF_NONE_MATCH};

    use super::is_known;

    #[test]
    fn tags_are_compared_weakly() {
        for (given, expected) in [
            ("W/\"a\"", true),
            ("\"a\"", true),
            ("\"b\", W/\"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, HeaderValue::from_static(given));
            assert_eq!(is_known(&headers, "W/\"a\""), expected, "{given}");
        }
    }
}
