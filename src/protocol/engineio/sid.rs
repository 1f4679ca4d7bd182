//! Ids of sessions: `<node>~<incarnation>~<random>`.
//!
//! They begin with the name of the node that has the session and say in which of its lives, so that
//! any node knows whom to pass a request on to, and none passes one on to a later life. What follows
//! is a secret, as an id is all that a request shows.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::request::SID_MAX_BYTES;
use crate::protocol::origin::{Origin, is_node_name};

/// Random bytes in an id: 144 bits, which base64 writes without a rest.
pub const RANDOM_BYTES: usize = 18;

/// Digits of an incarnation.
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// An id of a session of this node in this life.
#[must_use]
pub fn new(origin: &Origin, random: [u8; RANDOM_BYTES]) -> String {
    let random = URL_SAFE_NO_PAD.encode(random);
    format!("{}~{}~{random}", origin.node, base36(origin.incarnation))
}

/// Whose session an id names; none if it is no id.
#[must_use]
pub fn origin(sid: &str) -> Option<Origin> {
    if sid.len() > SID_MAX_BYTES {
        return None;
    }
    let mut parts = sid.split('~');
    let (node, incarnation, random) = (parts.next()?, parts.next()?, parts.next()?);
    let is_random = URL_SAFE_NO_PAD
        .decode(random)
        .is_ok_and(|it| it.len() == RANDOM_BYTES);
    if parts.next().is_some() || !is_random || !is_node_name(node) {
        return None;
    }
    let incarnation = u64::from_str_radix(incarnation, 36)
        .ok()
        // One way to write each number.
        .filter(|number| base36(*number) == incarnation)?;
    Some(Origin {
        node: node.into(),
        incarnation,
    })
}

fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    loop {
        let digit = usize::try_from(number % 36).unwrap_or_default();
        digits.push(char::from(DIGITS[digit]));
        number /= 36;
        if number == 0 {
            return digits.iter().rev().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_begin_with_their_node_and_tell_its_life() {
        for (node, incarnation) in [("a", 0), ("node-1", 35), ("x.y_z", 36), ("n", u64::MAX)] {
            let life = Origin {
                node: node.into(),
                incarnation,
            };
            let sid = new(&life, [7; RANDOM_BYTES]);
            assert!(sid.starts_with(&format!("{node}~")), "{sid}");
            assert_eq!(origin(&sid), Some(life));
        }
    }

    #[test]
    fn what_is_no_id_is_nobodys() {
        let random = URL_SAFE_NO_PAD.encode([1; RANDOM_BYTES]);
        for sid in [
            String::new(),
            "a".into(),
            "a~1".into(),
            "a~1~".into(),
            format!("a~1~{random}~"),
            format!("~1~{random}"),
            format!("a/b~1~{random}"),
            format!("a~01~{random}"),
            format!("a~A~{random}"),
            format!("a~-1~{random}"),
            format!("a~1~{random}A"),
            format!("{}~1~{random}", "a".repeat(300)),
        ] {
            assert_eq!(origin(&sid), None, "{sid}");
        }
    }
}
