//! A client's side of a protocol: what the checker needs of one, so that each protocol plugs in.

mod socketio;
mod sse;
mod websocket;

use reqwest::{RequestBuilder, Response};
use serde_json::Value;

use super::history::Answer;
use crate::harness::rest::User;

pub(super) use socketio::SocketIo;
pub(super) use sse::Sse;
pub(super) use websocket::WebSocket;

/// One connection.
pub(super) trait Driver: Sized + Send + 'static {
    /// For the timeline.
    const PROTOCOL: &'static str;

    /// Whether it has this command.
    fn speaks(_cmd: &str) -> bool {
        true
    }

    /// Whether it is in all rooms of its user by itself, from the one `resume` that opens it on.
    const IS_WHOLE: bool = false;

    /// What a client of that kind would come back with now.
    fn cursor(&self) -> Option<&str> {
        None
    }

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

/// The answer to a REST request, in the words of a command's.
pub(super) async fn answer_of(request: RequestBuilder) -> Answer {
    let Ok(response) = request.send().await else {
        return Answer::Lost;
    };
    if !response.status().is_success() {
        return refusal_of(response).await;
    }
    match response.text().await {
        Ok(text) => Answer::Done(serde_json::from_str(&text).unwrap_or_default()),
        Err(_) => Answer::Lost,
    }
}

/// The refusal in a problem document.
async fn refusal_of(response: Response) -> Answer {
    let text = response.text().await.unwrap_or_default();
    let problem: Value = serde_json::from_str(&text).unwrap_or_default();
    match problem["code"].as_str() {
        Some(code) => Answer::Refused {
            code: code.to_owned(),
            retry: problem["retry"] == true,
        },
        // Cut off, or by somebody who knows nothing of our problems.
        None => Answer::Lost,
    }
}

/// What a connection brings.
#[derive(Debug)]
pub(super) enum Incoming {
    Push(Value),
    Answer(u64, Answer),
    End(String),
}
