//! Which servers there are links to: one, or the masters of a cluster, which change.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::channel::Channels;
use super::link::{Link, Running};
use super::routes::Routes;
use super::shared::Shared;
use crate::protocol::id::RoomId;
use crate::redis::endpoint::Endpoint;
use crate::redis::error::LinkError;
use crate::redis::masters;
use crate::redis::topology::{Place, Topology};

/// Keeps the links for as long as the bus lives.
pub(super) async fn run(shared: Arc<Shared>, endpoints: Vec<Endpoint>) {
    if shared.is_cluster() {
        return Cluster {
            shared,
            seeds: endpoints,
            running: HashMap::new(),
        }
        .run()
        .await;
    }
    let probe = shared.channels.probe(|_| true);
    let links: Vec<Running> = endpoints
        .into_iter()
        .take(1)
        .map(|endpoint| Link::start(&shared, endpoint, probe.clone()))
        .collect();
    if let Some(running) = links.first() {
        install(&shared, Routes::single(Arc::clone(&running.link)));
    }
    std::future::pending::<()>().await;
}

/// Has everybody take these routes, and gives the links the rooms that are theirs now.
fn install(shared: &Shared, routes: Routes) {
    let wanted = shared.wanted.lock();
    let mut shares: HashMap<&Place, HashSet<RoomId>> = HashMap::new();
    for room in wanted.iter() {
        if let Some(link) = routes.link_of(&shared.channels, *room) {
            shares
                .entry(link.endpoint.place())
                .or_default()
                .insert(*room);
        }
    }
    for link in routes.links() {
        let share = shares.remove(link.endpoint.place());
        link.replace(share.unwrap_or_default());
    }
    *shared.routes.write() = Arc::new(routes);
    drop(wanted);
    shared.refresh();
}

/// The links to a cluster.
struct Cluster {
    shared: Arc<Shared>,
    seeds: Vec<Endpoint>,
    running: HashMap<Place, Running>,
}

impl Cluster {
    async fn run(mut self) {
        let mut known = Topology::default();
        loop {
            if let Some(topology) = self.ask().await {
                if !topology.is_complete() {
                    let place = self.seeds[0].place();
                    self.shared.failed(place, &LinkError::Incomplete);
                }
                if topology != known {
                    self.apply(&topology);
                    known = topology;
                }
            }
            let is_well = self.shared.routes().is_up();
            let interval = self.shared.patience.topology;
            masters::pause(is_well, interval, &self.shared.doubt).await;
        }
    }

    /// Who the masters are, by the first that knows: those with a link that works, then the
    /// others, then those of the settings.
    async fn ask(&self) -> Option<Topology> {
        let links = || self.running.values().map(|running| &running.link);
        let up = links().filter(|link| link.is_up());
        let down = links().filter(|link| !link.is_up());
        let known: Vec<Endpoint> = up
            .chain(down)
            .map(|link| link.endpoint.clone())
            .chain(self.seeds.iter().cloned())
            .collect();
        let failed = |place: &Place, error: &LinkError| self.shared.failed(place, error);
        masters::ask(&self.shared.patience, known, failed).await
    }

    /// Has a link to each master, and to nobody else.
    fn apply(&mut self, topology: &Topology) {
        let masters = topology.masters();
        for place in &masters {
            let probe = probe(&self.shared.channels, topology, place);
            if let Some(running) = self.running.get(*place) {
                *running.link.probe.lock() = probe;
                continue;
            }
            match self.seeds[0].at(place) {
                Ok(endpoint) => {
                    let running = Link::start(&self.shared, endpoint, probe);
                    self.running.insert((*place).clone(), running);
                }
                Err(error) => self.shared.failed(place, &error),
            }
        }
        let links = self.running.iter();
        let links = links.filter(|(place, _)| masters.contains(place));
        let links = links
            .map(|(_, running)| Arc::clone(&running.link))
            .collect();
        install(&self.shared, Routes::cluster(topology.clone(), links));
        // Nobody goes by them any more.
        self.running.retain(|place, _| masters.contains(&place));
    }
}

/// A channel in one of a master's slots.
fn probe(channels: &Channels, topology: &Topology, place: &Place) -> String {
    channels.probe(|slot| topology.owner(slot) == Some(place))
}
