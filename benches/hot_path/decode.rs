//! What was read to requests and events.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use hubbub::bus::envelope::Payload;
use hubbub::protocol::event::{EventBody, EventKind};
use hubbub::protocol::id::RoomId;
use hubbub::protocol::native::request::{decode_packed_request, decode_request};
use hubbub::protocol::websocket::decode::{Decoder, Input};
use serde_json::json;

use crate::samples::{BODY_BYTES, body, message};

/// The limit of a message, bytes.
const MAX_BYTES: usize = 65_536;

/// Frames in one read.
const FRAMES: usize = 8;

/// A text frame of a client.
fn frame(text: &str) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![0x81];
    match u8::try_from(text.len()) {
        Ok(length) if length < 126 => frame.push(0x80 | length),
        _ => {
            let length = u16::try_from(text.len()).expect("a short sample");
            frame.push(0xfe);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(text.bytes().zip(mask.iter().cycle()).map(|(a, b)| a ^ b));
    frame
}

fn count(decoder: &mut Decoder, bytes: &mut [u8]) -> usize {
    let mut input = Input::new(bytes);
    let mut messages = 0;
    while decoder.next(&mut input).expect("good frames").is_some() {
        messages += 1;
    }
    messages
}

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for bytes in BODY_BYTES {
        let request = json!({
            "id": 2, "cmd": "publish", "room": "general", "body": body(bytes), "client_id": "c1",
        });
        let packed = rmp_serde::to_vec_named(&request).expect("a request");
        let request = request.to_string();
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::new("request in JSON", bytes), |bencher| {
            bencher.iter(|| decode_request(black_box(&request), MAX_BYTES));
        });

        group.bench_function(
            BenchmarkId::new("request in MessagePack", bytes),
            |bencher| {
                bencher.iter(|| decode_packed_request(black_box(&packed), MAX_BYTES));
            },
        );

        let event = message(RoomId::generate(), bytes);
        let logged = event.body.to_log().expect("a message");
        group.bench_function(BenchmarkId::new("event of the log", bytes), |bencher| {
            let kind = EventKind::Message as i16;
            bencher.iter(|| EventBody::from_log(kind, Some(30), None, black_box(&logged)));
        });
        let (room_id, payload) = (event.room_id, Payload::Events(vec![event]).encode());
        let payload = payload.expect("a message");
        group.bench_function(BenchmarkId::new("event from the bus", bytes), |bencher| {
            bencher.iter(|| Payload::decode(room_id, black_box(&payload)));
        });

        let frames = frame(&request).repeat(FRAMES);
        let frame_bytes = frames.len() / FRAMES;
        group.throughput(Throughput::Bytes(frames.len() as u64));
        group.bench_function(BenchmarkId::new("8 frames in one read", bytes), |bencher| {
            let mut decoder = Decoder::new(MAX_BYTES);
            bencher.iter_batched_ref(
                || frames.clone(),
                |read| assert_eq!(count(&mut decoder, read), FRAMES),
                BatchSize::SmallInput,
            );
        });
        group.bench_function(
            BenchmarkId::new("8 frames, each cut in two", bytes),
            |bencher| {
                let mut decoder = Decoder::new(MAX_BYTES);
                bencher.iter_batched_ref(
                    || frames.clone(),
                    |read| {
                        let (first, rest) = read.split_at_mut(frame_bytes / 2);
                        let mut messages = count(&mut decoder, first);
                        messages += rest
                            .chunks_mut(frame_bytes)
                            .map(|part| count(&mut decoder, part))
                            .sum::<usize>();
                        assert_eq!(messages, FRAMES);
                    },
                    BatchSize::SmallInput,
                );
            },
        );
    }
    group.finish();
}
