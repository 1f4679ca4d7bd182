//! Peers that take what is sent to them too slowly.
//!
//! One that fills its outbox is closed by the push that does not fit. One that does not, and lets
//! something wait for too long, is found here: once a second the thread looks at those of its
//! connections whose sockets take no more, and at no others.

use super::table::Attachment;
use super::worker::Worker;
use crate::protocol::close::Disconnect;

impl Worker {
    /// Looks after a connection from now on if its socket takes no more for the moment.
    pub(super) fn note_blocked(&self, attachment: &Attachment) {
        if attachment.outbox.is_blocked() && !attachment.is_watched.replace(true) {
            self.blocked.borrow_mut().push(attachment.key);
        }
    }

    /// Closes those who have let something wait for too long.
    pub(super) fn check_blocked(&self) {
        let watched = self.blocked.take();
        for key in watched {
            let Some(attachment) = self.table.borrow().get(key) else {
                continue;
            };
            let outbox = &attachment.outbox;
            if !outbox.is_blocked() || outbox.closing().is_some() {
                attachment.is_watched.set(false);
            } else if outbox.is_overdue() && !attachment.is_paced.get() {
                attachment.is_watched.set(false);
                self.close(&attachment, Disconnect::Slow);
            } else {
                self.blocked.borrow_mut().push(key);
            }
        }
    }
}
