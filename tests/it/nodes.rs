//! Several nodes on one database: how they hear of each other's events without Redis, of each
//! other's end, and whose a name is.

mod breaker;
mod clocks;
mod leases;
mod link;
mod names;
mod notices;
mod pools;
mod scene;
mod silent_server;
