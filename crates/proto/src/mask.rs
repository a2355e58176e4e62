//! Masking. See RFC 6455 §5.3.

/// XORs `payload` with the masking `key`, as if `offset` bytes of the same frame went before.
///
/// Masking twice gives the original. Works in 8-byte words, which the compiler vectorises.
#[inline]
pub fn apply_mask(payload: &mut [u8], key: [u8; 4], offset: usize) {
    let key = u32::from_ne_bytes(key);
    // Bring the key into the phase of the first byte.
    let shift = 8 * (offset % 4) as u32;
    let key = if cfg!(target_endian = "little") {
        key.rotate_right(shift)
    } else {
        key.rotate_left(shift)
    };
    let word = (u64::from(key) << 32) | u64::from(key);
    let mut words = payload.chunks_exact_mut(8);
    for chunk in &mut words {
        let bytes: [u8; 8] = (&*chunk).try_into().expect("chunks_exact_mut yields 8 bytes");
        chunk.copy_from_slice(&(u64::from_ne_bytes(bytes) ^ word).to_ne_bytes());
    }
    let word = word.to_ne_bytes();
    for (byte, key) in words.into_remainder().iter_mut().zip(word) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_definition_for_every_length_and_offset() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for len in 0..70 {
            for offset in 0..9 {
                let original: Vec<u8> = (0..len as u8).collect();
                let mut masked = original.clone();
                apply_mask(&mut masked, key, offset);
                let expected: Vec<u8> =
                    original.iter().enumerate().map(|(i, b)| b ^ key[(i + offset) % 4]).collect();
                assert_eq!(masked, expected, "len {len}, offset {offset}");
            }
        }
    }

    #[test]
    fn the_example_of_section_5_7_unmasks() {
        let mut payload = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
        apply_mask(&mut payload, [0x37, 0xfa, 0x21, 0x3d], 0);
        assert_eq!(&payload, b"Hello");
    }
}
