//! What operators see: logs, health, metrics.

pub mod health;
pub mod metrics;
pub mod telemetry;
