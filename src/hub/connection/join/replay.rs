//! Sending what was missed, as fast as the client takes it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout_at;

use super::Join;
use crate::hub::connection::pace::{broken_off, patiently, spare_bytes, taken};
use crate::hub::encoded::SharedEvent;
use crate::hub::replay_pages::ReplayPage;
use crate::protocol::cursor::Position;
use crate::protocol::error::Refusal;
use crate::protocol::event::{Epoch, Seq};
use crate::protocol::reply::{GapReason, Joined};

/// What was read is held this long at most while a slow reader takes it; the rest is read again when
/// there is room for it. A message may be deleted meanwhile, and its text must not come out of what was read before.
const HELD_MAX: Duration = Duration::from_secs(1);

/// How far events that were read have been sent.
struct Sent {
    /// The last one; none if there was no room for any.
    last: Option<Seq>,
    /// The others are read again when no more than so many bytes wait, so that the next has room.
    all_but_bytes: usize,
}

impl Join {
    /// Sends pages of the log until the room's memory may reach back to the position. False if
    /// the log is not what the room takes it for.
    pub(super) async fn catch_up(&mut self, epoch: Epoch, head: Seq) -> Result<bool, Refusal> {
        let memory = self.worker.hub.settings().hub.room_memory_events as u64;
        loop {
            let since = self.position.unwrap_or(head);
            let page = self.page(since).await?;
            let first = match page.events.first() {
                Some(event) => event.event.seq,
                // The log has nothing more: what the room's memory lacks is not there.
                None => page.first_seq,
            };
            if page.epoch != epoch || (page.events.is_empty() && first <= since + 1) {
                let room = self.worker.hub.room(self.room_id).await?;
                room.look_again();
                return Ok(false);
            }
            // After the page was read: who is a member now may see all that is in it.
            self.check_again().await?;
            if self.position.unwrap_or(head) > since {
                // The floor has risen.
                continue;
            }
            if first > since + 1 {
                if self.is_announced {
                    return Err(broken_off("retention was faster than the reader"));
                }
                self.gap = Some(self.gap_to(since, first - 1, GapReason::Retention));
            }
            if !self.is_announced {
                // Of the log as it was when the page was read: the floor may have risen above `head`.
                self.announce(epoch, head.max(page.last_seq), first);
            }
            let sent = self.send(epoch, &page.events).await;
            let position = sent.last.unwrap_or(first - 1);
            self.position = Some(position);
            let last_seq = page.last_seq;
            drop(page);
            // The next page is read when this one has been taken, so that a slow reader of a
            // long replay costs no memory.
            taken(&self.worker, &self.attachment, sent.all_but_bytes).await;
            if self.is_over() || last_seq.saturating_sub(position) <= memory {
                return Ok(true);
            }
        }
    }

    /// Sends what a room remembers, where that is more than may wait at once.
    pub(super) async fn send_memory(
        &mut self,
        epoch: Epoch,
        head: Seq,
        events: Vec<Arc<SharedEvent>>,
    ) {
        if let Some(first) = events.first()
            && !self.is_announced
        {
            self.announce(epoch, head, first.event.seq);
        }
        let sent = self.send(epoch, &events).await;
        drop(events);
        self.position = sent.last.or(self.position);
        taken(&self.worker, &self.attachment, sent.all_but_bytes).await;
    }

    /// A page out of Postgres, when it is its turn.
    async fn page(&self, since: Seq) -> Result<Arc<ReplayPage>, Refusal> {
        let page = self.worker.hub.replays().after(self.room_id, since);
        patiently(&self.worker, &self.attachment, page).await
    }

    /// Sends as many as there comes room for within [`HELD_MAX`].
    async fn send(&self, epoch: Epoch, events: &[Arc<SharedEvent>]) -> Sent {
        let until = Instant::now() + HELD_MAX;
        let mut sent = Sent {
            last: None,
            all_but_bytes: spare_bytes(&self.worker),
        };
        for event in events {
            let bytes = self.attachment.replay_bytes([event]);
            // A replay is paced by its reader: what does not fit waits for what is before it.
            while !self.attachment.outbox.has_room(bytes) {
                let replay_bytes = self.attachment.outbox.replay_bytes();
                let all_but = replay_bytes.saturating_sub(bytes);
                let taken = taken(&self.worker, &self.attachment, all_but);
                if timeout_at(until.into(), taken).await.is_err() {
                    sent.all_but_bytes = all_but.min(sent.all_but_bytes);
                    return sent;
                }
            }
            if Instant::now() >= until {
                break;
            }
            let table = self.worker.table.borrow();
            self.attachment.push_event(&table, event);
            self.attachment.stands_at(Position {
                room_id: self.room_id,
                epoch,
                seq: event.event.seq,
            });
            sent.last = Some(event.event.seq);
        }
        sent
    }

    fn announce(&mut self, epoch: Epoch, head: Seq, first: Seq) {
        let joined = Joined {
            room: self.room_id,
            epoch,
            last_seq: head,
            replayed: (head + 1).saturating_sub(first),
            gap: self.gap,
            cursor: self.cursor(epoch, head),
        };
        let table = self.worker.table.borrow();
        self.attachment.announce(&table, &self.announcement, joined);
        self.is_announced = true;
        // From here on it is of this life of the log: another one would be noticed.
        self.epoch = Some(epoch);
    }

    /// Where the client will stand when the replay is over.
    fn cursor(&self, epoch: Epoch, head: Seq) -> Option<String> {
        let position = Position {
            room_id: self.room_id,
            epoch,
            seq: head,
        };
        let table = self.worker.table.borrow();
        table.cursor(&self.attachment, Some(position)).ok()
    }
}
