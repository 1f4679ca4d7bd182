//! Public documents that do not change while the node runs: answered from memory, with a validator, and
//! in the form that the client would have.

use std::sync::OnceLock;

use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::coding::Coding;

/// A document.
pub(super) struct Asset {
    plain: Bytes,
    content_type: &'static str,
    /// A digest of what it is: it changes with the program.
    etag: HeaderValue,
    /// Made when they are first asked for, by coding.
    packed: [OnceLock<Option<Bytes>>; 3],
}

impl Asset {
    pub(super) fn new(content_type: &'static str, plain: Bytes) -> Self {
        let digest = Sha256::digest(&plain);
        let digest = URL_SAFE_NO_PAD.encode(digest.first_chunk::<12>().unwrap_or(&[0; 12]));
        let etag = HeaderValue::try_from(format!("W/\"{digest}\""));
        Self {
            plain,
            content_type,
            etag: etag.unwrap_or(HeaderValue::from_static("W/\"\"")),
            packed: std::array::from_fn(|_| OnceLock::new()),
        }
    }

    /// The answer to a request for it: the document, or that the client has it.
    pub(super) fn answer(&self, req: &HttpRequest) -> HttpResponse {
        self.answer_with(req, |_| {})
    }

    /// The same, with more headers.
    pub(super) fn answer_with(
        &self,
        req: &HttpRequest,
        headers: impl FnOnce(&mut HttpResponseBuilder),
    ) -> HttpResponse {
        let is_known = matches(req.headers(), &self.etag);
        let mut response = if is_known {
            HttpResponse::NotModified()
        } else {
            HttpResponse::Ok()
        };
        response
            .insert_header((header::ETAG, self.etag.clone()))
            .insert_header((header::VARY, "Accept-Encoding"))
            // To be asked for again, which costs no body: another version may run tomorrow.
            .insert_header((header::CACHE_CONTROL, "public, no-cache"));
        headers(&mut response);
        if is_known {
            return response.finish();
        }
        response.content_type(self.content_type);
        let coding = Coding::wanted(req.headers());
        match coding.and_then(|coding| Some((coding, self.packed(coding)?))) {
            Some((coding, packed)) => response
                .insert_header((header::CONTENT_ENCODING, coding.name()))
                .body(packed),
            None => response.body(self.plain.clone()),
        }
    }

    fn packed(&self, coding: Coding) -> Option<Bytes> {
        let place = self.packed.get(coding as usize)?;
        place.get_or_init(|| coding.pack(&self.plain)).clone()
    }
}

/// Whether `If-None-Match` names an entity tag, compared weakly (RFC 9110, section 13.1.2).
fn matches(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let opaque = |tag: &[u8]| tag.strip_prefix(b"W/").unwrap_or(tag).to_vec();
    let wanted = opaque(etag.as_bytes());
    headers.get_all(header::IF_NONE_MATCH).any(|value| {
        let tags = value.as_bytes().split(|&byte| byte == b',');
        tags.map(<[u8]>::trim_ascii)
            .any(|tag| tag == b"*" || opaque(tag) == wanted)
    })
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn who_has_it_is_told_so_and_garbage_is_not_believed() {
        let asset = Asset::new("text/plain", Bytes::from_static(b"x"));
        let etag = asset.etag.to_str().unwrap().to_owned();
        let status = |tags: &str| {
            let req = TestRequest::default().insert_header((header::IF_NONE_MATCH, tags));
            asset.answer(&req.to_http_request()).status()
        };
        let strong = etag.trim_start_matches("W/").to_owned();
        let listed = format!("\"a\", {etag} ,W/\"b\"");
        for known in [etag.as_str(), &strong, &listed, "*"] {
            assert_eq!(status(known), StatusCode::NOT_MODIFIED, "{known}");
        }
        for other in [
            "",
            "\"\"",
            "W/",
            "W/\"",
            ",,,",
            "x",
            strong.trim_matches('"'),
        ] {
            assert_eq!(status(other), StatusCode::OK, "{other}");
        }
    }
}
