//! What operators see: telemetry.

pub mod telemetry;
