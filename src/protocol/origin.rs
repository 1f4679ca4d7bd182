//! A node in one of its lives.

use std::fmt;
use std::sync::Arc;

/// A node, in one of its lives.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The node's id.
    pub node: Arc<str>,
    /// Counts its starts.
    pub incarnation: u64,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}~{}", self.node, self.incarnation)
    }
}

impl Origin {
    /// Reads what [`fmt::Display`] writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (node, incarnation) = text.rsplit_once('~')?;
        Some(Self {
            node: is_node_name(node).then(|| node.into())?,
            incarnation: number(incarnation)?,
        })
    }
}

/// Whether `text` is a node's name: 1 to 64 characters that need no escaping in a path, a cookie,
/// a header or a log.
#[must_use]
pub fn is_node_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// A number as we write it: digits alone, no leading zeros.
pub(super) fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    is_plain.then(|| text.parse().ok())?
}
