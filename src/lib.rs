//! Hubbub: a realtime hub for chat and collaboration in one binary.
//!
//! `ARCHITECTURE.md` is the map. Dependencies between the layers run one way, and
//! `tests/it/layers.rs` keeps it so:
//!
//! * [`protocol`] and [`config`] know nothing else of the crate;
//! * [`redis`] knows `config`;
//! * [`store`] and [`bus`] know `protocol`, `bus` also `redis`;
//! * [`hub`] knows `protocol`, `bus` and `store`, and never sees HTTP;
//! * [`cache`] knows `store`, `redis`, `protocol` and `config`;
//! * [`peers`] knows `protocol`, `store` and `config`;
//! * [`auth`] knows `protocol`, `store` and `redis`;
//! * [`transport`] knows `hub`, `auth`, `peers` and `protocol`;
//! * [`api`] knows `store`, `cache`, `auth`, `peers` and the handles of `hub`;
//! * [`dev`] knows `config` and `store`;
//! * [`app`] and [`cli`] know all.

pub mod api;
pub mod app;
pub mod auth;
pub mod bus;
pub mod cache;
pub mod cli;
pub mod config;
pub mod dev;
mod fault;
pub mod hub;
mod metric;
pub mod ops;
pub mod peers;
pub mod protocol;
pub mod redis;
mod stall;
pub mod store;
pub mod transport;
