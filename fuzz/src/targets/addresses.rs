//! `X-Forwarded-For`: a stranger is never believed, and nobody's address is made up.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use crate::auth::client_address::client_address;

pub(super) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let proxy = IpAddr::from(Ipv4Addr::new(10, 0, 0, 1));
    let stranger = IpAddr::from(Ipv4Addr::new(192, 0, 2, 1));
    let trusted = [IpNet::from(proxy)];
    let headers = || text.split('\n');
    assert_eq!(client_address(stranger, headers(), &trusted), stranger);
    let found = client_address(proxy, headers(), &trusted);
    assert_eq!(found, found.to_canonical());
    assert!(found == proxy || !text.is_empty());
}
