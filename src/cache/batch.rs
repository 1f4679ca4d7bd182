//! Several rooms at once: those that there is no copy of are read by one query.
//!
//! Each of them is a load like any other, which others may wait for and which is kept by the same rules.
//! The query must not begin before all these loads have: what is told between would not be noticed. So
//! they wait until the batch is closed.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::{join, try_join_all};
use parking_lot::Mutex;
use tokio::sync::{OnceCell, watch};

use super::copy::Loaded;
use super::key::Key;
use super::least::Least;
use super::reads::{load_room, loaded_room};
use super::{Answer, Cache, CacheError};
use crate::protocol::id::RoomId;
use crate::store::Store;
use crate::store::rooms::{self, Room};

/// Loads that are one query.
struct Batch {
    store: Store,
    /// The rooms of those that have begun; none when no more are taken in.
    begun: Mutex<Option<Vec<RoomId>>>,
    all: watch::Sender<Option<Arc<[RoomId]>>>,
    found: OnceCell<Result<HashMap<RoomId, Room>, CacheError>>,
}

impl Cache {
    /// Rooms as everybody sees them, in this order; none where there is no such room.
    pub async fn rooms(
        &self,
        store: &Store,
        ids: &[RoomId],
        least: &Least,
    ) -> Result<Vec<Option<Answer>>, CacheError> {
        let batch = Arc::new(Batch::new(store.clone()));
        let answers = ids.iter().map(|&room| {
            let load = {
                let batch = Arc::clone(&batch);
                move || Arc::clone(&batch).load(room)
            };
            self.get(Key::Room(room), least, load)
        });
        // When all who ask have been polled once, their loads have begun, or they need none.
        let close = async { batch.close() };
        let (answers, ()) = join(try_join_all(answers), close).await;
        answers
    }
}

impl Batch {
    fn new(store: Store) -> Self {
        Self {
            store,
            begun: Mutex::new(Some(Vec::new())),
            all: watch::Sender::new(None),
            found: OnceCell::new(),
        }
    }

    /// The load of one room, which begins now.
    fn load(
        self: Arc<Self>,
        room: RoomId,
    ) -> impl Future<Output = Result<Option<Loaded>, CacheError>> + Send + 'static {
        let is_in = match &mut *self.begun.lock() {
            Some(begun) => {
                begun.push(room);
                true
            }
            None => false,
        };
        async move {
            if is_in {
                self.read(room).await
            } else {
                // What the others have read was not new enough.
                load_room(self.store.clone(), room).await
            }
        }
    }

    /// No more are taken in: the query may begin.
    fn close(&self) {
        let begun = self.begun.lock().take();
        self.all.send_replace(begun.map(Into::into));
    }

    async fn read(&self, room: RoomId) -> Result<Option<Loaded>, CacheError> {
        let mut all = self.all.subscribe();
        let Ok(all) = all.wait_for(Option::is_some).await.map(|it| it.clone()) else {
            return Err(CacheError::Failed);
        };
        let rooms = all.unwrap_or_default();
        let found = self.found.get_or_init(|| self.read_all(&rooms)).await;
        let found = found.as_ref().map_err(Clone::clone)?;
        Ok(found.get(&room).cloned().map(loaded_room))
    }

    async fn read_all(&self, rooms: &[RoomId]) -> Result<HashMap<RoomId, Room>, CacheError> {
        let found = rooms::shared(&self.store, rooms).await?;
        Ok(found.into_iter().map(|room| (room.id, room)).collect())
    }
}
