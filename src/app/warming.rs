//! Making copies of what will be asked for, when a node starts.

use tokio::task::JoinHandle;

use crate::api::ApiState;
use crate::cache::key::{MessagesKey, Place};
use crate::cache::least::Least;
use crate::protocol::command::HISTORY_LIMIT_DEFAULT;
use crate::store::rooms;

/// Reads the newest pages of the busiest rooms, one after the other, behind whoever asks.
pub(super) fn start(state: &ApiState) -> JoinHandle<()> {
    let (store, cache) = (state.store.clone(), state.cache.clone());
    let rooms_max = state.config.cache.warm_rooms;
    actix_rt::spawn(async move {
        if rooms_max == 0 {
            return;
        }
        let busiest = match rooms::busiest(&store, rooms_max).await {
            Ok(busiest) => busiest,
            Err(error) => {
                tracing::debug!(%error, "the busiest rooms cannot be read: no copies are made of them");
                return;
            }
        };
        let mut warmed = 0;
        for room in busiest {
            let key = MessagesKey {
                room,
                floor: 0,
                place: Place::Newest,
                limit: HISTORY_LIMIT_DEFAULT,
                thread: None,
            };
            let page = cache.messages(&store, key, &Least::none()).await;
            let room = cache.room(&store, room, &Least::none()).await;
            if page.is_err() || room.is_err() {
                // It is asked again when somebody wants it.
                break;
            }
            warmed += 1;
        }
        tracing::debug!(rooms = warmed, "copies were made of the busiest rooms");
    })
}
