//! Whose turn it is: one export a user, and so many on a node.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::protocol::id::UserId;

/// The exports that are running on this node. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Exports(Arc<Mutex<HashSet<UserId>>>);

/// A running export.
#[derive(Debug)]
pub(super) struct Turn {
    exports: Exports,
    user: UserId,
}

impl Exports {
    /// Begins one; none if the user has one, or if there are `most`.
    pub(super) fn begin(&self, user: UserId, most: usize) -> Option<Turn> {
        let mut running = self.0.lock();
        if running.len() >= most || !running.insert(user) {
            return None;
        }
        Some(Turn {
            exports: self.clone(),
            user,
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.exports.0.lock().remove(&self.user);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_user_and_so_many_in_all() {
        let exports = Exports::default();
        let [ann, ben, cat] = std::array::from_fn(|_| UserId::generate());
        let first = exports.begin(ann, 2).unwrap();
        assert!(exports.begin(ann, 2).is_none());
        let _second = exports.begin(ben, 2).unwrap();
        assert!(exports.begin(cat, 2).is_none());
        drop(first);
        assert!(exports.begin(cat, 2).is_some());
    }
}
