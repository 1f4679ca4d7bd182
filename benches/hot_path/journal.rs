//! Publishes that wait to the parameters of the statements that write them.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use hubbub::hub::bench::Batches;

use crate::samples::body;

/// Messages and the rooms that they are in.
const SIZES: [(usize, usize); 3] = [(1, 1), (100, 10), (256, 100)];

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("journal");
    let body = body(128);
    for (messages, rooms) in SIZES {
        let size = format!("{messages} in {rooms} rooms");
        group.throughput(Throughput::Elements(messages as u64));
        group.bench_function(BenchmarkId::new("build a batch", size), |bencher| {
            bencher.iter_batched_ref(
                || Batches::new(messages, rooms, &body),
                |batches| batches.build().expect("messages"),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}
