//! What the node does itself on the way of a message, without kernel and Postgres: `cargo bench`.
//! Quick by default; Criterion's arguments make it longer: `cargo bench -- --measurement-time 10`.

mod decode;
mod encode;
mod fanout;
mod journal;
mod samples;

use std::time::Duration;

use criterion::{Criterion, criterion_main};

/// All of them.
fn benches() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    encode::benches(&mut criterion);
    decode::benches(&mut criterion);
    fanout::benches(&mut criterion);
    journal::benches(&mut criterion);
    criterion.final_summary();
}

criterion_main!(benches);
