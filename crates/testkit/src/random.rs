//! Predictable randomness.

use everwire_proto::Random;

/// A small generator whose numbers depend on its seed alone (SplitMix64).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// Returns a generator for this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Returns a number below `n`, which must not be zero.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next_u64() % n as u64) as usize
    }
}

impl Random for Rng {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.next_u64() as u8;
        }
    }
}

impl everwire_session::Random for Rng {
    fn fill(&mut self, bytes: &mut [u8]) {
        Random::fill(self, bytes);
    }
}

/// Returns a predictable source of masking keys for a client.
///
/// The first byte it gives, which spreads the keepalive, is 0: no spread.
#[must_use]
pub fn keys(seed: u64) -> Box<dyn Random> {
    let mut rng = Rng::new(seed);
    let mut spread_given = false;
    Box::new(move |bytes: &mut [u8]| {
        if spread_given {
            rng.fill(bytes);
        } else {
            bytes.fill(0);
            spread_given = true;
        }
    })
}
