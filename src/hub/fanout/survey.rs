//! What a thread tells of its connections, and ending some of them by order.

use std::cmp::Reverse;
use std::rc::Rc;

use tokio::sync::mpsc;

use super::{ConnectionKey, Worker, drain};
use crate::hub::fanout::table::Attachment;
use crate::protocol::close::Disconnect;
use crate::protocol::connection::{
    ConnectionId, ConnectionList, ConnectionQuery, ConnectionState, Transport,
};
use crate::protocol::id::UserId;
use crate::protocol::origin::Origin;
use crate::stall::{Activity, doing};

/// A question to every thread of the node. Its end without an answer of each tells that one could
/// not take it.
#[derive(Debug, Clone)]
pub(crate) struct Survey {
    pub(crate) query: ConnectionQuery,
    /// The node, for the connections' ids.
    pub(crate) origin: Origin,
    /// Has room for each thread's answer.
    pub(crate) answer: mpsc::Sender<ConnectionList>,
}

/// Which of a thread's connections are to end, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Dismissed {
    /// Whose.
    pub(crate) user_id: Option<UserId>,
    /// Only this one.
    pub(crate) connection: Option<ConnectionKey>,
    /// They are told to come back.
    pub(crate) is_move: bool,
}

impl Worker {
    /// Answers a survey.
    pub(super) fn tell(&self, survey: &Survey) {
        let _doing = doing(Activity::Survey);
        let query = survey.query;
        let table = self.table.borrow();
        let is_meant = |it: &&Rc<Attachment>| match query.user_id {
            Some(user) => it.user_id() == Some(user),
            None => true,
        };
        let mut meant: Vec<_> = table.all().filter(is_meant).collect();
        let total = meant.len() as u64;
        let limit = query.limit as usize;
        if meant.len() > limit && limit > 0 {
            // Only those that are told are put in order.
            meant.select_nth_unstable_by_key(limit - 1, |it| Reverse(it.life.get().opened));
        }
        meant.truncate(limit);
        let connections = meant.into_iter();
        let connections = connections.map(|it| self.state(it, &survey.origin));
        let list = ConnectionList {
            total,
            connections: connections.collect(),
        };
        // Who asked may have given up.
        survey.answer.try_send(list).ok();
    }

    fn state(&self, attachment: &Attachment, origin: &Origin) -> ConnectionState {
        let opened = attachment.life.get().opened;
        ConnectionState {
            id: ConnectionId {
                origin: origin.clone(),
                place: attachment.key.place(self.fanout.id()),
            },
            user_id: attachment.user_id(),
            session_id: attachment.session_id(),
            transport: match (&attachment.stream, attachment.outbox.has_socket()) {
                (Some(_), _) => Transport::Sse,
                (None, true) => Transport::WebSocket,
                (None, false) => Transport::Polling,
            },
            address: attachment.address,
            open_s: self.now().saturating_sub(opened).into(),
            rooms: attachment.room_ids(),
        }
    }

    /// Ends connections by order: at once, or, if they are told to come back, when what they have
    /// published is answered.
    pub(super) fn dismiss(self: &Rc<Self>, dismissed: Dismissed) {
        let connections: Vec<_> = {
            let table = self.table.borrow();
            let is_meant = |it: &Rc<Attachment>| match dismissed.user_id {
                Some(user) => it.user_id() == Some(user),
                None => true,
            };
            match dismissed.connection {
                Some(key) => table.get(key).into_iter().filter(is_meant).collect(),
                None => table.all().filter(|it| is_meant(it)).cloned().collect(),
            }
        };
        if dismissed.is_move {
            return drain::tell_to_move(self, &connections, 0);
        }
        for attachment in connections {
            self.close(&attachment, Disconnect::Dismissed);
        }
    }
}
