//! The short way of what is worth no row: it is written by the thread that says it, and given to the
//! rooms' threads by the bus's own. For events the change to a lane's thread spares others work; here
//! it would cost more than all that there is to do.

use super::publish;
use crate::bus::envelope::{Envelope, Origin, Payload, PayloadError};
use crate::bus::{Bus, ENVELOPES, Express, IN, presence};
use crate::fault;
use crate::hub::encoded::{Ephemeral, SharedPush};
use crate::hub::registry::Registry;
use crate::protocol::id::RoomId;

/// Tells other nodes something ephemeral. What rooms are told of presence each node tells its own.
pub(super) fn tell(bus: &dyn Bus, origin: &Origin, push: &Ephemeral) {
    let room_id = push.room_id();
    if !bus.has_listeners(room_id) {
        return;
    }
    let payload = match push {
        Ephemeral::Typing {
            user_id, typing, ..
        } => Payload::Typing {
            user_id: *user_id,
            typing: *typing,
        },
        Ephemeral::Custom {
            user_id,
            name,
            data,
            ..
        } => Payload::Custom {
            user_id: *user_id,
            name: name.clone(),
            data: data.clone(),
        },
        Ephemeral::Read {
            user_id, msg_no, ..
        } => Payload::Read {
            user_id: *user_id,
            msg_no: *msg_no,
        },
        Ephemeral::Presence { .. } => return,
    };
    fault::point!("hub.bridge.lose", ());
    publish(bus, origin, room_id, payload.encode());
}

/// What a room here is told of this; none if it is nothing ephemeral.
pub(super) fn push_of(room_id: RoomId, payload: Payload) -> Option<Ephemeral> {
    Some(match payload {
        Payload::Typing { user_id, typing } => Ephemeral::Typing {
            room_id,
            user_id,
            typing,
        },
        Payload::Read { user_id, msg_no } => Ephemeral::Read {
            room_id,
            user_id,
            msg_no,
        },
        Payload::Custom {
            user_id,
            name,
            data,
        } => Ephemeral::Custom {
            room_id,
            user_id,
            name,
            data,
        },
        Payload::Events(_)
        | Payload::PresenceDiff { .. }
        | Payload::PresenceDigest(_)
        | Payload::Touched { .. } => return None,
    })
}

/// The way in.
#[derive(Debug)]
pub(super) struct ShortWay {
    pub(super) registry: Registry,
}

impl ShortWay {
    fn tell_room(&self, envelope: &Envelope) -> Result<(), PayloadError> {
        let room_id = envelope.room_id;
        if let Some(room) = self.registry.find(room_id)
            && let Some(push) = push_of(room_id, Payload::decode(room_id, &envelope.payload)?)
        {
            room.broadcast(SharedPush::new(push), None);
        }
        Ok(())
    }
}

impl Express for ShortWay {
    fn take(&self, envelope: &Envelope) -> bool {
        // On a channel that is no room's it is out of place, which is found out where that is heard.
        let channel = envelope.room_id;
        let is_of_room =
            presence::shard_of(channel).is_none() && channel != presence::touched_channel();
        if !is_of_room || !Payload::is_ephemeral(&envelope.payload) {
            return false;
        }
        fault::point!("hub.bridge.deaf", true);
        let times = if fault::asked!("hub.bridge.double") {
            2
        } else {
            1
        };
        for _ in 0..times {
            IN.inc();
            if let Err(error) = self.tell_room(envelope) {
                ENVELOPES.with_label_values(&["bad"]).inc();
                tracing::debug!(%error, room = %envelope.room_id, node = %envelope.origin.node, "an envelope cannot be read");
            }
        }
        true
    }
}
