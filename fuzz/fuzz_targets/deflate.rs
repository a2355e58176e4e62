//! Compressed messages with any payload, in both modes, whole and in pieces, however they are split.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| everwire_fuzz::deflate(data));
