//! Masking, RFC 6455 §5.3.

/// Unmasks (or masks) in place, eight bytes at a time.
pub(super) fn apply(mask: [u8; 4], bytes: &mut [u8]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, tail) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

/// The mask for what follows `done` bytes that were unmasked with `mask`.
pub(super) fn after(mut mask: [u8; 4], done: usize) -> [u8; 4] {
    mask.rotate_left(done % 4);
    mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn in_parts_it_is_the_same_as_byte_by_byte(
            mask: [u8; 4],
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
            cut in 0usize..100,
        ) {
            let expected: Vec<u8> =
                bytes.iter().enumerate().map(|(i, byte)| byte ^ mask[i % 4]).collect();
            let mut whole = bytes.clone();
            apply(mask, &mut whole);
            prop_assert_eq!(&whole, &expected);

            let mut parts = bytes;
            let cut = cut.min(parts.len());
            let (head, tail) = parts.split_at_mut(cut);
            apply(mask, head);
            apply(after(mask, cut), tail);
            prop_assert_eq!(&parts, &expected);
        }
    }
}
