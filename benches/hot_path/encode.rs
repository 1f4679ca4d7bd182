//! Events to what is written, once for everybody.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use hubbub::bus::envelope::Payload;
use hubbub::protocol::id::RoomId;
use hubbub::protocol::push::Push;
use hubbub::protocol::{native, sse, websocket};

use crate::samples::{BODY_BYTES, body, message};

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for bytes in BODY_BYTES {
        let event = message(RoomId::generate(), bytes);
        let push = Push::from(&event);
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::new("push as JSON", bytes), |bencher| {
            bencher.iter(|| native::encode::encode_push(black_box(&push)));
        });
        group.bench_function(BenchmarkId::new("event as SSE", bytes), |bencher| {
            bencher.iter(|| sse::room_event(black_box(&event)));
        });
        let payload = Payload::Events(vec![event.clone()]);
        group.bench_function(BenchmarkId::new("event for the bus", bytes), |bencher| {
            bencher.iter(|| black_box(&payload).encode());
        });
        let text = body(bytes);
        group.bench_function(BenchmarkId::new("text frame", bytes), |bencher| {
            bencher.iter(|| websocket::encode::text(black_box(text.as_bytes())));
        });
    }
    group.finish();
}
