//! Both ends of a session, through everything an engine and a peer may do.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| everwire_testkit::session::walk_session(data));
