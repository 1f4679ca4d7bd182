//! Integration tests: the real binary, a real Postgres, real clients.

mod harness;
mod harness_itself;
