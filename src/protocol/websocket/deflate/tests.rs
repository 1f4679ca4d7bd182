use super::*;
use crate::protocol::websocket::decode::{Decoder, Input};
use crate::protocol::websocket::encode;
use proptest::prelude::*;

const MAX_BYTES: usize = 100_000;

fn deflated(opcode: Opcode, bytes: &[u8]) -> Deflated<'_> {
    Deflated { opcode, bytes }
}

/// Inflates a message of bytes with an inflater that has seen another one before.
fn inflate(bytes: &[u8], max_bytes: usize) -> Result<Vec<u8>, FrameError> {
    let mut inflater = Inflater::default();
    let hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    assert!(
        inflater
            .message(deflated(Opcode::Text, hello), MAX_BYTES)
            .is_ok()
    );
    match inflater.message(deflated(Opcode::Binary, bytes), max_bytes)? {
        Incoming::Binary(bytes) => Ok(bytes.to_vec()),
        other => panic!("{other:?}"),
    }
}

/// What a client sends: the stream without its last four bytes.
fn compressed(payload: &[u8], level: u32) -> Vec<u8> {
    let mut compress = Compress::new(Compression::new(level), false);
    let mut out = Vec::with_capacity(payload.len() + payload.len() / 8 + 64);
    compress
        .compress_vec(payload, &mut out, FlushCompress::Sync)
        .unwrap();
    assert!(out.ends_with(&FLUSHED));
    out.truncate(out.len() - FLUSHED.len());
    out
}

/// Takes one of our frames apart as a client does.
fn received(frame: &[u8]) -> (u8, Vec<u8>) {
    let start = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    let payload = &frame[start..];
    match frame[0] & 0x40 {
        0 => (frame[0], payload.to_vec()),
        _ => (frame[0] & !0x40, inflate(payload, usize::MAX).unwrap()),
    }
}

#[test]
fn the_examples_of_the_rfc() {
    let hello: &[(&str, &[u8])] = &[
        ("§7.2.3.1, a block", b"\xf2\x48\xcd\xc9\xc9\x07\x00"),
        (
            "§7.2.3.3, a block without compression",
            b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
        ),
        (
            "§7.2.3.4, a last block",
            b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
        ),
        (
            "§7.2.3.5, two blocks in a message",
            b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
        ),
    ];
    for (what, bytes) in hello {
        assert_eq!(inflate(bytes, 5), Ok(b"Hello".to_vec()), "{what}");
        let too_big = Err(FrameError::TooBig { max_bytes: 4 });
        assert_eq!(inflate(bytes, 4), too_big, "{what}");
    }
    // §7.2.3.2: what refers to the message before is not understood, as this was agreed on.
    let mut inflater = Inflater::default();
    inflater
        .message(
            deflated(Opcode::Text, b"\xf2\x48\xcd\xc9\xc9\x07\x00"),
            MAX_BYTES,
        )
        .unwrap();
    let second = deflated(Opcode::Text, b"\xf2\x00\x11\x00\x00");
    assert_eq!(
        inflater.message(second, MAX_BYTES),
        Err(FrameError::Deflate)
    );
    // §7.2.3.6: an empty message.
    assert_eq!(inflate(b"\x00", 0), Ok(Vec::new()));
}

#[test]
fn what_is_no_stream_is_refused() {
    for bytes in [
        &b""[..],
        b"\xff\xff\xff\xff",
        b"\x07",
        b"\xf2",
        b"\xf2\x48\xcd\xc9\xc9",
        // A block without compression whose length is not repeated.
        b"\x00\x05\x00\x00\x00Hello\x00",
        // One that ends too early.
        b"\x00\xff\x00\x00\xffHello",
        // What was to be taken away.
        b"\x01\x00\x00\xff\xff\x07",
    ] {
        assert_eq!(
            inflate(bytes, MAX_BYTES),
            Err(FrameError::Deflate),
            "{bytes:x?}"
        );
    }
    assert_eq!(FrameError::Deflate.disconnect().code(), 1007);
}

#[test]
fn a_message_that_was_cut_off_is_refused() {
    let text = "a message, a longer message, and one more that is longer still: \u{20ac}".repeat(9);
    for level in [1, 6] {
        let whole = compressed(text.as_bytes(), level);
        assert_eq!(inflate(&whole, MAX_BYTES), Ok(text.clone().into_bytes()));
        for cut in 0..whole.len() {
            let result = inflate(&whole[..cut], MAX_BYTES);
            assert_eq!(result, Err(FrameError::Deflate), "{cut}");
        }
    }
}

#[test]
fn text_is_checked_when_it_is_inflated() {
    let mut inflater = Inflater::default();
    for (text, good) in [
        (&b"\xe2\x82\xac"[..], true),
        (b"\xe2\x82", false),
        (b"\xed\xa0\x80", false),
    ] {
        let bytes = compressed(text, 6);
        let result = inflater.message(deflated(Opcode::Text, &bytes), MAX_BYTES);
        if good {
            assert_eq!(result, Ok(Incoming::Text("\u{20ac}")));
        } else {
            assert_eq!(result, Err(FrameError::InvalidUtf8));
        }
    }
}

#[test]
fn a_bomb_takes_no_more_than_the_limit() {
    let bomb = compressed(&vec![b' '; 64 << 20], 9);
    assert!(bomb.len() < 70_000, "{}", bomb.len());
    let mut inflater = Inflater::default();
    let result = inflater.message(deflated(Opcode::Binary, &bomb), MAX_BYTES);
    let too_big = FrameError::TooBig {
        max_bytes: MAX_BYTES,
    };
    assert_eq!(result, Err(too_big));
    assert!(inflater.out.capacity() <= 2 * MAX_BYTES);
    inflater.release();
    assert!(inflater.out.capacity() <= KEPT_BYTES);

    // At the limit, and a byte over it.
    let exact = compressed(&vec![b' '; MAX_BYTES], 9);
    assert_eq!(inflate(&exact, MAX_BYTES).map(|it| it.len()), Ok(MAX_BYTES));
    let over = compressed(&vec![b' '; MAX_BYTES + 1], 9);
    assert_eq!(inflate(&over, MAX_BYTES), Err(too_big));
}

#[test]
fn a_message_in_many_streams_or_many_blocks() {
    let mut streams = Vec::new();
    let mut blocks = Vec::new();
    let mut compress = Compress::new(Compression::new(6), false);
    for letter in b'a'..=b'z' {
        // A last block each.
        streams.extend([1, 1, 0, 0xfe, 0xff, letter]);
        let mut out = Vec::with_capacity(100);
        compress
            .compress_vec(&[letter], &mut out, FlushCompress::Sync)
            .unwrap();
        blocks.extend(out);
    }
    let alphabet = Ok((b'a'..=b'z').collect::<Vec<_>>());
    blocks.truncate(blocks.len() - FLUSHED.len());
    assert_eq!(inflate(&blocks, 26), alphabet);
    assert_eq!(inflate(&streams, 26), alphabet);
    streams.push(0);
    assert_eq!(inflate(&streams, 26), alphabet);
    streams.push(1);
    assert_eq!(inflate(&streams, 26), Err(FrameError::Deflate));
}

#[test]
fn the_streams_of_a_message_are_bounded() {
    // A last block without content takes two bytes, and each is a stream.
    let empty = |streams: usize| b"\x03\x00".repeat(streams);
    assert_eq!(inflate(&empty(STREAMS_MAX), 0), Ok(Vec::new()));
    let too_many = empty(STREAMS_MAX + 1);
    assert_eq!(inflate(&too_many, MAX_BYTES), Err(FrameError::Deflate));
}

#[test]
fn room_is_not_cleared_for_each_stream() {
    let mut inflater = Inflater::default();
    let long = compressed(&vec![b'x'; 60_000], 6);
    let long = deflated(Opcode::Binary, &long);
    assert!(inflater.message(long, MAX_BYTES).is_ok());
    inflater.release();
    let hello = b"\xf3\x48\xcd\xc9\xc9\x07\x00\x03\x00";
    let short = inflater.message(deflated(Opcode::Text, hello), MAX_BYTES);
    assert_eq!(short, Ok(Incoming::Text("Hello")));
    // What is beyond the message is as it was, but for what copying in large pieces touches.
    assert_eq!(inflater.out.len(), inflater.out.capacity());
    assert!(inflater.out[4096..60_000].iter().all(|it| *it == b'x'));
}

#[test]
fn a_frame_is_compressed_if_it_gets_shorter() {
    let mut deflater = Deflater::new(2);
    for size in [126, 1000, 65_535, 65_536, 1_000_000] {
        let text = "it never loses ".repeat(size / 15 + 1);
        let text = &text.as_bytes()[..size];
        for plain in [encode::text(text), encode::binary(text)] {
            let frame = deflater.deflate(&plain).unwrap();
            assert!(frame.len() < plain.len());
            assert_eq!(frame[0], plain[0] | 0x40);
            assert_eq!(received(&frame), (plain[0], text.to_vec()), "{size}");
        }
    }
    // Noise does not get shorter.
    let mut seed = 1u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed.to_be_bytes()[0]
    })
    .take(10_000)
    .collect();
    for payload in [&noise[..], b"short", b""] {
        assert_eq!(deflater.deflate(&encode::binary(payload)), None);
    }
    // Only messages are compressed, and no message twice.
    let ping = encode::ping(&[b'x'; 125]);
    assert_eq!(deflater.deflate(&ping), None);
    let once = deflater.deflate(&encode::binary(&[7; 1000])).unwrap();
    assert_eq!(deflater.deflate(&once), None);
}

/// A client's frames: a message in fragments, the first of them with RSV1.
fn fragments(opcode: u8, payload: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (payload.len() + 1)).collect();
    cuts.sort_unstable();
    cuts.push(payload.len());
    let (mut bytes, mut start) = (Vec::new(), 0);
    for (n, &end) in cuts.iter().enumerate() {
        let fin = if n + 1 == cuts.len() { 0x80 } else { 0 };
        bytes.push(fin | if n == 0 { 0x40 | opcode } else { 0 });
        let part = &payload[start..end];
        match u8::try_from(part.len()) {
            Ok(len) if len < 126 => bytes.push(0x80 | len),
            _ => {
                bytes.push(0xfe);
                bytes.extend(u16::try_from(part.len()).unwrap().to_be_bytes());
            }
        }
        bytes.extend([0; 4]);
        bytes.extend(part);
        start = end;
    }
    bytes
}

/// Decodes and inflates pieces.
fn decode(
    pieces: &[&[u8]],
    inflater: &mut Inflater,
    max_bytes: usize,
) -> Result<Vec<Vec<u8>>, FrameError> {
    let mut decoder = Decoder::with_deflate(max_bytes);
    let mut messages = Vec::new();
    for piece in pieces {
        let mut scratch = piece.to_vec();
        let mut input = Input::new(&mut scratch);
        while let Some(incoming) = decoder.next(&mut input)? {
            let incoming = match incoming {
                Incoming::Deflated(it) => inflater.message(it, max_bytes)?,
                other => other,
            };
            match incoming {
                Incoming::Text(text) => messages.push(text.as_bytes().to_vec()),
                Incoming::Binary(bytes) => messages.push(bytes.to_vec()),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(decoder.held_bytes(), 0);
    Ok(messages)
}

proptest! {
    #[test]
    fn what_goes_out_compressed_comes_in_the_same(
        text in "[a-e \u{e4}\u{1f600}]{0,400}",
        level in 1u32..=9,
        cuts in proptest::collection::vec(any::<usize>(), 0..4),
    ) {
        let plain = encode::text(text.as_bytes());
        if let Some(frame) = Deflater::new(level).deflate(&plain) {
            prop_assert!(frame.len() < plain.len());
            prop_assert_eq!(received(&frame), (0x81, text.clone().into_bytes()));
        }

        let mut inflater = Inflater::default();
        let frames = fragments(1, &compressed(text.as_bytes(), level), &cuts);
        // And after it an uncompressed one.
        let bytes = [&frames[..], &[0x82, 0x81, 0, 0, 0, 0, b'x']].concat();
        let expected = vec![text.clone().into_bytes(), b"x".to_vec()];
        let whole = decode(&[&bytes], &mut inflater, 2000);
        prop_assert_eq!(whole.as_ref(), Ok(&expected));
        let single: Vec<_> = bytes.chunks(1).collect();
        prop_assert_eq!(decode(&single, &mut inflater, 2000), Ok(expected));
    }

    #[test]
    fn any_bytes_inflate_to_no_more_than_the_limit_or_to_an_error(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        text in "[a-c]{0,200}",
        flip in any::<(prop::sample::Index, u8)>(),
    ) {
        let mut spoilt = compressed(text.as_bytes(), 6);
        let at = flip.0.index(spoilt.len());
        spoilt[at] ^= flip.1;
        let mut inflater = Inflater::default();
        for bytes in [bytes, spoilt] {
            if let Ok(Incoming::Binary(message)) =
                inflater.message(deflated(Opcode::Binary, &bytes), 100)
            {
                prop_assert!(message.len() <= 100);
            }
            prop_assert!(inflater.out.capacity() <= 200);
            // Nothing of it is left for the next one.
            let next = inflater.message(deflated(Opcode::Text, b"\xf2\x48\xcd\xc9\xc9\x07\x00"), 5);
            prop_assert_eq!(next, Ok(Incoming::Text("Hello")));
        }
    }
}
