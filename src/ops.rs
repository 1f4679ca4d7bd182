//! What operators see: logs, health, metrics.

#[cfg(feature = "failpoints")]
pub mod faults;
pub mod health;
pub mod metrics;
pub mod telemetry;
