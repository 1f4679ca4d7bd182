//! What authentication wants to know of a request, taken out of its head.

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use actix_web::http::header::{self, HeaderMap, HeaderName};
use actix_web::{HttpMessage as _, HttpRequest};
use ipnet::IpNet;

use crate::auth::client_address::client_address;
use crate::auth::{Presented, RequestOrigin};

/// The credentials that a request shows. Tickets are for sockets.
pub(super) fn presented(headers: &HeaderMap) -> Presented<'_> {
    Presented {
        cookies: headers
            .get_all(header::COOKIE)
            .filter_map(|value| value.to_str().ok())
            .collect(),
        authorization: text(headers, header::AUTHORIZATION),
        ticket: None,
    }
}

/// The route that a request goes to, as it is written in the sources.
#[derive(Clone)]
struct Route(Option<Rc<str>>);

/// The route of a request, such as `/api/rooms/{id}`; none if there is none. Looked up once: actix-web
/// tries all of them for it.
pub(super) fn route(req: &HttpRequest) -> Option<Rc<str>> {
    if let Some(Route(known)) = req.extensions().get() {
        return known.clone();
    }
    let route = req.match_pattern().map(Rc::from);
    req.extensions_mut().insert(Route(route.clone()));
    route
}

/// What a request says about the page that sent it.
pub(super) fn origin(req: &HttpRequest) -> RequestOrigin<'_> {
    RequestOrigin {
        origin: text(req.headers(), header::ORIGIN),
        fetch_site: text(req.headers(), HeaderName::from_static("sec-fetch-site")),
        host: host(req),
    }
}

/// The host that was asked for: `Host`, or `:authority` in HTTP/2.
pub(super) fn host(req: &HttpRequest) -> Option<&str> {
    text(req.headers(), header::HOST).or_else(|| {
        req.uri()
            .authority()
            .map(actix_web::http::uri::Authority::as_str)
    })
}

/// The client's address, see [`client_address`].
pub(super) fn address(req: &HttpRequest, trusted: &[IpNet]) -> IpAddr {
    // Without a peer's address there is no TCP: who can open our Unix socket is this machine.
    let peer = req
        .peer_addr()
        .map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.ip());
    let forwarded: Vec<&str> = req
        .headers()
        .get_all(header::X_FORWARDED_FOR)
        .filter_map(|value| value.to_str().ok())
        .collect();
    client_address(peer, forwarded.into_iter(), trusted)
}

/// A header's value. One that is not ASCII is there, but empty: it must not pass for absent
/// where absence is a good sign, as with `Origin`.
pub(super) fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).map(|value| value.to_str().unwrap_or(""))
}
