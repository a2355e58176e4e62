//! Connections that agreed on compression, through everything an engine may do.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| everwire_fuzz::deflate_connection(data));
