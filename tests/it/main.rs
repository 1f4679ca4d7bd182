//! Integration tests: the real binary, a real Postgres, real clients.

mod bad_input;
mod durability;
mod foreign_client;
mod harness;
mod harness_itself;
mod origin;
mod protocol_doc;
mod shutdown;
mod talk;
mod ws_limits;
