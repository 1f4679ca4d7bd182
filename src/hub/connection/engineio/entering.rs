//! A client of Socket.IO comes into the hub's namespace, as somebody, and perhaps comes back.
//!
//! Who comes back by its library's own account, a `pid` and an offset, has recovered only if it
//! misses nothing: so before it is answered it is looked whether each of the rooms can be joined
//! again and still has what was missed. Then it is answered with the same `pid`, and the rooms are
//! joined and replayed; if one of them cannot be after all, the connection is closed, and it comes
//! back from where it stands then. Otherwise it gets another `pid` and is told by a `gap`.

use std::rc::Rc;

use actix::prelude::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::Connection;
use crate::hub::HubHandle;
use crate::hub::connection::context::Context;
use crate::hub::connection::identity::{Demand, Identity};
use crate::hub::connection::outbox::Class;
use crate::hub::connection::resume;
use crate::hub::connection::{Flow, timed_out, too_late};
use crate::hub::encoded::WireFormat;
use crate::hub::metrics::SOCKETIO_RECOVERIES;
use crate::protocol::close::Disconnect;
use crate::protocol::cursor::Position;
use crate::protocol::engineio::Revision;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::id::{RoomId, RoomRef};
use crate::protocol::reply::{Gap, GapReason};
use crate::protocol::socketio::MAIN;
use crate::protocol::socketio::packet::Packet;
use crate::protocol::socketio::push::{Format, Missing};
use crate::protocol::socketio::recovery::{Credentials, Offset};

/// Random bytes of a `pid`.
const PID_BYTES: usize = 18;

/// A client that was found to be somebody.
struct Known {
    identity: Identity,
    /// What it cannot have of what it missed.
    missing: Vec<Missing>,
}

impl Connection {
    /// The client wants to be in a namespace.
    pub(super) fn enter_namespace(
        &mut self,
        nsp: &str,
        credentials: Credentials,
        ctx: &mut Context<Self>,
    ) -> Flow {
        if nsp != MAIN {
            self.refuse_namespace(nsp, "Invalid namespace", None);
            return Flow::Continue;
        }
        let Some(engine) = &self.engine else {
            return Flow::Continue;
        };
        let by_cookie = engine.identity;
        let (hub, address, patience) = (self.worker.hub.clone(), self.address, self.patience());
        let token = credentials.token.clone();
        let offset = credentials.recovery();
        let asked = offset.clone();
        let max_rooms = self.session.limits().max_rooms;
        let asking = async move {
            let identity = match (token, by_cookie) {
                (Some(token), _) => hub.gate().authenticate(token, address).await?,
                (None, Some(identity)) => identity,
                (None, None) => return Err(nobody()),
            };
            let missing = match &asked {
                Offset::At(positions) if positions.len() <= max_rooms => {
                    missing(&hub, &identity, address, positions).await?
                }
                _ => Vec::new(),
            };
            Ok(Known { identity, missing })
        };
        let asking = async move {
            tokio::time::timeout(patience, asking)
                .await
                .unwrap_or_else(|_| Err(timed_out()))
        };
        ctx.wait(asking.into_actor(self).map(move |found, this, ctx| {
            match found {
                _ if this.attachment.outbox.is_over() => {}
                Ok(known) => this.entered(known, offset, credentials, ctx),
                Err(refusal) => this.not_entered(&refusal),
            }
            this.resume(ctx);
        }));
        Flow::Wait
    }

    /// The client may not come in.
    fn not_entered(&mut self, refusal: &Refusal) {
        if refusal.code == ErrorCode::Unavailable {
            // Whom a server refuses stays away, and the next moment may be a better one.
            return self.worker.close(&self.attachment, Disconnect::Overloaded);
        }
        let data = json!({ "code": refusal.code, "retry": refusal.code.retry() });
        self.refuse_namespace(MAIN, &refusal.message, Some(&data));
    }

    /// The client is somebody.
    fn entered(
        &mut self,
        known: Known,
        offset: Offset,
        credentials: Credentials,
        ctx: &mut Context<Self>,
    ) {
        let Known {
            identity,
            missing: lacks,
        } = known;
        if let Some(reason) = too_late(&self.worker.hub, Some(identity)) {
            return match reason {
                Disconnect::Drain => self.worker.close(&self.attachment, reason),
                _ => self.not_entered(&Refusal::new(
                    ErrorCode::Unauthenticated,
                    "the session has ended",
                )),
            };
        }
        if let Err(refusal) = self.known_as(identity) {
            return self.not_entered(&refusal);
        }
        let max_rooms = self.session.limits().max_rooms;
        let recovering = match &offset {
            Offset::At(positions) if positions.len() <= max_rooms => lacks.is_empty(),
            _ => false,
        };
        let Some(engine) = &mut self.engine else {
            return;
        };
        engine.is_single_room = credentials.is_single_room;
        let has_cursors =
            engine.takes_offsets && engine.revision() == Revision::V4 || credentials.pid.is_some();
        let pid = match (&credentials.pid, recovering) {
            _ if !has_cursors => None,
            (Some(pid), true) => Some(pid.clone()),
            _ => Some(random()),
        };
        let accepted =
            engine
                .socketio
                .accept(MAIN, &engine.place.registry.new_sid(), pid.as_deref());
        let codec = engine.socketio.codec();
        let revision = engine.revision();
        let farewell = engine
            .socketio
            .encode(&Packet::Disconnect { nsp: MAIN.into() });
        if let Ok(farewell) = farewell {
            self.attachment.outbox.set_farewell(farewell.frame());
        }
        let format = Format {
            codec,
            revision,
            has_cursors,
        };
        let is_deflated = matches!(
            self.attachment.format.get(),
            WireFormat::SocketIo {
                is_deflated: true,
                ..
            }
        );
        self.worker.table.borrow_mut().set_format(
            &self.attachment,
            WireFormat::SocketIo {
                format,
                is_deflated,
            },
        );
        self.attachment.is_deaf.set(false);
        self.attachment.has_taken_leave.set(false);
        self.push_packet(accepted);
        let user_id = identity.user_id;
        match offset {
            Offset::At(positions) if recovering => {
                SOCKETIO_RECOVERIES.with_label_values(&["recovered"]).inc();
                let after = |this: &mut Self, resumed: crate::protocol::reply::Resumed| {
                    if resumed.refused > 0 {
                        // It was told that it has recovered, and has not.
                        let reason = Disconnect::Resync;
                        this.worker.close(&this.attachment, reason);
                    }
                };
                self.resume_positions(user_id, positions, after, ctx);
            }
            Offset::At(_) | Offset::Lost => {
                SOCKETIO_RECOVERIES.with_label_values(&["lost"]).inc();
                let kept = credentials.offset.as_deref();
                let gap = format.gap(&lacks, kept).frame();
                self.attachment.outbox.push(gap, Class::Durable);
            }
            Offset::New => {}
        }
        if let Some(cursor) = credentials.cursor.filter(|_| !recovering) {
            match resume::read(&cursor, max_rooms) {
                Ok(positions) => {
                    self.resume_positions(user_id, positions, |_, _| {}, ctx);
                }
                Err(refusal) => {
                    let refused = format.refused("resume", &refusal).frame();
                    self.attachment.outbox.push(refused, Class::Durable);
                }
            }
        }
    }

    /// A room was joined: clients that are in one room at a time leave the others.
    pub(in crate::hub::connection) fn leave_others(&mut self, joined: RoomId) {
        if !self.engine.as_ref().is_some_and(|it| it.is_single_room) {
            return;
        }
        let others = self.attachment.room_ids().into_iter();
        for room_id in others.filter(|it| *it != joined) {
            self.worker.unsubscribe(&self.attachment, room_id);
        }
        let table = self.worker.table.borrow();
        self.attachment.push_cursor(&table, None);
    }

    /// The client is out of the namespace, as it wants.
    pub(super) fn leave_namespace(&mut self) {
        let attachment = Rc::clone(&self.attachment);
        for room_id in attachment.room_ids() {
            self.worker.unsubscribe(&attachment, room_id);
        }
        if let Some(engine) = &mut self.engine {
            engine.questions.drop_all();
        }
        attachment.is_deaf.set(true);
        attachment.has_taken_leave.set(true);
        attachment.outbox.set_farewell(bytes::Bytes::new());
        if let Some(identity) = attachment.identity.take() {
            self.worker.hub.online().depart(identity.user_id);
        }
        let mut life = attachment.life.get();
        life.is_authenticated = false;
        life.expires = None;
        attachment.life.set(life);
    }
}

/// What of the events after these positions their reader cannot have.
async fn missing(
    hub: &HubHandle,
    identity: &Identity,
    address: std::net::IpAddr,
    positions: &[Position],
) -> Result<Vec<Missing>, Refusal> {
    let mut missing = Vec::new();
    for position in positions {
        let room = position.room_id;
        let found = async {
            hub.gate().admit(identity.user_id, address, Demand::Read)?;
            // Who comes back takes turns: they come all at once.
            let _turn = hub.replays().turn().await?;
            hub.member_access(&RoomRef::Id(room), identity.user_id)
                .await
        };
        let access = match found.await {
            Ok(access) => access,
            // Whether it can be had is not known: the client tries again.
            Err(refusal) if refusal.code == ErrorCode::Unavailable => return Err(refusal),
            Err(refusal) => {
                missing.push(Missing::Room { room, err: refusal });
                continue;
            }
        };
        let Position { epoch, seq, .. } = *position;
        let reason = if epoch != access.epoch || seq > access.last_seq {
            Some((GapReason::Epoch, access.last_seq))
        } else if seq < access.history_floor {
            Some((GapReason::History, access.history_floor))
        } else if seq + 1 < access.first_seq {
            Some((GapReason::Retention, access.first_seq - 1))
        } else {
            None
        };
        if let Some((reason, to)) = reason {
            let gap = Gap {
                from: seq.saturating_add(1),
                to,
                reason,
            };
            missing.push(Missing::Events { room, gap });
        }
    }
    Ok(missing)
}

fn nobody() -> Refusal {
    Refusal::new(
        ErrorCode::Unauthenticated,
        "show a session's token by `auth: {token}`, or come with its cookie",
    )
}

fn random() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; PID_BYTES]>())
}
