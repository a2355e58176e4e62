//! Heads of both roles: reading is the same however the bytes are split, what is read verifies or is
//! refused with a status, and an accepted request is answered by a response that our client accepts
//! or refuses without a panic.
#![no_main]

use everwire_proto::handshake::{
    AcceptOptions, ClientHandshake, ClientRequest, HandshakeError, HeadLimits, HeadReader,
    ServerHandshake, encode_response_head, parse_request, parse_response,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let limits = HeadLimits { bytes: 2048, headers: 20 };
    let whole = parse_request(data, &limits);
    check_split(data, &limits, whole.as_ref().map(|head| head.as_ref().map(|(_, len)| *len)).ok());
    if let Ok(Some((request, len))) = whole {
        assert!(len <= data.len() && len <= limits.bytes);
        match ServerHandshake::verify(&request) {
            Ok(handshake) => {
                let response = handshake.accept(AcceptOptions::default()).expect("nothing was asked for");
                let mut bytes = Vec::new();
                encode_response_head(&response, &mut bytes);
                let read = parse_response(&bytes, &limits).expect("we wrote it");
                assert_eq!(read.expect("it is whole").1, bytes.len());
            }
            Err(error) => check_refusal(&error),
        }
    } else if let Err(error) = whole {
        check_refusal(&HandshakeError::from(error));
    }
    if let Ok(Some((response, _))) = parse_response(data, &limits) {
        let request = ClientRequest::new("ws://localhost/").expect("it is a URL");
        let client = ClientHandshake::new(&request, [7; 16]).expect("it is a request");
        let _ = client.verify(&response);
    }
});

/// A head that comes byte by byte ends where it ends in one piece, and fails if it fails.
fn check_split(data: &[u8], limits: &HeadLimits, whole: Option<Option<usize>>) {
    let mut reader = HeadReader::new(*limits);
    let end = data.len().min(limits.bytes + 1);
    for n in 1..=end {
        match reader.request(&data[..n]) {
            Ok(Some((_, len))) => return assert_eq!(whole, Some(Some(len))),
            Ok(None) => {}
            Err(_) => return assert_eq!(whole, None),
        }
    }
    assert_eq!(whole.flatten(), None);
}

fn check_refusal(error: &HandshakeError) {
    let response = error.response();
    assert!(response.status().is_client_error() || response.status().is_server_error());
    assert!(!error.to_string().is_empty());
}
