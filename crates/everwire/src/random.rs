//! Unpredictable bytes: one ChaCha generator per thread, seeded by the system.

use std::cell::RefCell;

use rand_chacha::{
    ChaCha12Rng,
    rand_core::{Rng, SeedableRng},
};

thread_local! {
    static GENERATOR: RefCell<ChaCha12Rng> = RefCell::new(seeded());
}

fn seeded() -> ChaCha12Rng {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).expect("the system has a source of randomness");
    ChaCha12Rng::from_seed(seed)
}

/// Fills `bytes`.
pub(crate) fn fill(bytes: &mut [u8]) {
    GENERATOR.with_borrow_mut(|generator| generator.fill_bytes(bytes));
}

/// The source of masking keys of a client's connection; takes no memory.
pub(crate) fn source() -> Box<dyn everwire_proto::Random> {
    Box::new(fill as fn(&mut [u8]))
}

/// Returns a random byte.
pub(crate) fn byte() -> u8 {
    let mut byte = [0];
    fill(&mut byte);
    byte[0]
}
