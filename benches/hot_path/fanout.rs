//! One event to all connections of a thread: encoded once, a pointer for each outbox. The figure
//! is for the whole room; emptying the outboxes, which a flush does with its `write`, is not in it.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use hubbub::hub::bench::Crowd;

use crate::samples::message;

const MEMBERS: [usize; 3] = [10, 1_000, 10_000];

const BODY_BYTES: usize = 128;

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fan-out");
    for members in MEMBERS {
        let mut crowd = Crowd::new(members);
        let event = message(crowd.room_id(), BODY_BYTES);
        group.throughput(Throughput::Elements(members as u64));
        group.bench_function(BenchmarkId::new("push to members", members), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    let event = event.clone();
                    let begun = Instant::now();
                    crowd.broadcast(event);
                    spent += begun.elapsed();
                    assert_eq!(crowd.take(), members);
                }
                spent
            });
        });
    }
    group.finish();
}
