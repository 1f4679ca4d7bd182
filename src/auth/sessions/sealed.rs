//! A session as it stands in Redis: sealed, so that who can write there cannot become somebody else.
//! Pure.
//!
//! `version, session, user, end, last use, position, mac`: the times in microseconds since 1970 by
//! Postgres's clock, the position that of the control log when it was read, numbers big-endian. The
//! mac is an HMAC-SHA256 over all of that and the token's digest, by which it is found: what is sealed
//! for one token is worth nothing under another.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use uuid::Uuid;

use crate::auth::token::TokenHash;
use crate::protocol::id::{SessionId, UserId};
use crate::store::cluster::Secret;

/// The one version that there is.
const VERSION: u8 = 1;

/// What the key is derived for.
const PURPOSE: &[u8] = b"hubbub session in redis 1";

const BODY_BYTES: usize = 1 + 16 + 16 + 8 + 8 + 8;

/// What a sealed session takes.
pub(super) const SEALED_BYTES: usize = BODY_BYTES + 32;

/// A session that was found in Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: SessionId,
    pub(super) user_id: UserId,
    /// Until when, unless it is used.
    pub(super) expires_us: i64,
    /// When its use was last written down.
    pub(super) seen_us: i64,
    /// How far the control log went when it was read: its end, if there is one, comes after that.
    pub(super) position: u64,
}

/// Seals and unseals.
#[derive(Clone)]
pub(super) struct Seal(Hmac<Sha256>);

impl Seal {
    /// With a key of its own, made of the cluster's secret.
    pub(super) fn new(secret: &Secret) -> Self {
        let derived = keyed(&secret.0).chain_update(PURPOSE).finalize();
        Self(keyed(&derived.into_bytes()))
    }

    pub(super) fn seal(&self, token: &TokenHash, entry: &Entry) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(SEALED_BYTES);
        sealed.push(VERSION);
        sealed.extend(entry.id.0.as_bytes());
        sealed.extend(entry.user_id.0.as_bytes());
        sealed.extend(entry.expires_us.to_be_bytes());
        sealed.extend(entry.seen_us.to_be_bytes());
        sealed.extend(entry.position.to_be_bytes());
        let mac = self.mac(token, &sealed).finalize().into_bytes();
        sealed.extend(mac);
        sealed
    }

    /// None if it is not what we have sealed for this token.
    pub(super) fn unseal(&self, token: &TokenHash, sealed: &[u8]) -> Option<Entry> {
        let (body, mac) = sealed.split_at_checked(BODY_BYTES)?;
        self.mac(token, body).verify_slice(mac).ok()?;
        let (version, body) = body.split_first()?;
        let (id, body) = body.split_first_chunk::<16>()?;
        let (user, body) = body.split_first_chunk::<16>()?;
        let (expires, body) = body.split_first_chunk::<8>()?;
        let (seen, body) = body.split_first_chunk::<8>()?;
        let position = body.first_chunk::<8>()?;
        (*version == VERSION).then_some(Entry {
            id: SessionId(Uuid::from_bytes(*id)),
            user_id: UserId(Uuid::from_bytes(*user)),
            expires_us: i64::from_be_bytes(*expires),
            seen_us: i64::from_be_bytes(*seen),
            position: u64::from_be_bytes(*position),
        })
    }

    fn mac(&self, token: &TokenHash, body: &[u8]) -> Hmac<Sha256> {
        self.0.clone().chain_update(token).chain_update(body)
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    match Hmac::new_from_slice(key) {
        Ok(hmac) => hmac,
        Err(_) => unreachable!("HMAC takes keys of every length"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry() -> Entry {
        Entry {
            id: SessionId::generate(),
            user_id: UserId::generate(),
            expires_us: 1_800_000_000_000_000,
            seen_us: -5,
            position: 77,
        }
    }

    #[test]
    fn what_was_sealed_comes_back_under_its_token_and_secret_alone() {
        let (seal, entry) = (Seal::new(&Secret([1; 32])), entry());
        let sealed = seal.seal(&[7; 32], &entry);
        assert_eq!(sealed.len(), SEALED_BYTES);
        assert_eq!(seal.unseal(&[7; 32], &sealed), Some(entry));
        assert_eq!(seal.unseal(&[8; 32], &sealed), None);
        let other = Seal::new(&Secret([2; 32]));
        assert_eq!(other.unseal(&[7; 32], &sealed), None);
    }

    #[test]
    fn nothing_of_it_can_be_changed() {
        let seal = Seal::new(&Secret([1; 32]));
        let sealed = seal.seal(&[7; 32], &entry());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(seal.unseal(&[7; 32], &changed), None, "byte {at}");
        }
        for length in 0..sealed.len() {
            assert_eq!(seal.unseal(&[7; 32], &sealed[..length]), None);
        }
        let longer = [&sealed[..], b"x"].concat();
        assert_eq!(seal.unseal(&[7; 32], &longer), None);
    }

    proptest! {
        #[test]
        fn garbage_is_nothing(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(Seal::new(&Secret([1; 32])).unseal(&[7; 32], &bytes), None);
        }
    }
}
