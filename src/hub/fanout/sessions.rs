//! What other threads have for a session of Engine.IO of this one.

use super::Worker;
use super::table::ConnectionKey;
use crate::hub::engineio::{Call, Refused};

impl Worker {
    /// Gives it to the session, if that is still there.
    pub(super) fn call(&self, connection: ConnectionKey, call: Call) {
        let attachment = self.table.borrow().get(connection);
        match attachment.as_ref().and_then(|it| it.mailbox.get()) {
            Some(mailbox) => mailbox.put(call),
            None => call.refuse(Refused::UnknownSid.counted()),
        }
    }
}
