//! The page at `/`: one file that is part of the binary.

use std::sync::LazyLock;

use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, get};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::asset::Asset;

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/web/index.html"));

static ASSET: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "text/html; charset=utf-8",
        Bytes::from_static(PAGE.as_bytes()),
    )
});

/// The page's own script and style may run, and nothing else that finds its way into it.
static CONTENT_SECURITY_POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self' ws: wss:; \
         img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        digest("<script>", "</script>"),
        digest("<style>", "</style>"),
    )
});

/// The digest of what stands between two tags, as the policy names it.
fn digest(open: &str, close: &str) -> String {
    let inside = PAGE
        .split_once(open)
        .and_then(|(_, rest)| rest.split_once(close))
        .map_or("", |(inside, _)| inside);
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(inside)))
}

/// A page to sign up, join and chat
#[utoipa::path(
    tag = "page",
    responses((status = 200, description = "The page", content_type = "text/html", body = String))
)]
#[get("/")]
pub(super) async fn page(req: HttpRequest) -> HttpResponse {
    ASSET.answer_with(&req, |response| {
        response
            .insert_header((header::REFERRER_POLICY, "no-referrer"))
            .insert_header((
                header::CONTENT_SECURITY_POLICY,
                CONTENT_SECURITY_POLICY.as_str(),
            ));
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_what_is_there() {
        let nothing = STANDARD.encode(Sha256::digest(""));
        for (open, close) in [("<script>", "</script>"), ("<style>", "</style>")] {
            assert!(!digest(open, close).contains(&nothing), "{open}");
            assert_eq!(PAGE.matches(open).count(), 1, "{open}");
        }
        assert!(!PAGE.contains("style=\""), "inline styles are not allowed");
    }
}
