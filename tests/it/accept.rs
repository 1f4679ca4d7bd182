//! The way in: slow clients, crowds, and how many there may be.

mod bodies;
mod bounds;
mod crowds;
mod files;
mod heads;
mod http2;
mod readers;
