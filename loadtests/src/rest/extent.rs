//! How much of REST is measured.

use serde::Serialize;

use super::MANY;

/// How much is measured.
#[derive(Clone, Debug, Serialize, clap::Args)]
pub(crate) struct Extent {
    /// Messages in the database
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=50_000_000))]
    pub(super) messages: u32,

    /// Rooms of the mix
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) rooms: u32,

    /// Connections, one figure for each; latencies are claimed at 200
    #[arg(long, value_delimiter = ',', default_values_t = [1, 50, MANY], value_parser = clap::value_parser!(u32).range(1..=5000))]
    pub(super) connections: Vec<u32>,

    /// Times that each load is put on each server
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(super) rounds: u32,

    /// Seconds that are measured of each
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(super) seconds: u64,

    /// Storms on each server
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=32))]
    pub(super) storms: u32,

    /// Equal requests of a storm
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..=5000))]
    pub(super) storm_requests: u32,

    /// Connections of the mix
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=5000))]
    pub(super) mix_connections: u32,
}

impl Extent {
    /// As much as `bench` measures.
    pub(super) fn of_bench(quick: bool) -> Self {
        let long = Self {
            messages: 1_000_000,
            rooms: 1000,
            connections: vec![1, 50, MANY],
            rounds: 2,
            seconds: 3,
            storms: 5,
            storm_requests: 1000,
            mix_connections: 50,
        };
        if !quick {
            return long;
        }
        Self {
            messages: 100_000,
            rooms: 400,
            connections: vec![1, MANY],
            rounds: 1,
            seconds: 1,
            storms: 2,
            ..long
        }
    }

    /// A debug build on a busy machine takes its time: few at once, so that nothing is refused.
    pub(super) fn of_smoke() -> Self {
        Self {
            messages: 20_000,
            rooms: 50,
            connections: vec![8],
            rounds: 1,
            seconds: 1,
            storms: 2,
            storm_requests: 50,
            mix_connections: 8,
        }
    }
}
