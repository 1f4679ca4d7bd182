//! Reading the control log, and doing what it says.

use std::time::Instant;

use super::{Control, Progress};
use crate::fault;
use crate::hub::HubHandle;
use crate::hub::changes::{ChangeWatch, Loss};
use crate::hub::metrics::{CONTROL_ENTRIES, CONTROL_LOST, CONTROL_POSITION};
use crate::protocol::touched::{Parts, Touched};
use crate::store::StoreError;
use crate::store::control_log::{ControlNews, ControlPage};

/// Entries read at once.
const PAGE: u32 = 500;

/// Reads for as long as the node lives.
pub(super) async fn run(control: Control, hub: HubHandle) {
    let mut is_failing = false;
    loop {
        let outcome = round(&control, &hub).await;
        match outcome {
            Ok(()) if is_failing => {
                is_failing = false;
                tracing::info!("the control log can be read again");
            }
            Ok(()) => {}
            Err(error) => {
                if !is_failing {
                    is_failing = true;
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the control log cannot be read; it is tried again");
                }
            }
        }
        // Too early or too often is as good as once.
        tokio::select! {
            () = control.shared.cluster.ears().control.notified() => {}
            () = tokio::time::sleep(control.shared.settings.poll) => {}
        }
    }
}

/// Reads and applies what there is.
async fn round(control: &Control, hub: &HubHandle) -> Result<(), StoreError> {
    fault::point!(
        "hub.control.read",
        Err(StoreError::unavailable("cut off by a test"))
    );
    let settings = &control.shared.settings;
    let cluster = &control.shared.cluster;
    let feed = cluster.feed()?;
    loop {
        let asked_at = Instant::now();
        let position = control.shared.progress.lock().position;
        // Before its first look a node has nothing that an older entry could be about.
        let page = feed.control_after(position.unwrap_or(u64::MAX), PAGE).await;
        let page = page.inspect_err(|error| cluster.failed(&feed, error))?;
        let is_last = page.entries.len() < PAGE as usize;
        let position = apply(settings, hub, position, page);
        CONTROL_POSITION.set(i64::try_from(position).unwrap_or(i64::MAX));
        let mut progress = control.shared.progress.lock();
        *progress = Progress {
            position: Some(position),
            read_at: if is_last {
                Some(asked_at)
            } else {
                progress.read_at
            },
        };
        drop(progress);
        if is_last {
            hub.gate().sessions_known(asked_at, position);
            return Ok(());
        }
    }
}

/// Applies a page; the position after it.
fn apply(
    settings: &super::ControlSettings,
    hub: &HubHandle,
    position: Option<u64>,
    page: ControlPage,
) -> u64 {
    let Some(position) = position else {
        return page.head;
    };
    if lacks_entries(position, &page) {
        let next = page.entries.first().map(|entry| entry.id);
        CONTROL_LOST.inc();
        tracing::error!(
            position,
            next,
            head = page.head,
            "entries of the control log were missed; everybody has to reconnect"
        );
        hub.resync_everybody();
        hub.changes().lost(Loss::Control);
        return page.head;
    }
    let mut position = position;
    for entry in page.entries {
        let kind = entry.news.as_ref().map_or("unreadable", ControlNews::kind);
        CONTROL_ENTRIES.with_label_values(&[kind]).inc();
        if let Some(news) = entry.news {
            apply_one(settings, hub, news);
        }
        position = entry.id;
    }
    position
}

/// Whether a page that was read after `position` does not go on from there: entries have been
/// removed before they were read, or the log is not the one that was read before.
fn lacks_entries(position: u64, page: &ControlPage) -> bool {
    match page.entries.first() {
        Some(next) => next.id != position + 1,
        // Nothing is left of what the head has counted since, or it counts anew.
        None => page.head != position,
    }
}

fn apply_one(settings: &super::ControlSettings, hub: &HubHandle, news: ControlNews) {
    tell_watch(hub.changes().watch(), &news);
    match news {
        ControlNews::SessionEnded { session_id, .. } => hub.end_session(session_id),
        ControlNews::MembershipEnded(news) => hub.membership_ended(news),
        // Other connections join rooms by themselves.
        ControlNews::MembershipBegan(news) => hub.join_streams(news.user_id, news.room_id),
        // Roles are looked up when they are needed, and mutes come with the room's own event. The rest is
        // for whoever keeps copies.
        ControlNews::MembershipChanged(_)
        | ControlNews::UserChanged(_)
        | ControlNews::UsersAdded
        | ControlNews::CopiesDropped(_) => {}
        ControlNews::Disconnect(dismissal) => hub.dismiss(&dismissal),
        ControlNews::Drain(node) => {
            let is_meant = node.is_none_or(|node| *node == *settings.origin.node);
            if is_meant && !hub.is_draining() {
                tracing::info!(
                    connections = hub.connections(),
                    over_ms = settings.drain_spread.as_millis(),
                    "ordered to drain: telling clients to move"
                );
                hub.drain(settings.drain_spread);
            }
        }
    }
}

/// Tells whoever keeps copies.
fn tell_watch(watch: &dyn ChangeWatch, news: &ControlNews) {
    match news {
        ControlNews::MembershipEnded(news)
        | ControlNews::MembershipBegan(news)
        | ControlNews::MembershipChanged(news) => watch.touched(&[Touched {
            room_id: news.room_id,
            epoch: None,
            first: news.seq,
            seq: news.seq,
            parts: Parts::MEMBERS,
            members: vec![news.user_id],
        }]),
        ControlNews::UserChanged(user) => watch.user_changed(*user),
        ControlNews::UsersAdded => watch.users_added(),
        ControlNews::CopiesDropped(room) => watch.drop_copies(*room),
        ControlNews::SessionEnded { .. } | ControlNews::Drain(_) | ControlNews::Disconnect(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::control_log::ControlEntry;

    #[test]
    fn entries_that_were_removed_unread_are_noticed_also_if_none_is_left() {
        let page = |head, ids: &[u64]| ControlPage {
            head,
            entries: ids
                .iter()
                .map(|&id| ControlEntry { id, news: None })
                .collect(),
        };
        assert!(!lacks_entries(5, &page(5, &[])), "nothing new");
        assert!(!lacks_entries(5, &page(7, &[6, 7])));
        assert!(!lacks_entries(0, &page(1, &[1])));
        assert!(lacks_entries(5, &page(8, &[7, 8])), "6 was removed");
        assert!(lacks_entries(5, &page(8, &[])), "all were removed");
        assert!(lacks_entries(5, &page(3, &[])), "another log");
    }
}
