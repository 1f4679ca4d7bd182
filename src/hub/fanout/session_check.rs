//! Sessions of open connections are looked at before their end: being connected prolongs them.

use std::rc::Rc;

use super::table::Attachment;
use super::worker::Worker;
use crate::hub::connection::liveness::Second;
use crate::protocol::close::Disconnect;

/// A session whose end cannot be looked up is tried again after this, seconds.
pub(super) const SESSION_CHECK: Second = 30;

/// How long before its end a session is looked at, seconds: more than clocks differ.
const SESSION_MARGIN: Second = 120;

impl Worker {
    /// Finds out whether a session lasts longer than its connection knows, and closes the
    /// connection if it does not.
    pub(super) fn check_session(self: &Rc<Self>, attachment: &Rc<Attachment>) {
        let Some(session) = attachment.session_id() else {
            return;
        };
        let (worker, key) = (Rc::clone(self), attachment.key);
        actix_rt::spawn(async move {
            let checked = worker.hub.gate().check(session).await;
            let Some(attachment) = worker.table.borrow().get(key) else {
                return;
            };
            match checked {
                Ok(Some(expires_at)) => attachment.check_session_at(worker.look_before(expires_at)),
                Ok(None) => worker.close(&attachment, Disconnect::SessionEnded),
                // It is looked at again soon.
                Err(refusal) => tracing::debug!(%refusal, "a session cannot be checked"),
            }
        });
    }

    /// When to look at a session that ends at this time, by the worker's clock: a little before,
    /// because being connected prolongs a session, and one that has ended cannot be prolonged.
    pub(crate) fn look_before(&self, end: jiff::Timestamp) -> Second {
        let ahead_s = end.as_second() - jiff::Timestamp::now().as_second();
        let ahead = Second::try_from(ahead_s.max(0)).unwrap_or(Second::MAX);
        let margin = (ahead / 2).min(SESSION_MARGIN);
        self.now().saturating_add(ahead - margin)
    }
}
