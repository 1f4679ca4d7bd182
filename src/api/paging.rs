//! Lists that come in pages: the page, and a link to the next one (RFC 8288).

use actix_web::body::BoxBody;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, Responder};
use serde::Serialize;

/// What a link keeps of the query; only what is known, so that a long query makes no long answer.
const KEPT: [&str; 4] = ["limit", "mine", "query", "thread"];

/// A page, as JSON, with a link to the next one if there is one.
pub(super) struct Paged<T> {
    page: T,
    parameter: &'static str,
    next: Option<String>,
}

impl<T> Paged<T> {
    /// `next` is what `parameter` of the query has to be for the next page.
    pub(super) fn new(page: T, parameter: &'static str, next: Option<impl ToString>) -> Self {
        Self {
            page,
            parameter,
            next: next.map(|next| next.to_string()),
        }
    }
}

impl<T: Serialize> Responder for Paged<T> {
    type Body = BoxBody;

    fn respond_to(self, req: &HttpRequest) -> HttpResponse {
        let mut response = HttpResponse::Ok();
        if let Some(next) = &self.next
            && let Some(link) = next_link(req.path(), req.query_string(), self.parameter, next)
        {
            response.insert_header((header::LINK, link));
        }
        response.json(self.page)
    }
}

/// The value of `Link` for a list's next page: the same address, with `parameter` of the query set
/// to `next`.
pub(super) fn next_link(
    path: &str,
    query: &str,
    parameter: &str,
    next: &str,
) -> Option<HeaderValue> {
    let mut pairs = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if KEPT.contains(&&*name) {
            pairs.append_pair(&name, &value);
        }
    }
    pairs.append_pair(parameter, next);
    let link = format!("<{path}?{}>; rel=\"next\"", pairs.finish());
    HeaderValue::try_from(link).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_keeps_what_was_asked_and_moves_on() {
        let link = |query| {
            let link = next_link("/api/rooms", query, "after", "7").unwrap();
            link.to_str().unwrap().to_owned()
        };
        assert_eq!(link(""), "</api/rooms?after=7>; rel=\"next\"");
        assert_eq!(
            link("after=3&limit=2&mine=true&else=%3E"),
            "</api/rooms?limit=2&mine=true&after=7>; rel=\"next\""
        );
        assert_eq!(
            link("query=%3E%22%0a%C3%BC"),
            "</api/rooms?query=%3E%22%0A%C3%BC&after=7>; rel=\"next\""
        );
    }
}
