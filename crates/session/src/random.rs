//! Where random bytes come from.

/// A source of unpredictable bytes for ids and tokens.
///
/// This crate has none of its own; the engine supplies a cryptographically strong one, tests a
/// predictable one.
pub trait Random {
    /// Fills `bytes`.
    fn fill(&mut self, bytes: &mut [u8]);
}

impl<F: FnMut(&mut [u8])> Random for F {
    fn fill(&mut self, bytes: &mut [u8]) {
        self(bytes);
    }
}
