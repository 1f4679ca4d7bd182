//! Hubbub: a realtime hub for chat and collaboration in one binary.
//!
//! `ARCHITECTURE.md` is the map. Dependencies between the layers run one way, and
//! `tests/it/layers.rs` keeps it so:
//!
//! * [`protocol`] and [`config`] know nothing else of the crate;
//! * [`store`] and [`bus`] know `protocol`;
//! * [`hub`] knows `protocol`, `bus` and `store`, and never sees HTTP;
//! * [`auth`] knows `protocol` and `store`;
//! * [`transport`] knows `hub`, `auth` and `protocol`;
//! * [`api`] knows `store`, `auth` and the handles of `hub`;
//! * [`dev`] knows `config` and `store`;
//! * [`app`] and [`cli`] know all.

pub mod api;
pub mod app;
pub mod auth;
pub mod bus;
pub mod cli;
pub mod config;
pub mod dev;
mod fault;
pub mod hub;
mod metric;
pub mod ops;
pub mod protocol;
mod stall;
pub mod store;
pub mod transport;
