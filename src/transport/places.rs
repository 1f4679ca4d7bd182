//! How many connections there may be: of all kinds, of one address, and as sockets and event
//! streams.
//!
//! A place is taken before any work is done for who wants it, and given back when its guard is
//! dropped, so that no moment has more than may be.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use ipnet::IpNet;

use super::metrics::{REFUSED, TCP_CONNECTIONS};
use crate::auth::limits::network;
use crate::config;

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoPlace {
    /// `http.max_tcp_connections`.
    #[error("this node has as many connections as it takes")]
    Total,
    /// `http.max_connections_per_address`.
    #[error("this address has as many connections as one may have")]
    Address,
    /// `http.max_connections`.
    #[error("this node has as many sockets and streams as it takes")]
    Sockets,
}

impl NoPlace {
    fn reason(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Address => "address",
            Self::Sockets => "sockets",
        }
    }
}

/// The places of a node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Places(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    max_total: usize,
    max_sockets: usize,
    /// 0 is no bound.
    max_of_address: usize,
    /// Those of proxies, whose clients are counted instead, and those that are not counted.
    proxies: Vec<IpNet>,
    exempt: Vec<IpNet>,
    total: AtomicUsize,
    sockets: AtomicUsize,
    of_address: DashMap<IpAddr, usize>,
}

/// The place of a TCP connection.
#[derive(Debug)]
pub(super) struct TcpPlace {
    shared: Arc<Shared>,
    counted: Option<IpAddr>,
}

/// The place of a socket or stream, on top of that of its TCP connection.
#[derive(Debug)]
pub(super) struct Seat {
    shared: Arc<Shared>,
    counted: Option<IpAddr>,
}

impl Places {
    /// All of them free. `most` is what the operating system allows, whatever the configuration
    /// says.
    #[must_use]
    pub fn new(http: &config::Http, limits: &config::Limits, most: usize) -> Self {
        let max_total = match http.max_tcp_connections {
            0 => most,
            wanted => wanted.min(most),
        };
        let max_sockets = match http.max_connections {
            0 => max_total - (max_total / 50).max(16).min(max_total / 4),
            wanted => wanted,
        };
        Self(Arc::new(Shared {
            max_total,
            max_sockets,
            max_of_address: http.max_connections_per_address,
            proxies: http.trusted_proxies.clone(),
            exempt: limits.exempt.clone(),
            total: AtomicUsize::new(0),
            sockets: AtomicUsize::new(0),
            of_address: DashMap::new(),
        }))
    }

    /// Takes a place for a TCP connection with `peer`.
    pub(super) fn enter(&self, peer: IpAddr) -> Result<TcpPlace, NoPlace> {
        let shared = &self.0;
        take(&shared.total, shared.max_total)
            .ok_or(NoPlace::Total)
            .map_err(noted)?;
        TCP_CONNECTIONS.inc();
        // From here on its drop gives back what was taken.
        let mut place = TcpPlace {
            shared: Arc::clone(shared),
            counted: None,
        };
        if !is_in(&shared.proxies, peer.to_canonical()) {
            place.counted = shared.count(peer).map_err(noted)?;
        }
        Ok(place)
    }

    /// Takes a place for a socket or stream of the client at `address`, whose TCP connection is
    /// with `peer`, and may carry others.
    pub(super) fn sit(
        &self,
        address: IpAddr,
        peer: IpAddr,
        is_shared: bool,
    ) -> Result<Seat, NoPlace> {
        let shared = &self.0;
        take(&shared.sockets, shared.max_sockets)
            .ok_or(NoPlace::Sockets)
            .map_err(noted)?;
        let mut seat = Seat {
            shared: Arc::clone(shared),
            counted: None,
        };
        // Otherwise it is counted already, if it has a connection of its own; and a proxy that
        // names nobody is not to blame.
        let peer = peer.to_canonical();
        if address != peer || (is_shared && !is_in(&shared.proxies, peer)) {
            seat.counted = shared.count(address).map_err(noted)?;
        }
        Ok(seat)
    }
}

impl Shared {
    /// Counts one more of an address. None if it is not counted.
    fn count(&self, address: IpAddr) -> Result<Option<IpAddr>, NoPlace> {
        let address = address.to_canonical();
        if self.max_of_address == 0 || is_in(&self.exempt, address) {
            return Ok(None);
        }
        let key = network(address);
        let mut count = self.of_address.entry(key).or_default();
        if *count >= self.max_of_address {
            return Err(NoPlace::Address);
        }
        *count += 1;
        Ok(Some(key))
    }

    fn uncount(&self, key: Option<IpAddr>) {
        let Some(key) = key else { return };
        self.of_address.remove_if_mut(&key, |_, count| {
            *count -= 1;
            *count == 0
        });
    }
}

impl Drop for TcpPlace {
    fn drop(&mut self) {
        self.shared.uncount(self.counted.take());
        self.shared.total.fetch_sub(1, Ordering::Relaxed);
        TCP_CONNECTIONS.dec();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared.uncount(self.counted.take());
        self.shared.sockets.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One more, if that is not more than may be.
fn take(count: &AtomicUsize, max: usize) -> Option<()> {
    let more = |count| (count < max).then_some(count + 1);
    count
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
        .ok()
        .map(drop)
}

fn is_in(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

fn noted(refused: NoPlace) -> NoPlace {
    REFUSED.with_label_values(&[refused.reason()]).inc();
    refused
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn places(settings: &[(&str, &str)]) -> Places {
        let environment = settings
            .iter()
            .map(|(key, value)| (format!("HUBBUB__{key}"), (*value).to_owned()));
        let config = Config::from_sources(None, environment).unwrap();
        Places::new(&config.http, &config.limits, usize::MAX)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn there_are_never_more_than_may_be_and_places_come_back() {
        let places = places(&[
            ("HTTP__MAX_TCP_CONNECTIONS", "2"),
            ("HTTP__MAX_CONNECTIONS", "1"),
        ]);
        let (ann, ben) = (address("192.0.2.1"), address("192.0.2.2"));
        let first = places.enter(ann).unwrap();
        let _second = places.enter(ben).unwrap();
        assert_eq!(places.enter(ben).unwrap_err(), NoPlace::Total);
        drop(first);
        let _third = places.enter(ben).unwrap();

        let seat = places.sit(ann, ann, false).unwrap();
        assert_eq!(places.sit(ben, ben, false).unwrap_err(), NoPlace::Sockets);
        drop(seat);
        assert!(places.sit(ben, ben, false).is_ok());
    }

    #[test]
    fn without_a_bound_it_is_what_open_files_allow() {
        let config = Config::from_sources(None, std::iter::empty()).unwrap();
        for (most, sockets) in [(1, 1), (20, 15), (100, 84), (20_000, 19_600)] {
            let Places(shared) = Places::new(&config.http, &config.limits, most);
            assert_eq!((shared.max_total, shared.max_sockets), (most, sockets));
        }
    }

    #[test]
    fn an_address_is_counted_whoever_brings_it() {
        let places = places(&[
            ("HTTP__MAX_CONNECTIONS_PER_ADDRESS", "2"),
            ("HTTP__TRUSTED_PROXIES", "10.0.0.0/8"),
            ("LIMITS__EXEMPT", "203.0.113.0/24"),
        ]);
        let (ann, proxy) = (address("2001:db8::1"), address("::ffff:10.0.0.1"));
        let direct = places.enter(ann).unwrap();
        // Neighbours in its network are the same client.
        let neighbour = address("2001:db8::2");
        let _second = places.enter(neighbour).unwrap();
        assert_eq!(places.enter(ann).unwrap_err(), NoPlace::Address);

        // Its socket is what its TCP connection is counted for.
        let _own = places.sit(ann, ann, false).unwrap();
        let _by_proxy: Vec<_> = (0..10).map(|_| places.enter(proxy).unwrap()).collect();
        assert_eq!(places.sit(ann, proxy, false).unwrap_err(), NoPlace::Address);
        drop(direct);
        let by_proxy = places.sit(ann, proxy, false).unwrap();
        assert_eq!(places.enter(ann).unwrap_err(), NoPlace::Address);
        drop(by_proxy);
        assert!(places.enter(ann).is_ok());

        let exempt = address("203.0.113.7");
        let _many: Vec<_> = (0..10).map(|_| places.enter(exempt).unwrap()).collect();
        let shared = &places.0;
        assert_eq!(shared.of_address.len(), 1, "{:?}", shared.of_address);
        assert_eq!(
            shared.sockets.load(Ordering::Relaxed),
            1,
            "refused ones leave nothing"
        );
    }

    #[test]
    fn nobody_is_counted_who_has_gone() {
        let places = places(&[("HTTP__MAX_CONNECTIONS_PER_ADDRESS", "2")]);
        let all: Vec<_> = (0..100)
            .filter_map(|last| places.enter(IpAddr::from([192, 0, 2, last])).ok())
            .collect();
        assert_eq!(all.len(), 100);
        drop(all);
        assert!(places.0.of_address.is_empty());
        assert_eq!(places.0.total.load(Ordering::Relaxed), 0);
    }
}
