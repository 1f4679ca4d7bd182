//! What a client of Socket.IO says, as steps in their turn.

use super::effects::Effect;
use super::{Connection, Contract, Engine};
use crate::hub::connection::context::Context;
use crate::hub::connection::outbox::Class;
use crate::hub::connection::{Flow, Step};
use crate::protocol::close::Disconnect;
use crate::protocol::engineio::Revision;
use crate::protocol::native::request::{REQUEST_ID_MAX_BYTES, Request, RequestError, RequestId};
use crate::protocol::socketio::encode::EncodeError;
use crate::protocol::socketio::message::Message;
use crate::protocol::socketio::recovery::Credentials;
use crate::protocol::socketio::session::{Action, Violation};
use crate::protocol::socketio::{MAIN, Value, command};

/// What it says that is no command.
#[derive(Debug)]
pub(in crate::hub::connection) enum Said {
    /// It wants to be in a namespace.
    Connect {
        nsp: String,
        credentials: Credentials,
        /// What it showed, for the suite.
        data: Option<Value<'static>>,
    },
    /// It is in a namespace no longer.
    Left { nsp: String },
    /// An event that is no command: the suite's.
    Event {
        nsp: String,
        id: Option<u64>,
        args: Value<'static>,
    },
}

impl Engine {
    /// Takes what the session of Socket.IO says to do about a message of so many bytes.
    pub(super) fn note_said(
        &mut self,
        said: Vec<Action<'_>>,
        bytes: usize,
        effects: &mut Vec<Effect>,
    ) {
        for action in said {
            let step = match action {
                Action::Connect { nsp, query, data } => Step::Said(Box::new(Said::Connect {
                    credentials: self.credentials(query.as_deref(), data.as_ref()),
                    nsp,
                    data: match self.contract {
                        Contract::SocketIoSuite => data.map(Value::into_owned),
                        Contract::Hub | Contract::Echo => None,
                    },
                })),
                Action::Event { nsp, id, args } => match self.contract {
                    Contract::SocketIoSuite => Step::Said(Box::new(Said::Event {
                        nsp: nsp.into_owned(),
                        id,
                        args: args.into_owned(),
                    })),
                    Contract::Hub | Contract::Echo => self.request(id, &args),
                },
                Action::Acked { id, args } => {
                    self.questions.acknowledged(id, &args, self.message_bytes);
                    continue;
                }
                Action::Left { nsp } => Step::Said(Box::new(Said::Left { nsp })),
                Action::Close(violation) => {
                    tracing::debug!(%violation, "a session has failed");
                    effects.push(Effect::End(disconnect(&violation)));
                    continue;
                }
            };
            effects.push(Effect::Step(step, bytes));
        }
    }

    /// What shows who a client is that wants to be in a namespace.
    fn credentials(&self, query: Option<&str>, data: Option<&Value<'_>>) -> Credentials {
        let mut credentials = match (self.revision(), query) {
            (Revision::V3, Some(query)) => {
                let pairs = form_urlencoded::parse(query.as_bytes());
                Credentials::of_query(pairs.into_owned())
            }
            _ => Credentials::read(data),
        };
        if credentials.token.is_none() {
            credentials.token.clone_from(&self.token);
        }
        credentials
    }

    /// An event as a request.
    fn request(&self, id: Option<u64>, args: &Value<'_>) -> Step {
        let read = command::command(args, self.message_bytes);
        // By what a refusal is told where nobody waits for an acknowledgement.
        let id = match (id, &read) {
            (Some(id), _) => RequestId::Number(id),
            (None, Ok(command)) => RequestId::Text(command.name().into()),
            (None, Err(_)) => {
                let name = command::name(args).unwrap_or_default();
                let starts = name.char_indices().map(|(start, _)| start);
                let fits = starts.chain([name.len()]);
                let end = fits.take_while(|end| *end <= REQUEST_ID_MAX_BYTES).last();
                RequestId::Text(name[..end.unwrap_or_default()].into())
            }
        };
        match read {
            Ok(command) => Step::Run(Request {
                id: Some(id),
                command,
            }),
            Err(refusal) => Step::Refuse(RequestError {
                id: Some(id),
                refusal,
            }),
        }
    }
}

impl Connection {
    /// Does what the client wants that is no command.
    pub(in crate::hub::connection) fn said(&mut self, said: Said, ctx: &mut Context<Self>) -> Flow {
        let contract = self.engine.as_ref().map(|it| it.contract);
        match (said, contract) {
            (Said::Connect { nsp, data, .. }, Some(Contract::SocketIoSuite)) => {
                self.enter_suite(nsp, data, ctx)
            }
            (
                Said::Connect {
                    nsp, credentials, ..
                },
                _,
            ) => self.enter_namespace(&nsp, credentials, ctx),
            (Said::Left { nsp }, _) => {
                if nsp == MAIN {
                    self.leave_namespace();
                }
                Flow::Continue
            }
            (Said::Event { nsp, id, args }, _) => {
                self.answer_suite(&nsp, id, &args);
                Flow::Continue
            }
        }
    }

    /// The client may not be in a namespace.
    pub(super) fn refuse_namespace(
        &mut self,
        nsp: &str,
        message: &str,
        data: Option<&serde_json::Value>,
    ) {
        let Some(engine) = &mut self.engine else {
            return;
        };
        let (mut said, mut effects) = (Vec::new(), Vec::new());
        let packet = engine.socketio.refuse(nsp, message, data, &mut said);
        engine.note_said(said, 0, &mut effects);
        self.push_packet(packet);
        for effect in effects {
            if let Effect::End(reason) = effect {
                self.worker.close(&self.attachment, reason);
            }
        }
    }

    /// Adds a packet to what goes out.
    pub(super) fn push_packet(&self, packet: Result<Option<Message>, EncodeError>) {
        match packet {
            Ok(Some(message)) => {
                let format = self.attachment.format.get();
                let frame = format.finish(message.frame());
                self.attachment.outbox.push(frame, Class::Durable);
            }
            // Nobody waits for it any more.
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(%error, "a packet cannot be written");
                self.worker
                    .close(&self.attachment, Disconnect::ProtocolError);
            }
        }
    }
}

fn disconnect(violation: &Violation) -> Disconnect {
    match violation {
        Violation::ConnectTimeout => Disconnect::Unauthenticated,
        Violation::Refusals => Disconnect::Abuse,
        Violation::Packet(_)
        | Violation::AttachmentsTimeout
        | Violation::NotConnected
        | Violation::ConnectedTwice
        | Violation::OutOfPlace
        | Violation::Ack => Disconnect::ProtocolError,
    }
}
