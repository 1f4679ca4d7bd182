//! `Sec-WebSocket-Extensions`: what a client offers, and what is agreed on (RFC 6455 §9.1,
//! RFC 7692 §5 and §7.1).
//!
//! A header that is no list of extensions fails the handshake. An offer whose parameters are
//! wrong, unknown or more than can be given is declined, and the next one is looked at.

/// The header is no list of extensions (RFC 6455 §9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`Sec-WebSocket-Extensions` is malformed")]
pub struct Malformed;

/// permessage-deflate, as it was agreed on: in both directions each message is compressed by
/// itself, so that nothing is kept between two of them, and one compressed frame serves everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deflate {
    /// The offer named a window for the server: the answer repeats it, which accepts it.
    names_server_window: bool,
}

impl Deflate {
    /// The answer's `Sec-WebSocket-Extensions`.
    #[must_use]
    pub const fn answer(self) -> &'static str {
        if self.names_server_window {
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
             server_max_window_bits=15"
        } else {
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
        }
    }
}

/// Reads one header of that name, of which a request may have several, and gives the first offer
/// in it that can be accepted.
pub fn negotiate(header: &[u8]) -> Result<Option<Deflate>, Malformed> {
    let mut rest = Scanner(header);
    let mut agreed = None;
    loop {
        rest.skip_blanks();
        // Elements of a list may be empty (RFC 7230 §7).
        if rest.take(b',') {
            continue;
        }
        if rest.0.is_empty() {
            return Ok(agreed);
        }
        let offer = rest.offer()?;
        agreed = agreed.or(offer);
        if !rest.0.is_empty() && !rest.take(b',') {
            return Err(Malformed);
        }
    }
}

/// What the parameters of one offer ask for.
#[derive(Default)]
struct Parameters {
    server_takeover: Option<()>,
    client_takeover: Option<()>,
    server_window: Option<()>,
    client_window: Option<()>,
}

impl Parameters {
    /// Notes a parameter; none if the offer cannot be accepted with it.
    fn add(&mut self, name: &[u8], value: Option<&[u8]>) -> Option<()> {
        let seen = match (name, value) {
            (b"server_no_context_takeover", None) => &mut self.server_takeover,
            (b"client_no_context_takeover", None) => &mut self.client_takeover,
            // The shared frames are made with the largest window.
            (b"server_max_window_bits", Some(b"15")) => &mut self.server_window,
            // Whatever window the client has, ours can read it.
            (b"client_max_window_bits", None) => &mut self.client_window,
            (b"client_max_window_bits", Some(bits)) if is_window(bits) => &mut self.client_window,
            _ => return None,
        };
        match seen.replace(()) {
            None => Some(()),
            Some(()) => None,
        }
    }
}

/// From 8 to 15, without leading zeros.
fn is_window(bits: &[u8]) -> bool {
    matches!(bits, [b'8' | b'9'] | [b'1', b'0'..=b'5'])
}

/// What is left of the header.
struct Scanner<'a>(&'a [u8]);

impl<'a> Scanner<'a> {
    /// One extension with its parameters, and what can be agreed on of it.
    fn offer(&mut self) -> Result<Option<Deflate>, Malformed> {
        let name = self.token()?;
        let mut parameters = Some(Parameters::default());
        self.skip_blanks();
        while self.take(b';') {
            self.skip_blanks();
            let parameter = self.token()?;
            self.skip_blanks();
            let value = if self.take(b'=') {
                self.skip_blanks();
                Some(self.value()?)
            } else {
                None
            };
            self.skip_blanks();
            parameters = parameters.and_then(|mut known| {
                known.add(parameter, value.as_deref())?;
                Some(known)
            });
        }
        Ok(parameters
            .filter(|_| name == b"permessage-deflate")
            .map(|known| Deflate {
                names_server_window: known.server_window.is_some(),
            }))
    }

    fn value(&mut self) -> Result<std::borrow::Cow<'a, [u8]>, Malformed> {
        if !self.take(b'"') {
            return self.token().map(Into::into);
        }
        let mut value = Vec::new();
        loop {
            let byte = match self.next().ok_or(Malformed)? {
                b'"' => break,
                b'\\' => self.next().ok_or(Malformed)?,
                byte => byte,
            };
            value.push(byte);
        }
        // "the value after quoted-string unescaping MUST conform to the 'token' ABNF"
        if value.is_empty() || !value.iter().copied().all(is_token) {
            return Err(Malformed);
        }
        Ok(value.into())
    }

    fn token(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.0.iter().take_while(|byte| is_token(**byte)).count();
        let (token, rest) = self.0.split_at(length);
        self.0 = rest;
        if token.is_empty() {
            return Err(Malformed);
        }
        Ok(token)
    }

    fn skip_blanks(&mut self) {
        let blanks = self
            .0
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'));
        self.0 = &self.0[blanks.count()..];
    }

    fn take(&mut self, byte: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }
}

/// RFC 7230 §3.2.6.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAIN: Deflate = Deflate {
        names_server_window: false,
    };
    const WINDOW: Deflate = Deflate {
        names_server_window: true,
    };

    #[test]
    fn offers_of_the_rfc_and_of_browsers() {
        for (offer, agreed) in [
            ("permessage-deflate", Some(PLAIN)),
            ("permessage-deflate; client_max_window_bits", Some(PLAIN)),
            ("permessage-deflate;client_max_window_bits=8", Some(PLAIN)),
            ("permessage-deflate; client_max_window_bits=15", Some(PLAIN)),
            (
                "permessage-deflate; client_max_window_bits=\"10\"",
                Some(PLAIN),
            ),
            (
                "permessage-deflate; client_max_window_bits = \"1\\0\"",
                Some(PLAIN),
            ),
            (
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
                Some(PLAIN),
            ),
            (
                "permessage-deflate; server_max_window_bits=15",
                Some(WINDOW),
            ),
            // RFC 7692 §7.1.3: the second is the fallback of the first.
            (
                "permessage-deflate; client_max_window_bits; server_max_window_bits=10, \
                 permessage-deflate; client_max_window_bits",
                Some(PLAIN),
            ),
            (
                "x-webkit-deflate-frame, foo; bar=\"baz\" ,, permessage-deflate",
                Some(PLAIN),
            ),
            ("bbf-usp-protocol; eid=\"a\"", None),
            ("", None),
            (" , ", None),
        ] {
            assert_eq!(negotiate(offer.as_bytes()), Ok(agreed), "{offer}");
        }
    }

    #[test]
    fn an_offer_that_asks_for_what_is_not_given_is_declined() {
        for parameter in [
            "server_max_window_bits=8",
            "server_max_window_bits=14",
            "server_max_window_bits=\"9\"",
            "server_max_window_bits=16",
            "server_max_window_bits=015",
            "server_max_window_bits=+15",
            "server_max_window_bits",
            "client_max_window_bits=7",
            "client_max_window_bits=16",
            "client_max_window_bits=08",
            "client_max_window_bits=x",
            "client_max_window_bits=1000000000000000000000",
            "server_no_context_takeover=1",
            "client_no_context_takeover=true",
            "client_no_context_takeover; client_no_context_takeover",
            "server_no_context_takeover; server_no_context_takeover",
            "client_max_window_bits; client_max_window_bits=10",
            "server_max_window_bits=15; server_max_window_bits=15",
            "mystery",
            "mystery=1",
            "Client_Max_Window_Bits",
        ] {
            let offer = format!("permessage-deflate; {parameter}");
            assert_eq!(negotiate(offer.as_bytes()), Ok(None), "{offer}");
            let fallback = format!("{offer}, permessage-deflate");
            assert_eq!(negotiate(fallback.as_bytes()), Ok(Some(PLAIN)), "{offer}");
        }
    }

    #[test]
    fn what_is_no_list_of_extensions_is_malformed() {
        for header in [
            ";",
            "permessage-deflate;",
            "permessage-deflate; ;x",
            "permessage-deflate; =15",
            "permessage-deflate; client_max_window_bits=",
            "permessage-deflate; client_max_window_bits=\"\"",
            "permessage-deflate; client_max_window_bits=\"1 5\"",
            "permessage-deflate; client_max_window_bits=\"15",
            "permessage-deflate; client_max_window_bits=\"15\\",
            "permessage-deflate; client_max_window_bits=\"15\"x",
            "permessage-deflate; client_max_window_bits=15 16",
            "permessage-deflate client_max_window_bits",
            "permessage-deflate, b@d",
            "permessage-deflate, (comment)",
            "=",
            "\"permessage-deflate\"",
            "permessage-deflate\u{e4}",
            "permessage-deflate\0",
        ] {
            assert_eq!(negotiate(header.as_bytes()), Err(Malformed), "{header}");
        }
    }

    #[test]
    fn the_answer_accepts_only_what_was_asked_for() {
        assert!(!PLAIN.answer().contains("window"));
        assert!(WINDOW.answer().ends_with("; server_max_window_bits=15"));
        for deflate in [PLAIN, WINDOW] {
            // The answer is an offer by the same grammar.
            assert_eq!(negotiate(deflate.answer().as_bytes()), Ok(Some(deflate)));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(
            bytes in proptest::collection::vec(any::<u8>(), 0..60),
            likely in "(permessage-deflate|[;,=\" ]|client_max_window_bits|1[0-6]){0,9}",
        ) {
            for header in [bytes.as_slice(), likely.as_bytes()] {
                if let Ok(agreed) = negotiate(header) {
                    // A further header can only add an offer behind it.
                    let more = [header, b", permessage-deflate"].concat();
                    prop_assert_eq!(negotiate(&more), Ok(Some(agreed.unwrap_or(PLAIN))));
                }
            }
        }
    }
}
