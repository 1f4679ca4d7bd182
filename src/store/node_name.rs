//! Whose a node's name is: the connection's that holds its lock.
//!
//! A node that starts under a name waits for whoever holds it, and not for long. One that was
//! killed lets go as soon as its connection is seen to have ended. One that renews its lease
//! meanwhile lives: the start is refused. One whose lease has run out, frozen or cut off, loses
//! the name; when it is back it finds that another life has begun under it, and stops.
//!
//! When Postgres is started again all locks are gone, and whoever comes first has the name. So one who
//! has it then waits until its last holder renews its lease, or that is over.

use std::time::{Duration, Instant};

use super::StoreError;
use super::feed::{Feed, NameHolder};

/// How often it is looked again.
const LOOK: Duration = Duration::from_millis(50);

/// A connection whose node has stopped or was killed ends within this time.
const LETTING_GO: Duration = Duration::from_secs(1);

/// Longer than its lease nobody is waited for, but for what ending its connection may take.
const ENDING: Duration = Duration::from_secs(5);

/// Why a node cannot have its name.
#[derive(Debug, thiserror::Error)]
pub enum NameError {
    /// Another has it.
    #[error(
        "the name {id:?} (node.id) is another running node's: life {incarnation}, at {address}; \
         stop that one, or give this one another node.id"
    )]
    Taken {
        /// The name.
        id: String,
        /// The other's life.
        incarnation: u64,
        /// The other's address.
        address: String,
    },
    /// It could not be found out.
    #[error("cannot take the node's name")]
    Store(#[from] StoreError),
}

/// What to do about a name that another connection holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Look again.
    Wait,
    /// Its node has not been heard of within its lease: end the connection.
    End(i32),
    /// It lives, or does not let go.
    Refuse,
}

/// Judges a holder by how it was at first and how it is after this time.
fn judge(first: &NameHolder, now: &NameHolder, waited: Duration, lease: Duration) -> Verdict {
    let has_renewed =
        now.incarnation != first.incarnation || now.lease_until_us > first.lease_until_us;
    // What a killed node had sent may still be done before its connection is seen to have ended.
    let lives = has_renewed && now.is_alive && waited >= LETTING_GO;
    if lives || waited > lease + ENDING {
        return Verdict::Refuse;
    }
    match now.pid {
        Some(pid) if !now.is_alive && waited >= LETTING_GO => Verdict::End(pid),
        _ => Verdict::Wait,
    }
}

/// What to do with a name that this connection holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absence {
    /// Keep it.
    Over,
    /// Its last holder may come back.
    Wait,
    /// It is back.
    Ended,
}

/// Judges the last holder by how it was when the name was taken and how it is after this time.
fn judge_absent(
    first: &NameHolder,
    now: &NameHolder,
    waited: Duration,
    lease: Duration,
) -> Absence {
    let has_renewed =
        now.incarnation != first.incarnation || now.lease_until_us > first.lease_until_us;
    match (
        has_renewed && now.is_alive,
        now.is_alive && now.is_of_before,
    ) {
        (true, _) => Absence::Ended,
        (_, false) => Absence::Over,
        // It has a longer lease than this node, whoever is wrong about that.
        _ if waited > lease + ENDING => Absence::Ended,
        _ => Absence::Wait,
    }
}

/// Takes a node's name for the connection, waiting no longer than `lease` and some seconds. Of a name
/// that nobody else can have (`is_sole`) no holder is waited for that has only lost the lock.
pub async fn claim(feed: &Feed, id: &str, lease: Duration, is_sole: bool) -> Result<(), NameError> {
    take(feed, id, lease).await?;
    if is_sole {
        return Ok(());
    }
    let began = Instant::now();
    let first = feed.name_holder(id).await?;
    let mut holder = first.clone();
    let mut is_told = false;
    loop {
        match judge_absent(&first, &holder, began.elapsed(), lease) {
            Absence::Over => return Ok(()),
            Absence::Ended => return Err(taken(id, holder)),
            Absence::Wait => {}
        }
        if !is_told {
            is_told = true;
            tracing::warn!(
                node = id,
                incarnation = holder.incarnation,
                address = holder.address,
                "Postgres was started a moment ago, and the node that had this name may be about to \
                 come back to it; waiting until it does, or its lease is over"
            );
        }
        tokio::time::sleep(LOOK).await;
        holder = feed.name_holder(id).await?;
    }
}

fn taken(id: &str, holder: NameHolder) -> NameError {
    NameError::Taken {
        id: id.to_owned(),
        incarnation: holder.incarnation,
        address: holder.address,
    }
}

/// Takes the name's lock.
async fn take(feed: &Feed, id: &str, lease: Duration) -> Result<(), NameError> {
    let began = Instant::now();
    if feed.take_name(id).await? {
        return Ok(());
    }
    let first = feed.name_holder(id).await?;
    let mut is_told = false;
    loop {
        tokio::time::sleep(LOOK).await;
        if feed.take_name(id).await? {
            return Ok(());
        }
        let holder = feed.name_holder(id).await?;
        match judge(&first, &holder, began.elapsed(), lease) {
            Verdict::Wait => {}
            Verdict::End(pid) => {
                tracing::warn!(
                    node = id,
                    incarnation = holder.incarnation,
                    "the node that has this name was not heard of within its lease; its \
                     connection is ended"
                );
                feed.end_name_holder(id, pid).await?;
            }
            Verdict::Refuse => return Err(taken(id, holder)),
        }
        if !is_told && began.elapsed() >= LETTING_GO {
            is_told = true;
            tracing::warn!(
                node = id,
                incarnation = holder.incarnation,
                address = holder.address,
                "the name is still held by a connection of this node's; waiting until it ends, \
                 or its lease does"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(10);

    fn holder(incarnation: u64, is_alive: bool, lease_until_us: i64) -> NameHolder {
        NameHolder {
            pid: Some(7),
            incarnation,
            address: String::new(),
            is_alive,
            lease_until_us,
            is_of_before: false,
        }
    }

    #[test]
    fn who_lost_the_lock_with_the_server_is_waited_for_and_nobody_else() {
        let second = Duration::from_secs(1);
        let killed = holder(1, true, 100);
        let judged = judge_absent(&killed, &killed, Duration::ZERO, LEASE);
        assert_eq!(judged, Absence::Over);
        let cut_off = NameHolder {
            is_of_before: true,
            ..killed.clone()
        };
        let judge = |now: &NameHolder, waited| judge_absent(&cut_off, now, waited, LEASE);
        assert_eq!(judge(&cut_off, second), Absence::Wait);
        assert_eq!(judge(&cut_off, second * 16), Absence::Ended);
        for back in [holder(1, true, 101), holder(2, true, 100)] {
            assert_eq!(judge(&back, second), Absence::Ended);
        }
        let over = NameHolder {
            is_alive: false,
            ..cut_off.clone()
        };
        assert_eq!(judge(&over, second), Absence::Over);
        let stopped = holder(1, false, 101);
        assert_eq!(judge(&stopped, second), Absence::Over);
    }

    #[test]
    fn who_renews_its_lease_or_begins_a_life_keeps_its_name() {
        let (first, short) = (holder(1, true, 100), Duration::from_millis(100));
        assert_eq!(judge(&first, &first, short, LEASE), Verdict::Wait);
        for other in [
            holder(1, true, 101),
            holder(2, true, 101),
            holder(2, true, 99),
        ] {
            assert_eq!(judge(&first, &other, short, LEASE), Verdict::Wait);
            assert_eq!(judge(&first, &other, LETTING_GO, LEASE), Verdict::Refuse);
        }
    }

    #[test]
    fn whose_lease_has_run_out_loses_it_and_nobody_is_waited_for_longer() {
        let first = holder(1, true, 100);
        let expired = holder(1, false, 100);
        let at = |seconds| Duration::from_secs(seconds);
        assert_eq!(judge(&first, &expired, at(9), LEASE), Verdict::End(7));
        assert_eq!(judge(&first, &expired, at(16), LEASE), Verdict::Refuse);
        // One that stops in order has no lease from then on, and is about to let go.
        let stopped = holder(1, false, 101);
        assert_eq!(judge(&first, &stopped, at(0), LEASE), Verdict::Wait);
        assert_eq!(judge(&first, &stopped, at(1), LEASE), Verdict::End(7));
        let released = NameHolder {
            pid: None,
            ..expired
        };
        assert_eq!(judge(&first, &released, at(9), LEASE), Verdict::Wait);
    }
}
