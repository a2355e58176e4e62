//! Incremental UTF-8 validation. See RFC 6455 §8.1.

/// Validates text that arrives in chunks cut anywhere, and fails at the first byte that no valid
/// continuation could follow.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Utf8Validator {
    /// The start of a character whose rest has not arrived.
    partial: [u8; 4],
    partial_len: u8,
}

/// Below this, text is looked at for ASCII first: for short text that is a few instructions, and
/// most of it is.
const SHORT: usize = 256;

/// Returns whether a whole text is UTF-8.
#[inline]
pub(crate) fn is_valid(text: &[u8]) -> bool {
    (text.len() < SHORT && text.is_ascii()) || simdutf8::basic::from_utf8(text).is_ok()
}

/// The text is not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidUtf8;

impl Utf8Validator {
    /// Checks the next chunk.
    pub(crate) fn push(&mut self, mut chunk: &[u8]) -> Result<(), InvalidUtf8> {
        while self.partial_len > 0 {
            let Some((&byte, rest)) = chunk.split_first() else { return Ok(()) };
            chunk = rest;
            self.partial[usize::from(self.partial_len)] = byte;
            self.partial_len += 1;
            match std::str::from_utf8(&self.partial[..usize::from(self.partial_len)]) {
                Ok(_) => self.partial_len = 0,
                Err(error) if error.error_len().is_some() => return Err(InvalidUtf8),
                // Still incomplete; after four bytes it is one of the other two.
                Err(_) => {}
            }
        }
        let Err(error) = simdutf8::compat::from_utf8(chunk) else { return Ok(()) };
        if error.error_len().is_some() {
            return Err(InvalidUtf8);
        }
        let tail = &chunk[error.valid_up_to()..];
        self.partial[..tail.len()].copy_from_slice(tail);
        self.partial_len = tail.len() as u8;
        Ok(())
    }

    /// Checks that the text does not end inside a character.
    pub(crate) fn finish(&self) -> Result<(), InvalidUtf8> {
        if self.partial_len == 0 { Ok(()) } else { Err(InvalidUtf8) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn validate(chunks: &[&[u8]]) -> Result<(), InvalidUtf8> {
        let mut validator = Utf8Validator::default();
        chunks.iter().try_for_each(|chunk| validator.push(chunk))?;
        validator.finish()
    }

    #[test]
    fn surrogates_and_values_above_10ffff_fail_at_the_second_byte() {
        for bad in [b"\xED\xA0".as_slice(), b"\xF4\x90", b"\xE0\x80", b"\xF8"] {
            let mut validator = Utf8Validator::default();
            assert_eq!(bad.iter().try_for_each(|b| validator.push(&[*b])), Err(InvalidUtf8));
        }
    }

    #[test]
    fn a_character_cut_short_fails_at_the_end() {
        assert_eq!(validate(&[b"\xE2\x82"]), Err(InvalidUtf8));
        assert_eq!(validate(&[b"\xE2", b"\x82", b"\xAC"]), Ok(()));
    }

    proptest! {
        #[test]
        fn agrees_with_std_however_it_is_cut(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..40),
                "\\PC{0,20}".prop_map(String::into_bytes),
            ],
            cuts in proptest::collection::vec(0usize..40, 0..5),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
            cuts.push(0);
            cuts.push(bytes.len());
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
            prop_assert_eq!(validate(&chunks).is_ok(), std::str::from_utf8(&bytes).is_ok());
        }
    }
}
