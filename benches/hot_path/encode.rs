//! Events to what is written, once for everybody.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use hubbub::bus::envelope::Payload;
use hubbub::protocol::id::RoomId;
use hubbub::protocol::native::{Codec, encode_push};
use hubbub::protocol::push::Push;
use hubbub::protocol::websocket::deflate::Deflater;
use hubbub::protocol::{sse, websocket};

use crate::samples::{BODY_BYTES, body, message};

/// As `websocket.deflate_level` is by default.
const DEFLATE_LEVEL: u32 = 2;

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for bytes in BODY_BYTES {
        let event = message(RoomId::generate(), bytes);
        let push = Push::from(&event);
        group.throughput(Throughput::Bytes(bytes as u64));
        for (name, codec) in [
            ("push as JSON", Codec::Json),
            ("push as MessagePack", Codec::MessagePack),
        ] {
            group.bench_function(BenchmarkId::new(name, bytes), |bencher| {
                bencher.iter(|| encode_push(codec, black_box(&push)));
            });
        }
        let frame = encode_push(Codec::Json, &push);
        group.bench_function(BenchmarkId::new("deflate a frame", bytes), |bencher| {
            let mut deflater = Deflater::new(DEFLATE_LEVEL);
            bencher.iter(|| deflater.deflate(black_box(&frame)));
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
