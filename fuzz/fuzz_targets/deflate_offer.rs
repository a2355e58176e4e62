//! Offers of compression and answers to them, with any text.
#![no_main]

use everwire_proto::{
    DeflateConfig, DeflateMode,
    handshake::{Agreed, Extension},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(list) = Extension::parse_list(text) else { return };
    for mode in [DeflateMode::Shared, DeflateMode::Dedicated] {
        let config = DeflateConfig::new(mode);
        if let Some((answer, params)) = config.accept(&list) {
            assert_eq!(Extension::parse_list(&answer.to_string()), Ok(vec![answer.clone()]));
            assert!((8..=15).contains(&params.send_window_bits));
            assert!((8..=15).contains(&params.recv_window_bits));
        }
        let mut agreed = Agreed::default();
        agreed.extensions.clone_from(&list);
        let _ = config.agree(&agreed);
    }
});
