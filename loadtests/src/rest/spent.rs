//! What everybody has used while something was measured.

use rustix::process::Pid;

use super::stage::{Listening, Stage};
use crate::clock;
use crate::cpu::{self, Usage};
use crate::verdict::Conduct;

/// What everybody has used until some moment.
pub(super) struct Look {
    at_ns: u64,
    server: Usage,
    postgres: Usage,
    redis: Usage,
    generators: Vec<(Usage, std::time::Duration)>,
    machine: std::time::Duration,
}

impl Look {
    pub(super) fn of(stage: &Stage, server: &Listening, generators: &[Pid]) -> Self {
        let redis = stage.redis.as_ref();
        Self {
            server: cpu::usage(server.pid),
            postgres: cpu::usage_of_family(stage.nodes.postgres.pid),
            redis: redis.map(|it| cpu::usage(it.pid())).unwrap_or_default(),
            generators: generators
                .iter()
                .map(|pid| (cpu::usage(*pid), cpu::waited(*pid)))
                .collect(),
            machine: cpu::machine(),
            at_ns: clock::now(),
        }
    }
}

/// What was used between two looks.
pub(super) struct Spent {
    pub(super) seconds: f64,
    pub(super) server: Usage,
    pub(super) postgres: Usage,
    pub(super) redis: Usage,
    /// Cores that were used by whoever has nothing to do with this.
    pub(super) others_cores: f64,
    /// Without the slip.
    pub(super) conduct: Conduct,
}

impl Spent {
    pub(super) fn between(before: &Look, after: &Look) -> Self {
        let nanos = after.at_ns.saturating_sub(before.at_ns).max(1);
        let seconds = std::time::Duration::from_nanos(nanos).as_secs_f64();
        let conduct = Conduct::between(&before.generators, &after.generators, seconds);
        let server = after.server.since(before.server);
        let postgres = after.postgres.since(before.postgres);
        let redis = after.redis.since(before.redis);
        let servers = (server.total() + postgres.total() + redis.total()).as_secs_f64();
        let machine = after.machine.saturating_sub(before.machine).as_secs_f64();
        let others = (machine - servers) / seconds - conduct.cores_used;
        Self {
            seconds,
            server,
            postgres,
            redis,
            others_cores: others.max(0.0),
            conduct,
        }
    }
}
