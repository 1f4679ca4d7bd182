//! Which processors the server and the generators run on.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::error::LoadError;

/// How the machine is shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Sharing {
    /// The server (with its Postgres) has the first half of the processors, the generators have the
    /// others: neither disturbs the other
    #[default]
    Apart,
    /// Everybody has all of them
    Together,
}

/// What some process may run on.
#[derive(Clone, Debug)]
pub(crate) struct Cores {
    set: CpuSet,
    pub(crate) count: usize,
}

/// The processors of the server and of the generators.
pub(crate) fn share(sharing: Sharing) -> Result<(Cores, Cores), LoadError> {
    let all = sched_getaffinity(None)
        .map_err(|error| LoadError::io("asking for processors")(error.into()))?;
    let ours: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|n| all.is_set(*n)).collect();
    if sharing == Sharing::Together || ours.len() < 2 {
        return Ok((Cores::of(&ours), Cores::of(&ours)));
    }
    let (server, generators) = ours.split_at(ours.len() / 2);
    Ok((Cores::of(server), Cores::of(generators)))
}

impl Cores {
    fn of(numbers: &[usize]) -> Self {
        let mut set = CpuSet::new();
        for number in numbers {
            set.set(*number);
        }
        Self {
            set,
            count: numbers.len(),
        }
    }

    /// Does something on these processors; processes that it starts inherit them.
    pub(crate) fn within<R>(&self, starts: impl FnOnce() -> R) -> Result<R, LoadError> {
        let failed = |error: rustix::io::Errno| LoadError::io("choosing processors")(error.into());
        // Of this thread alone: the others stay where they are.
        let before = sched_getaffinity(None).map_err(failed)?;
        sched_setaffinity(None, &self.set).map_err(failed)?;
        let started = starts();
        sched_setaffinity(None, &before).map_err(failed)?;
        Ok(started)
    }
}
