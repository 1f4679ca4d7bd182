//! What was acknowledged is there, exactly once, whatever is killed.

mod disk_full;
mod ledger;
mod node_killed;
mod postgres_frozen;
mod postgres_killed;
