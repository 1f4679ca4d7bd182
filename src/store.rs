//! Postgres: the pool, the embedded server, migrations, and a file for each aggregate.
//!
//! Statements are files under `sql/queries`, named by [`statement::Statement`], and run through a
//! [`Conn`] or [`Tx`] of the [`Store`]: timed, logged when slow, bounded in time. Connections
//! outside the pool (the journal's) come from [`connect_single`].

mod breaker;
pub mod clock;
pub mod cluster;
pub mod conn;
pub mod control_log;
pub mod embedded;
pub mod error;
pub mod feed;
pub mod head_notices;
pub mod invitations;
pub mod messages;
pub mod metrics;
pub mod migrate;
pub mod node_name;
pub mod nodes;
pub mod online_users;
pub mod own_rooms;
pub mod pool;
pub mod read_markers;
pub mod replicas;
pub mod request_keys;
pub mod retention;
pub mod room_bans;
pub mod room_events;
pub mod room_members;
pub mod rooms;
pub mod seq;
pub mod server_check;
pub mod session;
pub mod sessions;
pub mod statement;
pub mod unread;
pub mod users;

pub use conn::{Conn, Params, Tx};
pub use error::StoreError;
pub use migrate::{Applied, MigrateError, migrate};
pub use pool::Store;
pub use session::{Driver, SessionOptions, connect_single};
