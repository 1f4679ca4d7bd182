//! Events that the client is to acknowledge, and who waits for that.

use serde_json::value::RawValue;
use tokio::sync::oneshot;

use super::Connection;
use crate::hub::engineio::Question;
use crate::hub::metrics::SOCKETIO_ASKED;
use crate::protocol::ask::{Asked, NotAsked};
use crate::protocol::socketio::packet::Packet;
use crate::protocol::socketio::session::Session;
use crate::protocol::socketio::{MAIN, Value};

/// Those of one client: as many as the session awaits acknowledgements.
#[derive(Debug, Default)]
pub(super) struct Questions(Vec<(u64, oneshot::Sender<Asked>)>);

impl Questions {
    /// Nobody waits any longer for what the client has not answered in time.
    fn forget_late(&mut self, session: &mut Session) {
        self.0.retain(|(id, answer)| {
            let is_late = answer.is_closed();
            if is_late {
                session.forget(*id);
            }
            !is_late
        });
    }

    /// The client has acknowledged one.
    pub(super) fn acknowledged(&mut self, id: u64, args: &Value<'_>, max_bytes: usize) {
        let Some(place) = self.0.iter().position(|(asked, _)| *asked == id) else {
            return;
        };
        let (_, answer) = self.0.swap_remove(place);
        if answer.send(plain(args, max_bytes)).is_err() {
            SOCKETIO_ASKED.with_label_values(&["late"]).inc();
        }
        self.release();
    }

    /// The client is not there any more to answer them.
    pub(super) fn drop_all(&mut self) {
        // Who waits sees it by that.
        self.0 = Vec::new();
    }

    /// Nothing stays allocated for who is idle.
    fn release(&mut self) {
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
    }
}

impl Connection {
    /// Sends the client an event that it is to acknowledge.
    pub(super) fn ask(&mut self, question: Question) {
        let Question {
            user_id,
            args,
            answer,
        } = question;
        let identity = self.attachment.identity.borrow().as_ref().copied();
        let is_whose = identity.is_some_and(|it| it.user_id == user_id);
        let Some(engine) = self.engine.as_mut().filter(|_| is_whose) else {
            return drop(answer.send(Err(NotAsked::Gone)));
        };
        engine.questions.forget_late(&mut engine.socketio);
        if !engine.socketio.is_in(MAIN) || self.attachment.outbox.is_over() {
            return drop(answer.send(Err(NotAsked::Gone)));
        }
        let Some(id) = engine.socketio.ask(MAIN) else {
            return drop(answer.send(Err(NotAsked::Overloaded)));
        };
        let packet = engine.socketio.encode(&Packet::Event {
            nsp: MAIN.into(),
            id: Some(id),
            args: Value::Json(args.into()),
        });
        engine.questions.0.push((id, answer));
        self.push_packet(packet.map(Some));
    }
}

/// The arguments as JSON.
fn plain(args: &Value<'_>, max_bytes: usize) -> Asked {
    let json = args.to_plain_json().map_err(|_| NotAsked::Unfit)?;
    if json.len() > max_bytes {
        return Err(NotAsked::Unfit);
    }
    RawValue::from_string(json.into_owned()).map_err(|_| NotAsked::Unfit)
}
