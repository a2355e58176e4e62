//! Where random bytes come from.

/// A source of unpredictable bytes for ids and tokens.
///
/// This crate has none of its own; the engine supplies a cryptographically strong one, tests a
/// predictable one.
///
/// # Examples
///
/// ```
/// use everwire_session::Random;
///
/// /// The same at each run, for a test.
/// struct Counting(u8);
///
/// impl Random for Counting {
///     fn fill(&mut self, bytes: &mut [u8]) {
///         bytes.fill_with(|| {
///             self.0 = self.0.wrapping_add(1);
///             self.0
///         });
///     }
/// }
/// ```
pub trait Random {
    /// Fills `bytes`.
    fn fill(&mut self, bytes: &mut [u8]);
}

impl<F: FnMut(&mut [u8])> Random for F {
    fn fill(&mut self, bytes: &mut [u8]) {
        self(bytes);
    }
}
