//! One client's state above Engine.IO: the namespaces that it is in, what is being put together, and
//! which acknowledgements are awaited.
//!
//! It does no I/O: it is told what came and when, and says what to do ([`Action`]). Whether a client
//! may be in a namespace others decide, and tell by [`Session::accept`] or [`Session::refuse`].

mod action;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use super::MAIN;
use super::decode::{DecodeError, Decoder};
use super::encode::{EncodeError, encode};
use super::message::Message;
use super::packet::Packet;
use super::value::Value;
use crate::protocol::engineio::Revision;
use crate::protocol::native::Codec;
pub use action::{Action, Settings, Violation};

/// How a client stands to a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It has asked.
    Asked,
    /// It is in it.
    In,
    /// The server has put it out, which it may not know yet.
    PutOut,
}

#[derive(Debug)]
struct Namespace {
    name: Box<str>,
    standing: Standing,
}

/// One client's state.
#[derive(Debug)]
pub struct Session {
    settings: Arc<Settings>,
    revision: Revision,
    decoder: Decoder,
    namespaces: Vec<Namespace>,
    /// When it must be in a namespace; none from then on.
    connect_until: Option<Instant>,
    /// When the packet that is being put together must be whole.
    whole_until: Option<Instant>,
    refusals: usize,
    next_ack: u64,
    /// Ascending; with the namespace.
    awaited: VecDeque<(u64, Box<str>)>,
    is_closed: bool,
}

impl Session {
    /// A connection of Engine.IO is open. Clients of revision 4 are in the main namespace without
    /// asking, if they may be.
    pub fn open(
        settings: Arc<Settings>,
        revision: Revision,
        now: Instant,
        actions: &mut Vec<Action<'_>>,
    ) -> Self {
        let mut session = Self {
            decoder: Decoder::new(revision, settings.packet_bytes),
            connect_until: Some(now + settings.connect_timeout),
            settings,
            revision,
            namespaces: Vec::new(),
            whole_until: None,
            refusals: 0,
            next_ack: 0,
            awaited: VecDeque::new(),
            is_closed: false,
        };
        if revision == Revision::V3 {
            session.asked(MAIN.into(), None, None, actions);
        }
        session
    }

    /// How the client writes. Before its first packet that is not known, and nothing is written.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.decoder.codec().unwrap_or_default()
    }

    /// Whether the client is in a namespace.
    #[must_use]
    pub fn is_in(&self, nsp: &str) -> bool {
        self.standing(nsp) == Some(Standing::In)
    }

    /// When [`Session::tick`] is due at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.connect_until.into_iter().chain(self.whole_until).min()
    }

    /// A message of text came.
    pub fn text<'a>(&mut self, now: Instant, text: &'a str, actions: &mut Vec<Action<'a>>) {
        if self.is_closed {
            return;
        }
        let packet = self.decoder.text(text);
        self.decoded(now, packet, actions);
    }

    /// A message of bytes came.
    pub fn bytes<'a>(&mut self, now: Instant, bytes: &'a [u8], actions: &mut Vec<Action<'a>>) {
        if self.is_closed {
            return;
        }
        let packet = self.decoder.bytes(bytes);
        self.decoded(now, packet, actions);
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant, actions: &mut Vec<Action<'_>>) {
        if self.connect_until.is_some_and(|at| at <= now) {
            self.close(Violation::ConnectTimeout, actions);
        } else if self.whole_until.is_some_and(|at| at <= now) {
            self.close(Violation::AttachmentsTimeout, actions);
        }
    }

    /// The client is in a namespace from now on, as `sid`, and may recover as `pid`. What to send;
    /// none if it does not wait for that any more.
    pub fn accept(
        &mut self,
        nsp: &str,
        sid: &str,
        pid: Option<&str>,
    ) -> Result<Option<Message>, EncodeError> {
        #[derive(Serialize)]
        struct Accepted<'a> {
            sid: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            pid: Option<&'a str>,
        }
        let Some(namespace) = self.asked_for(nsp) else {
            return Ok(None);
        };
        namespace.standing = Standing::In;
        self.connect_until = None;
        let data = match self.revision {
            Revision::V4 => Some(json(&Accepted { sid, pid })),
            Revision::V3 => None,
        };
        let nsp = Cow::Borrowed(nsp);
        self.encode(&Packet::Connect { nsp, data }).map(Some)
    }

    /// The client may not be in a namespace; `data` is for the application. What to send; none if
    /// it does not wait for that any more. Then it may have been refused too often.
    pub fn refuse(
        &mut self,
        nsp: &str,
        message: &str,
        data: Option<&serde_json::Value>,
        actions: &mut Vec<Action<'_>>,
    ) -> Result<Option<Message>, EncodeError> {
        #[derive(Serialize)]
        struct Refused<'a> {
            message: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            data: Option<&'a serde_json::Value>,
        }
        if self.asked_for(nsp).is_none() {
            return Ok(None);
        }
        self.namespaces.retain(|it| &*it.name != nsp);
        let data = match (self.revision, data) {
            (Revision::V4, data) => json(&Refused { message, data }),
            (Revision::V3, Some(data)) => json(data),
            (Revision::V3, None) => json(message),
        };
        let nsp = Cow::Borrowed(nsp);
        let packet = self.encode(&Packet::ConnectError { nsp, data });
        self.refusals += 1;
        if self.refusals > self.settings.refusals {
            self.close(Violation::Refusals, actions);
        }
        packet.map(Some)
    }

    /// The server puts the client out of a namespace. What to send; none if it is not in it.
    pub fn put_out(&mut self, nsp: &str) -> Result<Option<Message>, EncodeError> {
        let Some(namespace) = self.find(nsp).filter(|it| it.standing == Standing::In) else {
            return Ok(None);
        };
        namespace.standing = Standing::PutOut;
        self.forget_awaited(nsp);
        let nsp = Cow::Borrowed(nsp);
        self.encode(&Packet::Disconnect { nsp }).map(Some)
    }

    /// The number of an event that asks for an acknowledgement; none if too many are awaited, or if
    /// the client is not in the namespace.
    pub fn ask(&mut self, nsp: &str) -> Option<u64> {
        if self.awaited.len() >= self.settings.awaited || !self.is_in(nsp) {
            return None;
        }
        let id = self.next_ack;
        self.next_ack += 1;
        self.awaited.push_back((id, nsp.into()));
        Some(id)
    }

    /// That acknowledgement is awaited no longer. It may still come, and then counts as nothing.
    pub fn forget(&mut self, id: u64) {
        self.awaited.retain(|(awaited, _)| *awaited != id);
    }

    /// Writes a packet as the client does.
    pub fn encode(&self, packet: &Packet<'_>) -> Result<Message, EncodeError> {
        encode(self.codec(), self.revision, packet)
    }

    fn decoded<'a>(
        &mut self,
        now: Instant,
        packet: Result<Option<Packet<'a>>, DecodeError>,
        actions: &mut Vec<Action<'a>>,
    ) {
        if self.decoder.is_waiting() {
            let until = now + self.settings.attachments_timeout;
            self.whole_until.get_or_insert(until);
        } else {
            self.whole_until = None;
        }
        let packet = match packet {
            Ok(None) => return,
            Ok(Some(packet)) => packet,
            Err(error) => return self.close(error.into(), actions),
        };
        match packet {
            Packet::Connect { nsp, data } => self.connect(&nsp, data, actions),
            Packet::ConnectError { .. } => self.close(Violation::OutOfPlace, actions),
            Packet::Disconnect { nsp } => match self.standing(&nsp) {
                Some(Standing::In) => {
                    self.namespaces.retain(|it| *it.name != nsp);
                    self.forget_awaited(&nsp);
                    let nsp = nsp.into_owned();
                    actions.push(Action::Left { nsp });
                }
                other => self.not_in(other, actions),
            },
            Packet::Event { nsp, id, args } => match self.standing(&nsp) {
                Some(Standing::In) => actions.push(Action::Event { nsp, id, args }),
                other => self.not_in(other, actions),
            },
            Packet::Ack { nsp, id, args } => match self.standing(&nsp) {
                Some(Standing::In) => self.acked(&nsp, id, args, actions),
                other => self.not_in(other, actions),
            },
        }
    }

    fn connect<'a>(&mut self, nsp: &str, data: Option<Value<'a>>, actions: &mut Vec<Action<'a>>) {
        let (name, query) = match (self.revision, nsp.split_once('?')) {
            (Revision::V3, Some((name, query))) => (name, Some(query)),
            _ => (nsp, None),
        };
        match self.standing(name) {
            None => {}
            Some(Standing::PutOut) => self.namespaces.retain(|it| &*it.name != name),
            Some(Standing::Asked | Standing::In) => {
                return self.close(Violation::ConnectedTwice, actions);
            }
        }
        if self.namespaces.len() >= self.settings.namespaces {
            return self.close(Violation::Refusals, actions);
        }
        self.asked(name.into(), query.map(Into::into), data, actions);
    }

    fn asked<'a>(
        &mut self,
        nsp: String,
        query: Option<String>,
        data: Option<Value<'a>>,
        actions: &mut Vec<Action<'a>>,
    ) {
        self.namespaces.push(Namespace {
            name: nsp.as_str().into(),
            standing: Standing::Asked,
        });
        actions.push(Action::Connect { nsp, query, data });
    }

    fn acked<'a>(&mut self, nsp: &str, id: u64, args: Value<'a>, actions: &mut Vec<Action<'a>>) {
        if id >= self.next_ack {
            return self.close(Violation::Ack, actions);
        }
        let awaited = self
            .awaited
            .iter()
            .position(|(awaited, of)| *awaited == id && &**of == nsp);
        // One that is not awaited any more is late, or came before.
        if let Some(place) = awaited {
            self.awaited.remove(place);
            actions.push(Action::Acked { id, args });
        }
    }

    /// A packet came for a namespace that the client is not in.
    fn not_in(&mut self, standing: Option<Standing>, actions: &mut Vec<Action<'_>>) {
        // It may have been put out while the packet was on its way.
        if standing != Some(Standing::PutOut) {
            self.close(Violation::NotConnected, actions);
        }
    }

    fn close(&mut self, violation: Violation, actions: &mut Vec<Action<'_>>) {
        if !self.is_closed {
            self.is_closed = true;
            self.connect_until = None;
            self.whole_until = None;
            actions.push(Action::Close(violation));
        }
    }

    fn standing(&self, nsp: &str) -> Option<Standing> {
        let namespace = self.namespaces.iter().find(|it| &*it.name == nsp)?;
        Some(namespace.standing)
    }

    fn find(&mut self, nsp: &str) -> Option<&mut Namespace> {
        self.namespaces.iter_mut().find(|it| &*it.name == nsp)
    }

    fn asked_for(&mut self, nsp: &str) -> Option<&mut Namespace> {
        let is_closed = self.is_closed;
        self.find(nsp)
            .filter(|it| !is_closed && it.standing == Standing::Asked)
    }

    fn forget_awaited(&mut self, nsp: &str) {
        self.awaited.retain(|(_, of)| &**of != nsp);
    }
}

/// A value of ours, which always has a form in JSON.
fn json<T: Serialize + ?Sized>(value: &T) -> Value<'static> {
    Value::Json(serde_json::to_string(value).unwrap_or_default().into())
}

#[cfg(test)]
mod tests;
