//! Asking one client something that it acknowledges: what servers of Socket.IO call
//! `io.to(id).timeout(ms).emitWithAck(…)`.
//!
//! The question goes to the thread of the connection, whose session numbers it and keeps who waits
//! ([`Questions`](super::connection::engineio)); who stops waiting is forgotten there. Nothing is
//! stored: a client that is away is not asked later, and a question is never a place to recover from.

use std::time::Duration;

use tokio::sync::oneshot;

use super::HubHandle;
use super::engineio::{Call, Question};
use super::fanout::{ConnectionKey, FanoutMessage};
use super::metrics::SOCKETIO_ASKED;
use crate::protocol::ask::{Ask, Asked, NotAsked};

impl HubHandle {
    /// Asks a client of this node, and waits for its acknowledgement: as long as the question says,
    /// but no longer than `socketio.ack_timeout_ms`.
    pub async fn ask(&self, ask: Ask) -> Asked {
        let asked = self.put(ask).await;
        let outcome = asked.as_ref().err().map_or("answered", |it| it.label());
        SOCKETIO_ASKED.with_label_values(&[outcome]).inc();
        asked
    }

    async fn put(&self, ask: Ask) -> Asked {
        let engineio = self.engineio();
        let _turn = engineio.try_ask().ok_or(NotAsked::Overloaded)?;
        let Ask {
            connection: id,
            user_id,
            name,
            data,
            wait_ms,
        } = ask;
        if id.origin != self.shared.origin {
            return Err(NotAsked::Gone);
        }
        let (answer, answered) = oneshot::channel();
        let event = serde_json::json!(["ask", { "push": "ask", "name": name, "data": data }]);
        let question = Question {
            user_id,
            args: event.to_string(),
            answer,
        };
        let key = ConnectionKey::from_place(id.place);
        let call = Box::new(Call::Ask(question));
        self.shared.workers.send_to(id.place.thread as usize, || {
            FanoutMessage::EngineIo(key, call)
        });
        let patience = Duration::from_millis(wait_ms.min(engineio.config().ack_timeout_ms));
        match tokio::time::timeout(patience, answered).await {
            Ok(Ok(answer)) => answer,
            // Its session has ended.
            Ok(Err(_)) => Err(NotAsked::Gone),
            Err(_) => Err(NotAsked::TimedOut),
        }
    }
}
