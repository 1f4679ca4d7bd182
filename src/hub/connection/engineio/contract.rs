//! What the conformance suite of Socket.IO expects of a server: two namespaces, whose events come
//! back.

use std::borrow::Cow;
use std::time::Duration;

use actix::prelude::*;

use super::Connection;
use crate::hub::connection::Flow;
use crate::hub::connection::context::Context;
use crate::protocol::socketio::packet::Packet;
use crate::protocol::socketio::{MAIN, Value};

/// The answer to CONNECT and what follows it are so far apart.
const APART: Duration = Duration::from_millis(10);

/// The other namespace.
const CUSTOM: &str = "/custom";

impl Connection {
    /// The client wants to be in a namespace. In both it is told what it showed.
    pub(super) fn enter_suite(
        &mut self,
        nsp: String,
        data: Option<Value<'static>>,
        ctx: &mut Context<Self>,
    ) -> Flow {
        if !matches!(&*nsp, MAIN | CUSTOM) {
            self.refuse_namespace(&nsp, "Invalid namespace", None);
            return Flow::Continue;
        }
        let Some(engine) = &mut self.engine else {
            return Flow::Continue;
        };
        let sid = engine.place.registry.new_sid();
        let accepted = engine.socketio.accept(&nsp, &sid, None);
        self.push_packet(accepted);
        let shown = data.unwrap_or(Value::json("{}"));
        // The suite waits for one packet, and only then for the next: it would miss what comes with it.
        let later = tokio::time::sleep(APART).into_actor(self);
        ctx.wait(later.map(move |(), this, ctx| {
            this.push_event(&nsp, "auth", &[shown]);
            this.resume(ctx);
        }));
        Flow::Wait
    }

    /// An event: it comes back by another name, or as its acknowledgement.
    pub(super) fn answer_suite(&mut self, nsp: &str, id: Option<u64>, args: &Value<'_>) {
        let items = args.items().unwrap_or_default();
        let Some((name, rest)) = items.split_first() else {
            return;
        };
        match (name.text().as_deref(), id) {
            (Some("message"), _) => self.push_event(nsp, "message-back", rest),
            (Some("message-with-ack"), Some(id)) => self.push_suite(&Packet::Ack {
                nsp: Cow::Borrowed(nsp),
                id,
                args: Value::list(None, rest),
            }),
            _ => {}
        }
    }

    fn push_event(&self, nsp: &str, name: &str, rest: &[Value<'_>]) {
        self.push_suite(&Packet::Event {
            nsp: Cow::Borrowed(nsp),
            id: None,
            args: Value::list(Some(name), rest),
        });
    }

    fn push_suite(&self, packet: &Packet<'_>) {
        if let Some(engine) = &self.engine {
            self.push_packet(engine.socketio.encode(packet).map(Some));
        }
    }
}
