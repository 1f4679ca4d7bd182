//! The node's connections as others ask for them: who is connected, and ending some.

use std::time::Duration;

use tokio::sync::mpsc;

use super::HubHandle;
use super::fanout::{ConnectionKey, Dismissed, FanoutMessage, Survey};
use crate::protocol::connection::{ConnectionList, ConnectionQuery};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::store::control_log::Dismissal;

/// Worker threads answer between two passes over what they have to write; one that takes longer
/// has worse troubles.
const SURVEY: Duration = Duration::from_secs(1);

/// Threads that get their first connection while the others are asked.
const LATECOMERS: usize = 16;

/// As many connections of a node are listed at most.
pub const LISTED_MAX: u32 = 500;

impl HubHandle {
    /// The connections of this node that are asked for, the newest first, at most [`LISTED_MAX`].
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
