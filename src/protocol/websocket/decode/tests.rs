use super::*;
use proptest::prelude::*;

const MAX_BYTES: usize = 1000;

/// An [`Incoming`] that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Owned {
    Text(String),
    Binary(Vec<u8>),
    Deflated(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

impl From<Incoming<'_>> for Owned {
    fn from(incoming: Incoming<'_>) -> Self {
        match incoming {
            Incoming::Text(text) => Self::Text(text.into()),
            Incoming::Binary(bytes) => Self::Binary(bytes.into()),
            Incoming::Ping(bytes) => Self::Ping(bytes.into()),
            Incoming::Pong(bytes) => Self::Pong(bytes.into()),
            Incoming::Deflated(it) => Self::Deflated(it.bytes.into()),
            Incoming::Close(frame) => Self::Close(frame.map(|it| (it.code, it.reason.into()))),
        }
    }
}

fn client_frame(fin: bool, opcode: u8, mask: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![if fin { 0x80 } else { 0 } | opcode];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | u8::try_from(len).unwrap()),
        len @ 126..=0xffff => {
            frame.push(0xfe);
            frame.extend_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
        }
        len => {
            frame.push(0xff);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&mask);
    frame.extend(
        payload
            .iter()
            .enumerate()
            .map(|(i, byte)| byte ^ mask[i % 4]),
    );
    frame
}

fn frame(fin: bool, opcode: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    client_frame(fin, opcode, [0x37, 0xfa, 0x21, 0x3d], payload.as_ref())
}

/// Decodes pieces as a connection that never stops.
fn decode(pieces: &[&[u8]]) -> (Vec<Owned>, Result<Decoder, FrameError>) {
    let mut decoder = Decoder::new(MAX_BYTES);
    let mut out = Vec::new();
    for piece in pieces {
        let mut scratch = piece.to_vec();
        let mut input = Input::new(&mut scratch);
        loop {
            match decoder.next(&mut input) {
                Ok(Some(incoming)) => out.push(incoming.into()),
                Ok(None) => break,
                Err(error) => return (out, Err(error)),
            }
        }
        assert!(input.rest().is_empty());
    }
    (out, Ok(decoder))
}

/// Decodes pieces as a connection that stops after every message.
fn decode_stopping(pieces: &[&[u8]]) -> Result<Vec<Owned>, FrameError> {
    let mut decoder = Decoder::new(MAX_BYTES);
    let mut out = Vec::new();
    for piece in pieces {
        let mut scratch = piece.to_vec();
        let mut input = Input::new(&mut scratch);
        while let Some(incoming) = decoder.next(&mut input)? {
            out.push(incoming.into());
            decoder.stash(input);
            input = Input::empty();
        }
        assert!(!decoder.has_stashed());
    }
    Ok(out)
}

fn error(bytes: &[u8]) -> FrameError {
    decode(&[bytes]).1.unwrap_err()
}

#[test]
fn an_idle_decoder_is_small_and_holds_nothing() {
    assert!(size_of::<Decoder>() <= 24, "{}", size_of::<Decoder>());
    let hello = frame(true, 1, "hello");
    let (out, decoder) = decode(&[&hello[..3], &hello[3..]]);
    assert_eq!(out, [Owned::Text("hello".into())]);
    assert_eq!(decoder.unwrap().held_bytes(), 0);
}

#[test]
fn a_whole_frame_is_not_copied() {
    let mut scratch = frame(true, 2, "hello");
    let range = scratch.as_ptr_range();
    let mut decoder = Decoder::new(MAX_BYTES);
    let mut input = Input::new(&mut scratch);
    let Ok(Some(Incoming::Binary(bytes))) = decoder.next(&mut input) else {
        panic!("no message");
    };
    assert_eq!(bytes, b"hello");
    assert!(range.contains(&bytes.as_ptr()));
    assert_eq!(decoder.held_bytes(), 0);
}

#[test]
fn control_frames_may_stand_between_parts() {
    let bytes = [
        frame(false, 1, "Hel"),
        frame(true, 9, "a"),
        frame(false, 0, ""),
        frame(true, 10, "b"),
        frame(true, 0, "lo"),
        frame(true, 8, b"\x03\xe8bye"),
        frame(true, 1, "after the end"),
    ]
    .concat();
    let (out, decoder) = decode(&[&bytes]);
    let expected = [
        Owned::Ping(b"a".into()),
        Owned::Pong(b"b".into()),
        Owned::Text("Hello".into()),
        Owned::Close(Some((1000, "bye".into()))),
    ];
    assert_eq!(out, expected);
    assert_eq!(decoder.unwrap().held_bytes(), 0);
    assert_eq!(decode_stopping(&[&bytes]).unwrap(), expected);
}

#[test]
fn what_breaks_the_rfc_is_refused() {
    let two_messages = [frame(false, 1, "a"), frame(true, 1, "b")].concat();
    for (bytes, expected) in [
        (frame(true, 0, "a"), FrameError::UnexpectedContinuation),
        (two_messages, FrameError::ExpectedContinuation),
        (frame(true, 3, ""), FrameError::ReservedOpcode(3)),
        (frame(false, 9, ""), FrameError::FragmentedControl),
        (frame(true, 9, [0; 126]), FrameError::LongControl),
        (frame(true, 8, [0]), FrameError::Close),
        (frame(true, 8, 1005u16.to_be_bytes()), FrameError::Close),
        (frame(true, 8, b"\x03\xe8\xff"), FrameError::InvalidUtf8),
        (frame(true, 1, b"\xff"), FrameError::InvalidUtf8),
        (frame(true, 1, b"\xe2\x82"), FrameError::InvalidUtf8),
        (vec![0x81, 0x01, b'a'], FrameError::Unmasked),
        (vec![0xc1, 0x80], FrameError::ReservedBits),
    ] {
        assert_eq!(error(&bytes), expected, "{bytes:x?}");
    }
    assert_eq!(FrameError::Unmasked.disconnect().code(), 1002);
    assert_eq!(FrameError::InvalidUtf8.disconnect().code(), 1007);
    assert_eq!(
        FrameError::TooBig { max_bytes: 1 }.disconnect().code(),
        1009
    );
}

#[test]
fn after_an_error_there_is_nothing() {
    let mut decoder = Decoder::new(MAX_BYTES);
    let mut scratch = [frame(true, 0, "a"), frame(true, 1, "b")].concat();
    let mut input = Input::new(&mut scratch);
    assert!(decoder.next(&mut input).is_err());
    assert_eq!(decoder.next(&mut input), Ok(None));
    assert!(input.rest().is_empty());
}

#[test]
fn text_fails_with_the_part_that_makes_it_wrong() {
    let half = frame(false, 1, b"ok \xed");
    let wrong = frame(false, 0, b"\xa0");
    assert!(decode(&[&half]).1.is_ok());
    assert_eq!(error(&[half, wrong].concat()), FrameError::InvalidUtf8);
    // And within one frame that has not ended.
    let frame = frame(true, 1, b"\xff and more");
    assert_eq!(error(&frame[..8]), FrameError::InvalidUtf8);
}

#[test]
fn characters_may_be_cut_by_frames() {
    let bytes = [frame(false, 1, b"\xe2"), frame(true, 0, b"\x82\xac")].concat();
    assert_eq!(decode(&[&bytes]).0, [Owned::Text("€".into())]);
    let cut = [frame(false, 1, b"\xe2"), frame(true, 0, b"\x82")].concat();
    assert_eq!(error(&cut), FrameError::InvalidUtf8);
}

#[test]
fn the_limit_is_judged_by_the_header_alone() {
    let too_big = FrameError::TooBig {
        max_bytes: MAX_BYTES,
    };
    assert!(decode(&[&frame(true, 2, [0; MAX_BYTES])]).1.is_ok());
    assert_eq!(error(&frame(true, 2, [0; MAX_BYTES + 1])[..8]), too_big);
    let huge = [
        0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0,
    ];
    assert_eq!(error(&huge), too_big);
    let parts = [frame(false, 2, [0; 600]), frame(true, 0, [0; 401])].concat();
    assert_eq!(error(&parts[..parts.len() - 401]), too_big);
}

#[test]
fn a_promise_takes_no_memory() {
    let mut decoder = Decoder::new(1_000_000);
    let mut scratch = frame(true, 2, vec![0; 900_000]);
    for (read, at_most) in [
        (14, 300),
        (1000, 5_000),
        (100_000, 105_000),
        (900_013, 901_000),
    ] {
        let mut decoder = Decoder::new(1_000_000);
        let mut copy = scratch[..read].to_vec();
        let mut input = Input::new(&mut copy);
        assert_eq!(decoder.next(&mut input), Ok(None));
        assert!(
            decoder.held_bytes() <= at_most,
            "{} after {read}",
            decoder.held_bytes()
        );
    }
    // Read by read, it never takes more than the message will be.
    let mut most = 0;
    for piece in scratch.chunks_mut(1000) {
        let mut input = Input::new(piece);
        while decoder.next(&mut input).unwrap().is_some() {}
        most = most.max(decoder.held_bytes());
    }
    assert!((800_000..=901_000).contains(&most), "{most}");
    assert_eq!(decoder.held_bytes(), 0);
}

#[test]
fn empty_messages() {
    let bytes = [frame(true, 1, ""), frame(true, 2, ""), frame(true, 8, "")].concat();
    let expected = [
        Owned::Text(String::new()),
        Owned::Binary(Vec::new()),
        Owned::Close(None),
    ];
    for cut in 0..bytes.len() {
        let (out, _) = decode(&[&bytes[..cut], &bytes[cut..]]);
        assert_eq!(out, expected, "{cut}");
    }
}

/// A good conversation: messages in fragments, with control frames anywhere.
fn conversation() -> impl Strategy<Value = (Vec<u8>, Vec<Owned>)> {
    let message = (
        prop_oneof![
            ".{0,90}".prop_map(Owned::Text),
            proptest::collection::vec(any::<u8>(), 0..300).prop_map(Owned::Binary),
            proptest::collection::vec(any::<u8>(), 0..=125).prop_map(Owned::Ping),
            proptest::collection::vec(any::<u8>(), 0..=125).prop_map(Owned::Pong),
        ],
        proptest::collection::vec(0usize..300, 0..4),
        any::<[u8; 4]>(),
        any::<bool>(),
    );
    proptest::collection::vec(message, 0..6).prop_map(|messages| {
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for (message, cuts, mask, pings) in messages {
            let (opcode, payload) = match &message {
                Owned::Text(text) => (1, text.as_bytes()),
                Owned::Binary(payload) | Owned::Deflated(payload) => (2, payload.as_slice()),
                Owned::Ping(payload) => (9, payload.as_slice()),
                Owned::Pong(payload) => (10, payload.as_slice()),
                Owned::Close(_) => (8, &[][..]),
            };
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(payload.len())).collect();
            if opcode >= 8 {
                cuts.clear();
            }
            cuts.sort_unstable();
            cuts.push(payload.len());
            let mut start = 0;
            for (i, &end) in cuts.iter().enumerate() {
                let (first, last) = (i == 0, i + 1 == cuts.len());
                let opcode = if first { opcode } else { 0 };
                bytes.extend(client_frame(last, opcode, mask, &payload[start..end]));
                start = end;
                if pings && !last {
                    bytes.extend(client_frame(true, 9, mask, b"?"));
                    expected.push(Owned::Ping(b"?".into()));
                }
            }
            expected.push(message);
        }
        (bytes, expected)
    })
}

proptest! {
    #[test]
    fn cut_anywhere_it_is_the_same((bytes, expected) in conversation()) {
        let (out, decoder) = decode(&[&bytes]);
        prop_assert_eq!(&out, &expected);
        prop_assert_eq!(decoder.unwrap().held_bytes(), 0);
        prop_assert_eq!(&decode_stopping(&[&bytes]).unwrap(), &expected);
        for cut in 0..bytes.len() {
            let pieces = [&bytes[..cut], &bytes[cut..]];
            prop_assert_eq!(&decode(&pieces).0, &expected);
            prop_assert_eq!(&decode_stopping(&pieces).unwrap(), &expected);
        }
        let single: Vec<_> = bytes.chunks(1).collect();
        let (out, decoder) = decode(&single);
        prop_assert_eq!(&out, &expected);
        prop_assert_eq!(decoder.unwrap().held_bytes(), 0);
    }

    #[test]
    fn any_bytes_end_in_messages_or_an_error(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        good in conversation(),
        flip in any::<(prop::sample::Index, u8)>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut spoilt = good.0;
        if !spoilt.is_empty() {
            let at = flip.0.index(spoilt.len());
            spoilt[at] ^= flip.1;
        }
        for bytes in [bytes, spoilt] {
            // The same messages, and the same error, however it is cut.
            let (whole, result) = decode(&[&bytes]);
            if let Ok(decoder) = &result {
                prop_assert!(decoder.held_bytes() <= MAX_BYTES + 400);
            }
            let cut = cut.index(bytes.len() + 1);
            let (parts, parts_result) = decode(&[&bytes[..cut], &bytes[cut..]]);
            prop_assert_eq!(whole, parts);
            prop_assert_eq!(result.err(), parts_result.err());
        }
    }
}
