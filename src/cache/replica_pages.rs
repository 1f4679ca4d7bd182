//! Pages of messages by read replicas.
//!
//! A replica is behind, by milliseconds or by hours. Its page says by its version what it was built from,
//! read in the same snapshot, and is judged as one of another node is ([`super::shared`]): it must reach
//! all that this node has read and been told of the room, and what the client has seen; and there must be
//! somebody who tells. Else the same load reads the primary. So a replica's page is never older than one
//! that this node could have had a copy of.

use super::Cache;
use super::copy::Loaded;
use super::key::{Key, MessagesKey};
use super::metrics::REPLICA_PAGES;
use super::reads::{load_page, version_reaches};
use crate::protocol::command::PageRequest;
use crate::protocol::cursor::Position;
use crate::store::replicas::NoAnswer;

impl Cache {
    /// A page as a replica has it, if that is as new as what this node knows and the client has seen.
    pub(super) async fn replica_page(
        &self,
        key: &MessagesKey,
        seen: Option<Position>,
    ) -> Option<Loaded> {
        let request = key
            .page_request()
            .filter(|_| self.inner.replicas.are_there())?;
        let asked = self.ask_replica(key, request, seen).await;
        let result = asked.as_ref().map_or_else(|why| *why, |_| "answered");
        REPLICA_PAGES.with_label_values(&[result]).inc();
        asked.ok()
    }

    async fn ask_replica(
        &self,
        key: &MessagesKey,
        request: PageRequest,
        seen: Option<Position>,
    ) -> Result<Loaded, &'static str> {
        let inner = &self.inner;
        if !inner.is_sound() || !inner.ledger.read().has_base(key.room) {
            return Err("not_asked");
        }
        let read = inner.replicas.page(key.room, key.floor, request).await;
        let page = read.map_err(|why| match why {
            NoAnswer::NotAsked => "not_asked",
            NoAnswer::Failed => "unreachable",
        })?;
        // A room that it does not know yet is there all the same.
        let page = page.ok_or("behind")?;
        let mut loaded = load_page(key, &page).map_err(|_| "unreachable")?;
        let of_key = Key::Messages(*key).tags();
        let tags = loaded.tags.as_ref().unwrap_or(&of_key);
        let is_good = version_reaches(loaded.version, seen)
            && inner.ledger.read().takes(key.room, tags, loaded.version)
            && inner.is_sound();
        if !is_good {
            return Err("behind");
        }
        loaded.is_shared = true;
        Ok(loaded)
    }
}
