//! A client's side of a protocol: what the checker needs of one, so that each protocol plugs in.

mod websocket;

use serde_json::Value;

use super::history::Answer;
use crate::harness::rest::User;

pub(super) use websocket::WebSocket;

/// One connection.
pub(super) trait Driver: Sized + Send + 'static {
    /// For the timeline.
    const PROTOCOL: &'static str;

    /// Opens it, as this user, at the node at `address`. An error is a node that is away or busy.
    fn connect(address: &str, user: &User) -> impl Future<Output = Result<Self, String>> + Send;

    /// Sends a command; its answer comes by [`Driver::next`] under the same number.
    fn command(
        &mut self,
        op: u64,
        cmd: &'static str,
        fields: &Value,
    ) -> impl Future<Output = ()> + Send;

    /// What comes next. It can be given up and asked for again.
    fn next(&mut self) -> impl Future<Output = Incoming> + Send;

    /// Ends it in an orderly way. Dropping it breaks it off.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// What a connection brings.
#[derive(Debug)]
pub(super) enum Incoming {
    Push(Value),
    Answer(u64, Answer),
    End(String),
}
