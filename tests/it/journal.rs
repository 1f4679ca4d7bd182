//! The journal, with publishers on several nodes at once.
//!
//! The nodes share a database and nothing else: what one of them pushes does not reach the
//! others. So these tests look at what counts: acks, the history over REST, and the tables.

mod batching;
mod cluster;
mod concurrent;
mod duplicates;
mod locked_heads;
mod log;
mod membership;
mod pipeline;
mod poisoned;
mod queue_bound;
mod removals;
