//! Running a client's commands.

use std::time::Duration;

use actix::prelude::*;
use futures_util::future::LocalBoxFuture;

use super::context::Context;
use super::identity::{Demand, Identity};
use super::{Connection, Flow};
use crate::hub::NewMessage;
use crate::hub::encoded::Ephemeral;
use crate::hub::journal::entry::Content;
use crate::protocol::close::Disconnect;
use crate::protocol::command::Command;
use crate::protocol::data::Data;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::id::{RoomId, RoomRef, UserId};
use crate::protocol::native::request::{Request, RequestId};
use crate::protocol::reply::Reply;

impl Connection {
    /// Runs a command that the session has admitted.
    pub(super) fn command(&mut self, request: Request, ctx: &mut Context<Self>) -> Flow {
        let Request { id, command } = request;
        if let Err(refusal) = self.admit_read(&command) {
            self.refuse(id.as_ref(), refusal);
            return Flow::Continue;
        }
        match command {
            Command::Ping => {
                self.reply(id.as_ref(), &Ok(Reply::Done {}));
                Flow::Continue
            }
            Command::AuthRefresh { token } => self.authenticate(id, token, ctx),
            Command::Join { room, since, epoch } => self.join(id, room, since, epoch, ctx),
            Command::Resume { cursor } => self.resume_rooms(id, &cursor, ctx),
            Command::Leave { room } => self.leave(id, room, ctx),
            Command::Publish {
                room,
                body,
                client_id,
                thread,
                mentions,
            } => {
                let content = Content::from(NewMessage {
                    body,
                    client_id,
                    thread,
                    mentions,
                });
                self.submit(id, room, content, ctx)
            }
            Command::Change {
                room,
                message_id,
                change,
                client_id,
            } => {
                let content = Content::Change {
                    message_id,
                    change,
                    client_id: client_id.map(Into::into),
                };
                self.submit(id, room, content, ctx)
            }
            Command::Emit {
                room,
                name,
                data,
                volatile: false,
                client_id,
            } => {
                let content = Content::Custom {
                    name: name.into(),
                    data,
                    client_id: client_id.map(Into::into),
                };
                self.submit(id, room, content, ctx)
            }
            Command::Emit {
                room,
                name,
                data,
                volatile: true,
                ..
            } => self.in_room(id, room, not_joined, ctx, move |this, id, room_id, _| {
                this.emit_volatile(id.as_ref(), room_id, name, data);
                Flow::Continue
            }),
            Command::Read { room, msg_no } => self.read_up_to(id, room, msg_no, ctx),
            Command::Typing { room, typing } => {
                self.in_room(id, room, not_joined, ctx, move |this, id, room_id, _| {
                    let ephemeral = |user_id| Ephemeral::Typing {
                        room_id,
                        user_id,
                        typing,
                    };
                    let except = Some(this.attachment.key);
                    this.broadcast(id.as_ref(), room_id, ephemeral, except);
                    Flow::Continue
                })
            }
            Command::Presence { room } => self.presence(id, room, ctx),
            Command::History { room, page } => {
                let Some(user_id) = self.attachment.user_id() else {
                    return Flow::Continue;
                };
                let hub = self.worker.hub.clone();
                let answer =
                    async move { hub.history(&room, user_id, page).await.map(Reply::History) };
                self.wait_for(id, Box::pin(answer), ctx)
            }
        }
    }

    fn leave(&mut self, id: Option<RequestId>, room: RoomRef, ctx: &mut Context<Self>) -> Flow {
        self.in_room(id, room, not_joined, ctx, |this, id, room_id, _| {
            let result = if this.worker.unsubscribe(&this.attachment, room_id) {
                let table = this.worker.table.borrow();
                Ok(Reply::Left {
                    room: room_id,
                    cursor: table.cursor(&this.attachment, None).ok(),
                })
            } else {
                Err(not_joined())
            };
            this.reply(id.as_ref(), &result);
            if result.is_ok() {
                let table = this.worker.table.borrow();
                this.attachment.push_cursor(&table, None);
            }
            Flow::Continue
        })
    }

    fn presence(&mut self, id: Option<RequestId>, room: RoomRef, ctx: &mut Context<Self>) -> Flow {
        self.in_room(id, room, not_joined, ctx, |this, id, room_id, ctx| {
            if !this.attachment.is_in(room_id) {
                this.refuse(id.as_ref(), not_joined());
                return Flow::Continue;
            }
            let hub = this.worker.hub.clone();
            let answer = async move { hub.presence(room_id).await.map(Reply::Presence) };
            this.wait_for(id, Box::pin(answer), ctx)
        })
    }

    /// Counts what is looked up.
    fn admit_read(&self, command: &Command) -> Result<(), Refusal> {
        let is_read = matches!(
            command,
            Command::Join { .. }
                | Command::History { .. }
                | Command::Read { .. }
                | Command::Presence { .. }
        );
        if is_read { self.take_read() } else { Ok(()) }
    }

    /// Counts a room's name that is not known here: it costs a query, whether there is such a room
    /// or not, and whatever the command.
    fn admit_lookup(&self) -> Result<(), Refusal> {
        self.take_read()
    }

    fn take_read(&self) -> Result<(), Refusal> {
        match self.attachment.user_id() {
            Some(user) => {
                let gate = self.worker.hub.gate();
                gate.admit(user, self.address, Demand::Read)
            }
            None => Ok(()),
        }
    }

    /// Goes on with the room's id: at once if it is known, else when it has been looked up. If
    /// there is no such room, the refusal is what `absent` makes: the same that a room would get
    /// that the user may not know of.
    pub(super) fn in_room(
        &mut self,
        id: Option<RequestId>,
        room: RoomRef,
        absent: fn() -> Refusal,
        ctx: &mut Context<Self>,
        run: impl FnOnce(&mut Self, Option<RequestId>, RoomId, &mut Context<Self>) -> Flow + 'static,
    ) -> Flow {
        if let Some(room_id) = self.worker.hub.known_room(&room) {
            return run(self, id, room_id, ctx);
        }
        if let Err(refusal) = self.admit_lookup() {
            self.refuse(id.as_ref(), refusal);
            return Flow::Continue;
        }
        let hub = self.worker.hub.clone();
        let patience = self.patience();
        let looking_up = async move {
            tokio::time::timeout(patience, hub.resolve(&room))
                .await
                .unwrap_or_else(|_| Err(timed_out()))
        };
        ctx.wait(looking_up.into_actor(self).map(move |found, this, ctx| {
            let flow = match found {
                // The room is found for nobody.
                _ if this.attachment.outbox.is_over() => Flow::Continue,
                Ok(room_id) => run(this, id, room_id, ctx),
                Err(refusal) => {
                    let is_absent = refusal.code == ErrorCode::RoomNotFound;
                    let refusal = if is_absent { absent() } else { refusal };
                    this.refuse(id.as_ref(), refusal);
                    Flow::Continue
                }
            };
            if flow == Flow::Continue {
                this.resume(ctx);
            }
        }));
        Flow::Wait
    }

    /// Answers later; commands that have come meanwhile wait.
    pub(super) fn wait_for(
        &mut self,
        id: Option<RequestId>,
        answer: LocalBoxFuture<'static, Result<Reply, Refusal>>,
        ctx: &mut Context<Self>,
    ) -> Flow {
        let answer = tokio::time::timeout(self.patience(), answer);
        ctx.wait(answer.into_actor(self).map(move |result, this, ctx| {
            let result = result.unwrap_or_else(|_| Err(timed_out()));
            this.reply(id.as_ref(), &result);
            this.resume(ctx);
        }));
        Flow::Wait
    }

    /// How long a command may wait for its answer.
    pub(super) fn patience(&self) -> Duration {
        Duration::from_millis(self.worker.hub.settings().websocket.command_timeout_ms)
    }

    fn authenticate(
        &mut self,
        id: Option<RequestId>,
        token: String,
        ctx: &mut Context<Self>,
    ) -> Flow {
        let hub = self.worker.hub.clone();
        let (patience, address) = (self.patience(), self.address);
        let asking = async move {
            tokio::time::timeout(patience, hub.gate().authenticate(token, address))
                .await
                .unwrap_or_else(|_| Err(timed_out()))
        };
        ctx.wait(asking.into_actor(self).map(move |found, this, ctx| {
            let result = found.and_then(|identity| {
                this.known_as(identity)?;
                if this.worker.hub.has_ended(identity.session_id) {
                    let reason = Disconnect::SessionEnded;
                    this.worker.close(&this.attachment, reason);
                }
                Ok(Reply::Authenticated {
                    user_id: identity.user_id,
                    expires_at: identity.expires_at,
                })
            });
            this.reply(id.as_ref(), &result);
            this.resume(ctx);
        }));
        Flow::Wait
    }

    /// From now on it is known who the client is.
    pub(super) fn known_as(&self, identity: Identity) -> Result<(), Refusal> {
        let attachment = &self.attachment;
        // Rooms were joined as somebody: that one stays, or the connection is made anew.
        if attachment
            .user_id()
            .is_some_and(|was| was != identity.user_id)
        {
            return Err(Refusal::new(
                ErrorCode::Forbidden,
                "this connection belongs to another user; open a new one",
            ));
        }
        let was = attachment.identity.replace(Some(identity));
        if was.is_none() {
            self.worker.hub.online().arrive(identity.user_id);
        }
        let mut life = attachment.life.get();
        life.is_authenticated = true;
        life.commanded = self.worker.now();
        attachment.life.set(life);
        let look_at = self.worker.look_before(identity.expires_at);
        attachment.check_session_at(look_at);
        Ok(())
    }

    fn emit_volatile(&self, id: Option<&RequestId>, room_id: RoomId, name: String, data: Data) {
        let ephemeral = |user_id| Ephemeral::Custom {
            room_id,
            user_id,
            name: name.into(),
            data,
        };
        self.broadcast(id, room_id, ephemeral, None);
    }

    /// Sends something ephemeral to a room that the connection is in.
    fn broadcast(
        &self,
        id: Option<&RequestId>,
        room_id: RoomId,
        ephemeral: impl FnOnce(UserId) -> Ephemeral,
        except: Option<crate::hub::fanout::ConnectionKey>,
    ) {
        let Some(user_id) = self.attachment.user_id() else {
            return;
        };
        let gate = self.worker.hub.gate();
        if let Err(refusal) = gate.admit(user_id, self.address, Demand::Publish) {
            return self.refuse(id, refusal);
        }
        let room = if self.attachment.is_in(room_id) {
            self.worker.table.borrow().room(room_id).cloned()
        } else {
            None
        };
        if room.is_some() && self.worker.table.borrow().is_muted(room_id, user_id) {
            return self.refuse(id, muted());
        }
        let result = match room {
            Some(room) => {
                let except = except.map(|connection| (self.worker.fanout.id(), connection));
                self.worker.hub.broadcast(&room, ephemeral(user_id), except);
                Ok(Reply::Done {})
            }
            None => Err(not_joined()),
        };
        self.reply(id, &result);
    }
}

fn muted() -> Refusal {
    Refusal::new(ErrorCode::Muted, "you are muted in this room")
}

pub(super) fn not_joined() -> Refusal {
    Refusal::new(
        ErrorCode::NotJoined,
        "this connection has not joined the room",
    )
}

pub(crate) fn timed_out() -> Refusal {
    Refusal::new(
        ErrorCode::Unavailable,
        "no answer within the time-out; try again",
    )
}
