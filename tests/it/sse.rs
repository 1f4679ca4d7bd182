//! Event streams, by a real HTTP client.

mod live;
