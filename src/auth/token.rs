//! Bearer secrets: 256 random bits, as base64url on the wire, as SHA-256 at rest.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// The characters of a token on the wire.
const TOKEN_CHARS: usize = 43;

/// A secret that stands for a session or, for a few seconds, a ticket.
///
/// It has no `Display`, and `Debug` hides it: only [`Token::reveal`] shows it, to its owner.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; 32]);

/// What is kept of a token. Who reads it cannot use it; looking it up by equality is safe,
/// because nobody can choose a token whose digest begins as they like.
pub type TokenHash = [u8; 32];

impl Token {
    /// A fresh one, from the generator that the operating system seeds.
    #[must_use]
    pub fn generate() -> Self {
        Self(rand::random())
    }

    /// Reads a token. None if it is not one, whatever else it may be.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != TOKEN_CHARS {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// The token as its owner gets it.
    #[must_use]
    pub fn reveal(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// The token as it is kept.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        Sha256::digest(self.0).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_and_no_two_are_the_same() {
        let token = Token::generate();
        assert_eq!(token.reveal().len(), TOKEN_CHARS);
        assert_eq!(Token::parse(&token.reveal()), Some(token.clone()));
        assert_ne!(Token::generate(), token);
        assert_ne!(token.hash(), token.0);
    }

    #[test]
    fn what_is_no_token_is_none() {
        let good = Token::generate().reveal();
        for bad in [
            "",
            "x",
            &good[1..],
            &format!("{good}="),
            &"+".repeat(TOKEN_CHARS),
            &"\u{e9}".repeat(TOKEN_CHARS / 2),
        ] {
            assert_eq!(Token::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn debug_does_not_tell() {
        let token = Token::generate();
        assert!(!format!("{token:?}").contains(&token.reveal()));
    }
}
