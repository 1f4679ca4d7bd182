//! Whose address a request comes from when proxies stand between.
//!
//! Every proxy appends the address that it saw to `X-Forwarded-For`, so the list is trustworthy
//! from the right, as far as the proxies are ours. What lies to the left of the first address
//! that is not ours was written by the client and is never looked at.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// The address of the client: that of the peer, unless it is a trusted proxy; then the last one
/// in `forwarded_for` (the values of all such headers, in order) that is none.
pub fn client_address<'a>(
    peer: IpAddr,
    forwarded_for: impl DoubleEndedIterator<Item = &'a str>,
    trusted: &[IpNet],
) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let mut client = peer.to_canonical();
    let hops = forwarded_for.flat_map(|value| value.split(',')).rev();
    for hop in hops {
        if !is_trusted(client) {
            break;
        }
        // What a trusted proxy passes on without understanding it is still the proxy's doing.
        let Some(address) = parse(hop) else { break };
        client = address;
    }
    client
}

/// Some proxies write the port too.
fn parse(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let bare = hop.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>()
        .or_else(|_| hop.parse::<SocketAddr>().map(|address| address.ip()))
        .ok()
        .map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(peer: &str, headers: &[&str]) -> String {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        client_address(peer.parse().unwrap(), headers.iter().copied(), &trusted).to_string()
    }

    #[test]
    fn a_stranger_cannot_choose_an_address() {
        assert_eq!(find("192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
    }

    #[test]
    fn a_trusted_proxy_is_believed_from_the_right() {
        assert_eq!(find("10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(find("10.0.0.1", &["1.1.1.1, 203.0.113.9"]), "203.0.113.9");
        assert_eq!(
            find("10.0.0.1", &["1.1.1.1, 203.0.113.9, 10.2.2.2"]),
            "203.0.113.9"
        );
        assert_eq!(
            find("10.0.0.1", &["1.1.1.1", "203.0.113.9,10.2.2.2"]),
            "203.0.113.9"
        );
    }

    #[test]
    fn ports_and_brackets_are_understood() {
        assert_eq!(find("10.0.0.1", &["203.0.113.9:4711"]), "203.0.113.9");
        assert_eq!(find("fd00::1", &["[2001:db8::7]:80"]), "2001:db8::7");
        assert_eq!(find("fd00::1", &["[2001:db8::7]"]), "2001:db8::7");
        assert_eq!(find("::ffff:10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
    }

    #[test]
    fn nonsense_leaves_the_last_address_that_is_known() {
        assert_eq!(find("10.0.0.1", &["203.0.113.9, nonsense"]), "10.0.0.1");
        assert_eq!(find("10.0.0.1", &[""]), "10.0.0.1");
        assert_eq!(find("10.0.0.1", &[]), "10.0.0.1");
    }
}
