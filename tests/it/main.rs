//! Integration tests: the real binary, a real Postgres, real clients.

mod bad_input;
mod durability;
mod embedded;
mod foreign_client;
mod harness;
mod harness_itself;
mod migrations;
mod origin;
mod pool;
mod protocol_doc;
mod shutdown;
mod statements;
mod talk;
mod ws_limits;
