//! Which link a room's events go by.

use std::sync::Arc;

use super::channel::Channels;
use super::link::Link;
use crate::protocol::id::RoomId;
use crate::redis::topology::Topology;

/// The links, and who has which rooms.
#[derive(Debug, Default)]
pub(super) struct Routes {
    links: Vec<Arc<Link>>,
    /// None: one server has all.
    cluster: Option<Topology>,
}

impl Routes {
    /// All by one server.
    pub(super) fn single(link: Arc<Link>) -> Self {
        Self {
            links: vec![link],
            cluster: None,
        }
    }

    /// By slots; a link for each master.
    pub(super) fn cluster(topology: Topology, links: Vec<Arc<Link>>) -> Self {
        Self {
            links,
            cluster: Some(topology),
        }
    }

    pub(super) fn links(&self) -> &[Arc<Link>] {
        &self.links
    }

    /// A room's link; none if its slot has no master.
    pub(super) fn link_of(&self, channels: &Channels, room: RoomId) -> Option<&Arc<Link>> {
        let Some(topology) = &self.cluster else {
            return self.links.first();
        };
        let place = topology.owner(channels.slot_of(room))?;
        self.links
            .iter()
            .find(|link| link.endpoint.place() == place)
    }

    /// Whether everything that is published anywhere comes here.
    pub(super) fn is_up(&self) -> bool {
        let is_complete = self.cluster.as_ref().is_none_or(Topology::is_complete);
        is_complete && !self.links.is_empty() && self.links.iter().all(|link| link.is_up())
    }
}
