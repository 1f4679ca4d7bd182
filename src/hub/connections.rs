//! The node's connections as others ask for them: who is connected, and ending some.

use std::time::Duration;

use tokio::sync::mpsc;

use super::HubHandle;
use super::fanout::{ConnectionKey, Dismissed, FanoutMessage, Survey};
use crate::protocol::connection::{ConnectionList, ConnectionQuery, ConnectionState};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::store::control_log::Dismissal;

/// Worker threads answer between two passes over what they have to write; one that takes longer
/// has worse troubles.
const SURVEY: Duration = Duration::from_secs(1);

/// Threads that get their first connection while the others are asked.
const LATECOMERS: usize = 16;

/// As many connections of a node are listed at most.
pub const LISTED_MAX: u32 = 500;

/// As many rooms they are listed in at most, all together: what is told of a room takes 39 bytes, so
/// that the least `peers.max_answer_bytes` has room for all of it.
const LISTED_ROOMS_MAX: usize = 100_000;

impl HubHandle {
    /// The connections of this node that are asked for, the newest first, at most [`LISTED_MAX`], and
    /// fewer if they are in more than 100,000 rooms.
    /// Each worker thread walks all its connections for it. Refused if one of them does not answer
    /// in time: what it has would be missing.
    pub async fn list_connections(
        &self,
        query: &ConnectionQuery,
    ) -> Result<ConnectionList, Refusal> {
        let query = ConnectionQuery {
            limit: query.limit.min(LISTED_MAX),
            ..*query
        };
        let workers = self.shared.workers.ids().len();
        let (answer, mut answers) = mpsc::channel(workers + LATECOMERS);
        let survey = Survey {
            query,
            origin: self.shared.origin.clone(),
            answer,
        };
        self.shared
            .workers
            .send(|| FanoutMessage::Survey(survey.clone()));
        // The last one that is dropped ends the answers.
        drop(survey);
        let mut list = ConnectionList::default();
        let mut heard = 0;
        let gathering = async {
            while let Some(part) = answers.recv().await {
                heard += 1;
                list.total += part.total;
                list.connections.extend(part.connections);
            }
        };
        let in_time = tokio::time::timeout(SURVEY, gathering).await;
        if in_time.is_err() || heard < workers {
            return Err(Refusal::new(
                ErrorCode::Overloaded,
                "a worker thread of this node is too busy to say who is connected",
            ));
        }
        list.connections.sort_by_key(|it| it.open_s);
        list.connections.truncate(query.limit as usize);
        cut(&mut list);
        Ok(list)
    }

    /// Ends those connections of this node that are meant.
    pub fn dismiss(&self, dismissal: &Dismissal) {
        let dismissed = |connection| Dismissed {
            user_id: dismissal.user_id,
            connection,
            is_move: dismissal.is_move,
        };
        let workers = &self.shared.workers;
        match &dismissal.connection {
            None if dismissal.user_id.is_some() => {
                workers.send(|| FanoutMessage::Dismiss(dismissed(None)));
            }
            Some(id) if id.origin == self.shared.origin => {
                let key = ConnectionKey::from_place(id.place);
                let message = || FanoutMessage::Dismiss(dismissed(Some(key)));
                workers.send_to(id.place.thread as usize, message);
            }
            // Nobody's, another node's, or of an earlier life.
            _ => {}
        }
    }
}

/// Leaves out the oldest that are in too many rooms; they are counted all the same. Of one that is in
/// too many by itself the first rooms are told.
fn cut(list: &mut ConnectionList) {
    let mut rooms = 0;
    let mut fits = |it: &ConnectionState| {
        rooms += it.rooms.len();
        rooms <= LISTED_ROOMS_MAX
    };
    let count = list.connections.iter().take_while(|it| fits(it)).count();
    list.connections.truncate(count.max(1));
    if let Some(first) = list.connections.first_mut() {
        first.rooms.truncate(LISTED_ROOMS_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::connection::{ConnectionId, Place, Transport};
    use crate::protocol::id::{RoomId, SessionId, UserId};
    use crate::protocol::origin::Origin;

    /// The least that `peers.max_answer_bytes` may be.
    const ANSWER_BYTES: usize = 5_000_000;

    fn list(connections: usize, rooms: usize) -> ConnectionList {
        let room = RoomId::generate();
        let connection = |number: usize| ConnectionState {
            id: ConnectionId {
                origin: Origin {
                    node: "n".repeat(64).into(),
                    incarnation: u64::MAX,
                },
                place: Place {
                    thread: u32::MAX,
                    index: u32::MAX,
                    generation: u32::MAX,
                },
            },
            user_id: Some(UserId::generate()),
            session_id: Some(SessionId::generate()),
            transport: Transport::WebSocket,
            address: std::net::Ipv6Addr::LOCALHOST.into(),
            open_s: number as u64,
            rooms: vec![room; rooms],
        };
        ConnectionList {
            total: connections as u64,
            connections: (0..connections).map(connection).collect(),
        }
    }

    #[test]
    fn what_is_listed_fits_into_an_answer_and_all_are_counted() {
        for (connections, rooms, listed) in [
            (0, 0, 0),
            (500, 100, 500),
            (500, 1000, 100),
            (3, 100_000, 1),
            (2, 200_000, 1),
        ] {
            let mut list = list(connections, rooms);
            cut(&mut list);
            assert_eq!(list.connections.len(), listed, "{connections} in {rooms}");
            assert_eq!(list.total, connections as u64);
            let newest = list.connections.iter().map(|it| it.open_s);
            assert!(newest.eq(0..listed as u64));
            let answer = serde_json::to_vec(&list).unwrap();
            assert!(answer.len() < ANSWER_BYTES, "{} bytes", answer.len());
        }
    }
}
