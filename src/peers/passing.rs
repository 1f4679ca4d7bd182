//! Passing a client's request on to the node that has its session.
//!
//! What is sent is a line of JSON that says what the request was, and the request's body behind it;
//! what comes back is the same of the answer. It may wait for as long as the client does, so it has
//! places of its own (`peers.passed_on_max`), on either side.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::client::{Exchange, PeerError, Peers};
use super::metrics::{CALL_SECONDS, CALLS};
use crate::protocol::origin::Origin;

/// Its name, in the path, in metrics and in logs.
pub(super) const NAME: &str = "engineio";

/// The name of a WebSocket that is passed on.
pub(super) const SOCKET_NAME: &str = "engineio_socket";

/// A polling request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOn {
    /// A POST, not a GET.
    pub is_post: bool,
    /// The query of its address, as it stands there.
    pub query: String,
    /// Its body is bytes.
    pub is_bytes: bool,
}

/// The answer to one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedBack {
    /// The HTTP status.
    pub status: u16,
    /// Of a good answer the content type, if it has a body of its own; else why it is none.
    pub kind: String,
}

impl PassedBack {
    /// An answer.
    #[must_use]
    pub fn of(status: u16, kind: &str) -> Self {
        Self {
            status,
            kind: kind.to_owned(),
        }
    }
}

/// A WebSocket for a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedSocket {
    /// The query of its address, as it stands there.
    pub query: String,
    /// Whether permessage-deflate was agreed on with the client.
    pub deflate: bool,
}

/// An answer, later, and its body.
pub type Passing<'a> = Pin<Box<dyn Future<Output = (PassedBack, Bytes)> + 'a>>;

impl Peers {
    /// Passes a request on to the node that has this life, and waits for its answer for at most
    /// `patience` beyond the time for a question. Dropping it tells the node that the client has gone.
    pub async fn pass_on(
        &self,
        home: &Origin,
        request: &PassedOn,
        body: Bytes,
        patience: Duration,
    ) -> Result<(PassedBack, Bytes), PeerError> {
        let begun = Instant::now();
        let answer = self.try_pass_on(home, request, body, patience).await;
        let kind = if request.is_post { "post" } else { "poll" };
        if request.is_post {
            // Polls take as long as they like.
            CALL_SECONDS
                .with_label_values(&[NAME])
                .observe(begun.elapsed().as_secs_f64());
        }
        let outcome = answer.as_ref().err().map_or("ok", PeerError::code);
        CALLS.with_label_values(&[NAME, outcome]).inc();
        if let Err(error) = &answer {
            let error = error as &dyn std::error::Error;
            tracing::debug!(error, peer = %home, kind, "a request could not be passed on");
        }
        answer
    }

    async fn try_pass_on(
        &self,
        home: &Origin,
        request: &PassedOn,
        body: Bytes,
        patience: Duration,
    ) -> Result<(PassedBack, Bytes), PeerError> {
        let peer = self.find(home).await?;
        if peer.address.is_empty() {
            return Err(PeerError::NoAddress);
        }
        let shared = self.shared();
        let turn = shared.passing.try_acquire();
        let _turn = turn.map_err(|_| PeerError::Busy)?;
        let sent = join(request, &body).ok_or(PeerError::BadAnswer)?;
        let limit = Duration::from_millis(shared.config.call_timeout_ms) + patience;
        let asking = Arc::clone(shared);
        let exchange = shared.runtime.spawn(async move {
            let path = format!("/peer/{NAME}");
            let (to, address) = (peer.origin, peer.address);
            asking
                .exchange(to, &address, &path, sent, Some(limit))
                .await
        });
        let mut exchange = Exchange(exchange);
        let answer = tokio::time::timeout(limit, &mut exchange.0).await;
        let answer = answer.map_err(|_| PeerError::TimedOut)?;
        let answer = answer.map_err(|_| PeerError::BadAnswer)??;
        split(&answer).ok_or(PeerError::BadAnswer)
    }
}

/// A line of JSON, and what follows it.
pub(super) fn join(head: &impl Serialize, body: &[u8]) -> Option<Bytes> {
    let head = serde_json::to_vec(head).ok()?;
    let mut joined = BytesMut::with_capacity(head.len() + 1 + body.len());
    joined.put_slice(&head);
    joined.put_u8(b'\n');
    joined.put_slice(body);
    Some(joined.freeze())
}

/// Parts them again. JSON as it is written here has no line's end in it.
pub(super) fn split<T: DeserializeOwned>(joined: &Bytes) -> Option<(T, Bytes)> {
    let end = joined.iter().position(|&byte| byte == b'\n')?;
    let head = serde_json::from_slice(&joined[..end]).ok()?;
    Some((head, joined.slice(end + 1..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_and_bodies_are_parted_where_they_were_joined() {
        let request = PassedOn {
            is_post: true,
            query: "a=\n&b=\"".into(),
            is_bytes: false,
        };
        for body in [&b""[..], b"4hello", b"\n\n{}", &[0, 255, 10]] {
            let joined = join(&request, body).unwrap();
            let (head, rest) = split::<PassedOn>(&joined).unwrap();
            assert_eq!((head, &rest[..]), (request.clone(), body));
        }
        assert_eq!(split::<PassedOn>(&Bytes::from_static(b"{}")), None);
        assert_eq!(split::<PassedOn>(&Bytes::from_static(b"{}\n")), None);
    }
}
