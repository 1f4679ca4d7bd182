//! What is done to messages after they were said: edits, deletions, reactions, pins, threads,
//! mentions. Everybody sees it in the room's order, and a page shows what the events make.

mod idempotent;
mod limits;
mod order;
mod permissions;
mod pins;
mod racing;
mod redaction;
mod replica;
mod scene;
mod threads;
