//! Letting clients in: what an upgrade and a stream have in common.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use actix_http::header::{self, HeaderMap, HeaderName};

use super::Transport;
use super::places::Seat;
use super::refusal::TransportError;
use crate::auth::client_address::client_address;
use crate::auth::{AuthError, Bucket, Identity, Presented, RequestOrigin, Subject};
use crate::protocol::error::{ErrorCode, Refusal};

/// What is looked at of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller<'a> {
    pub(super) headers: &'a HeaderMap,
    pub(super) query: &'a str,
    /// The host that was asked for.
    pub(super) host: Option<&'a str>,
    pub(super) address: IpAddr,
    /// The other end of the TCP connection, which may be a proxy.
    pub(super) peer: IpAddr,
    /// Other requests may come by the same connection at the same time: HTTP/2.
    pub(super) is_shared: bool,
}

impl Caller<'_> {
    /// Who opens a connection, if this node takes one more, and its place. None if no credentials
    /// are shown.
    pub(super) async fn admit(
        &self,
        transport: &Transport,
    ) -> Result<(Option<Identity>, Seat), TransportError> {
        let seat = self.admit_anybody(transport)?;
        let identity = self.identity(transport).await?;
        let identity = identity.map_err(|error| error.refusal())?;
        Ok((identity, seat))
    }

    /// Who it says that it is. None if it shows no credentials.
    pub(super) async fn identity(
        &self,
        transport: &Transport,
    ) -> Result<Result<Option<Identity>, AuthError>, Refusal> {
        let headers = self.headers;
        let ticket = ticket(self.query);
        let presented = Presented {
            cookies: texts(headers, &header::COOKIE).collect(),
            authorization: texts(headers, &header::AUTHORIZATION).next(),
            ticket: ticket.as_deref(),
        };
        let origin = RequestOrigin {
            origin: texts(headers, &header::ORIGIN).next(),
            fetch_site: texts(headers, &HeaderName::from_static("sec-fetch-site")).next(),
            host: self.host,
        };
        let asking = transport
            .authenticator
            .authenticate_handshake(&presented, origin);
        in_time(transport, asking).await
    }

    /// Whether it shows credentials that no browser sends unasked.
    pub(super) fn shows_on_purpose(&self) -> bool {
        self.headers.contains_key(header::AUTHORIZATION) || ticket(self.query).is_some()
    }

    /// Whether this node takes one more connection, whoever opens it.
    pub(super) fn admit_anybody(&self, transport: &Transport) -> Result<Seat, TransportError> {
        stays(transport)?;
        let seat = transport
            .places
            .sit(self.address, self.peer, self.is_shared)?;
        transport.limits.take_now(
            Bucket::Connects,
            Subject::Address(self.address),
            self.address,
        )?;
        Ok(seat)
    }
}

/// Whether this node will be there for a while.
pub(super) fn stays(transport: &Transport) -> Result<(), Refusal> {
    if transport.hub.is_draining() {
        return Err(unavailable(
            "this node is shutting down; connect to another",
        ));
    }
    Ok(())
}

/// Waits for an answer of the database, but no longer than a command may take.
pub(super) async fn in_time<T>(
    transport: &Transport,
    asking: impl Future<Output = T>,
) -> Result<T, Refusal> {
    let patience = Duration::from_millis(transport.websocket.command_timeout_ms);
    tokio::time::timeout(patience, asking)
        .await
        .map_err(|_| unavailable("no answer from the database within the time-out"))
}

fn unavailable(message: &'static str) -> Refusal {
    Refusal::new(ErrorCode::Unavailable, message)
}

/// The address of the other end of a TCP connection.
pub(super) fn peer(peer: Option<SocketAddr>) -> IpAddr {
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip())
}

/// The client's address, see [`client_address`].
pub(super) fn address(
    transport: &Transport,
    peer: Option<SocketAddr>,
    headers: &HeaderMap,
) -> IpAddr {
    let peer = self::peer(peer);
    let forwarded: Vec<_> = texts(headers, &HeaderName::from_static("x-forwarded-for")).collect();
    client_address(peer, forwarded.into_iter(), &transport.http.trusted_proxies)
}

/// The values of a header that are text.
pub(super) fn texts<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .filter_map(|value| value.to_str().ok())
}

fn ticket(query: &str) -> Option<String> {
    // A ticket has no character that would be percent-encoded.
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix("ticket="))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_are_found_wherever_they_stand() {
        assert_eq!(ticket("ticket=abc"), Some("abc".into()));
        assert_eq!(ticket("a=b&ticket=abc&c"), Some("abc".into()));
        assert_eq!(ticket("tickets=abc"), None);
        assert_eq!(ticket(""), None);
    }
}
