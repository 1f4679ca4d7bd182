//! Postgres: the pool, the embedded server, migrations, and a file for each aggregate.

pub mod statement;
