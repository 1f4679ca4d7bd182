//! Asking other nodes who is present by them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::state::{Pulled, Wish};
use crate::bus::presence::SHARDS;
use crate::hub::metrics::PRESENCE_PULLS;
use crate::protocol::origin::Origin;
use crate::protocol::presence::{
    PresenceChange, PresenceDigests, PresencePage, PresencePull, PresenceStands,
};

/// Nodes asked for their people at once, by all shards.
const ASKED_MAX: usize = 4;

/// A node has not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the node did not answer")]
pub struct NodeSilent;

/// What another node answers, later.
pub type Asking<'a, T> = Pin<Box<dyn Future<Output = Result<T, NodeSilent>> + 'a>>;

/// The way to other nodes' presence. The hub asks; those who know the channel between nodes find
/// the node, and wait no longer than is reasonable.
pub trait PresenceElsewhere: Send + Sync + 'static {
    /// Who is present by a node.
    fn page<'a>(&'a self, node: &'a Origin, pull: PresencePull) -> Asking<'a, PresencePage>;

    /// Where a node stands.
    fn stands<'a>(
        &'a self,
        node: &'a Origin,
        stands: PresenceStands,
    ) -> Asking<'a, PresenceDigests>;
}

/// Asks, a few nodes at a time. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Asker {
    elsewhere: Arc<dyn PresenceElsewhere>,
    turns: Arc<Semaphore>,
    people_max: usize,
}

impl Asker {
    pub(crate) fn new(elsewhere: Arc<dyn PresenceElsewhere>, people_max: usize) -> Self {
        Self {
            elsewhere,
            turns: Arc::new(Semaphore::new(ASKED_MAX)),
            people_max,
        }
    }

    /// Where a node stands with each shard.
    pub(super) async fn stands(&self, node: &Origin) -> Result<PresenceDigests, NodeSilent> {
        let stands = PresenceStands { shards: SHARDS };
        self.elsewhere.stands(node, stands).await
    }

    /// What a shard wishes to know; none if the node does not answer, or answers nonsense.
    pub(super) async fn pull(&self, shard: u8, wish: &Wish) -> Option<Pulled> {
        let _turn = self.turns.acquire().await.ok()?;
        let pulled = self.pages(shard, wish).await;
        let outcome = match &pulled {
            Ok(pulled) if pulled.is_whole => "whole",
            Ok(_) => "changes",
            Err(outcome) => outcome,
        };
        PRESENCE_PULLS.with_label_values(&[outcome]).inc();
        pulled.ok()
    }

    async fn pages(&self, shard: u8, wish: &Wish) -> Result<Pulled, &'static str> {
        let mut pull = PresencePull {
            shard,
            shards: SHARDS,
            since: wish.since,
            after: None,
        };
        let first = self.page(wish, pull).await?;
        if !first.is_whole {
            return Ok(Pulled {
                digest: first.digest,
                is_whole: false,
                changes: first.changes,
            });
        }
        // People come and go while the pages are read: in the end what has changed since the first
        // one is put on top.
        let begun = first.digest.version;
        let mut digest = first.digest;
        let mut changes: Vec<PresenceChange> = Vec::new();
        let mut people = 0;
        let mut page = first;
        let mut pages = 1;
        loop {
            people += page.changes.iter().map(|it| it.joins.len()).sum::<usize>();
            changes.append(&mut page.changes);
            // One more than is taken: the state tells that there are too many.
            let Some(after) = page.next.filter(|_| people <= self.people_max) else {
                break;
            };
            if pull.after.is_some_and(|it| it >= after) {
                return Err("nonsense");
            }
            pull = PresencePull {
                since: None,
                after: Some(after),
                ..pull
            };
            page = self.page(wish, pull).await?;
            pages += 1;
        }
        if pages > 1 {
            let pull = PresencePull {
                since: Some(begun),
                after: None,
                ..pull
            };
            let last = self.page(wish, pull).await?;
            if last.is_whole {
                // More has changed than is remembered.
                return Err("changed");
            }
            digest = last.digest;
            changes.extend(last.changes);
        }
        Ok(Pulled {
            digest,
            is_whole: true,
            changes,
        })
    }

    async fn page(&self, wish: &Wish, pull: PresencePull) -> Result<PresencePage, &'static str> {
        let page = self.elsewhere.page(&wish.origin, pull).await;
        page.map_err(|NodeSilent| "silent")
    }
}
