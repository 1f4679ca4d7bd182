//! In which way a connection's messages are written.

/// A way of writing, chosen by the subprotocol of the handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Codec {
    /// JSON, in messages of text.
    #[default]
    Json,
    /// MessagePack, in messages of bytes.
    MessagePack,
}

impl Codec {
    /// The subprotocols that are spoken.
    pub const SUBPROTOCOLS: &'static [&'static str] =
        &[Self::Json.subprotocol(), Self::MessagePack.subprotocol()];

    /// Its subprotocol.
    #[must_use]
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "hubbub.json.v1",
            Self::MessagePack => "hubbub.msgpack.v1",
        }
    }

    /// That of the subprotocol that was agreed upon. A client that offers none speaks JSON.
    #[must_use]
    pub fn of(subprotocol: Option<&str>) -> Self {
        if subprotocol == Some(Self::MessagePack.subprotocol()) {
            Self::MessagePack
        } else {
            Self::Json
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_by_its_subprotocol_and_json_is_the_default() {
        for codec in [Codec::Json, Codec::MessagePack] {
            assert_eq!(Codec::of(Some(codec.subprotocol())), codec);
            assert!(Codec::SUBPROTOCOLS.contains(&codec.subprotocol()));
        }
        assert_eq!(Codec::of(None), Codec::Json);
    }
}
