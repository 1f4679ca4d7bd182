//! What a key was used for.

use sha2::{Digest, Sha256};

use super::Content;
use crate::protocol::body::Body;
use crate::protocol::command::MessageChange;

impl Content {
    /// Tells a retry from a key used for something else: 16 bytes of a SHA-256 over kind and
    /// content.
    pub(crate) fn fingerprint(&self) -> Vec<u8> {
        let mut digest = Sha256::new();
        match self {
            // No text has a U+0000, so what follows it cannot be taken for a part of it.
            Self::Message {
                body,
                thread,
                mentions,
                ..
            } => {
                match body {
                    Body::Text(text) => {
                        digest.update(b"message\0");
                        digest.update(text.as_bytes());
                    }
                    Body::Bytes(bytes) => {
                        digest.update(b"message of bytes\0");
                        digest.update((bytes.len() as u64).to_be_bytes());
                        digest.update(bytes);
                    }
                }
                if let Some(root) = thread {
                    digest.update(b"\0thread\0");
                    digest.update(root.0.as_bytes());
                }
                if !mentions.is_empty() {
                    digest.update(b"\0mentions\0");
                }
                for user in mentions {
                    digest.update(user.0.as_bytes());
                }
            }
            Self::Change {
                message_id, change, ..
            } => {
                digest.update(change.name());
                digest.update(message_id.0.as_bytes());
                match change {
                    MessageChange::Edit {
                        body: Body::Text(text),
                    } => digest.update(text.as_bytes()),
                    MessageChange::Edit {
                        body: Body::Bytes(bytes),
                    } => {
                        digest.update(b"\0");
                        digest.update(bytes);
                    }
                    MessageChange::Delete => {}
                    MessageChange::React { emoji, remove } => {
                        digest.update([u8::from(*remove)]);
                        digest.update(emoji.as_bytes());
                    }
                    MessageChange::Pin { pinned } => digest.update([u8::from(*pinned)]),
                }
            }
            Self::Custom { name, data, .. } => {
                digest.update(b"custom\0");
                digest.update(name.as_bytes());
                digest.update(b"\0");
                digest.update(data.json().as_bytes());
            }
            Self::Membership(_) => digest.update(b"membership\0"),
            Self::Room(_) => digest.update(b"room\0"),
        }
        digest.finalize()[..16].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::id::{EventId, UserId};

    #[test]
    fn fingerprints_tell_kinds_and_contents_apart() {
        let (root, user) = (EventId::generate(), UserId::generate());
        let message = |body: &str, thread, mentions: &[UserId]| Content::Message {
            body: body.into(),
            client_id: "c".into(),
            thread,
            mentions: mentions.into(),
        };
        let bytes = |bytes: &[u8], thread| Content::Message {
            body: Body::Bytes(bytes.into()),
            client_id: "c".into(),
            thread,
            mentions: Box::default(),
        };
        let change = |message_id, change| Content::Change {
            message_id,
            change,
            client_id: None,
        };
        let react = |emoji: &str, remove| MessageChange::React {
            emoji: emoji.into(),
            remove,
        };
        let contents = [
            message("a", None, &[]),
            message("b", None, &[]),
            bytes(b"a", None),
            bytes(b"\0", None),
            bytes(b"a", Some(root)),
            bytes(&[&b"a\0thread\0"[..], root.0.as_bytes()].concat(), None),
            change(
                root,
                MessageChange::Edit {
                    body: Body::Bytes((*b"a").into()),
                },
            ),
            message("a", Some(root), &[]),
            message("a", None, &[user]),
            message("a", Some(root), &[user]),
            change(root, MessageChange::Edit { body: "a".into() }),
            change(root, MessageChange::Edit { body: "b".into() }),
            change(
                EventId::generate(),
                MessageChange::Edit { body: "a".into() },
            ),
            change(root, MessageChange::Delete),
            change(root, react("a", false)),
            change(root, react("a", true)),
            change(root, react("b", false)),
            change(root, MessageChange::Pin { pinned: true }),
            change(root, MessageChange::Pin { pinned: false }),
        ];
        for (i, one) in contents.iter().enumerate() {
            for (j, other) in contents.iter().enumerate() {
                let is_same = one.fingerprint() == other.fingerprint();
                assert_eq!(is_same, i == j, "{one:?} {other:?}");
            }
        }
    }
}
