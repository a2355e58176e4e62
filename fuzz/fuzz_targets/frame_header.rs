//! Headers: what parses encodes to the same bytes, and no prefix of it parses or is refused.
#![no_main]

use everwire_proto::FrameHeader;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let result = FrameHeader::parse(data);
    match result {
        Ok(Some((header, len))) => {
            assert!(header.payload_len <= i64::MAX as u64);
            let mut out = Vec::new();
            header.encode(&mut out);
            assert_eq!(out, &data[..len]);
            for cut in 0..len {
                assert_eq!(FrameHeader::parse(&data[..cut]), Ok(None));
            }
        }
        Ok(None) => assert!(data.len() < 14),
        // An error stays the same error, however much more there is.
        Err(error) => {
            let longer = [data, &[0; 14]].concat();
            assert_eq!(FrameHeader::parse(&longer), Err(error));
        }
    }
});
