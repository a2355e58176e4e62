//! A server's end, through everything an engine may do.
#![no_main]

use everwire_proto::Role;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| everwire_fuzz::connection(Role::Server, data));
