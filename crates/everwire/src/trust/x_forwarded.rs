//! `X-Forwarded-For`, `X-Forwarded-Host` and `X-Forwarded-Proto`: no standard, but what most proxies write.

use std::net::SocketAddr;

use http::HeaderMap;

use super::TrustedProxies;
use super::client_info::{ClientInfo, ForwardedProto, parse_host, parse_node, walk};

pub(super) const FOR: &str = "x-forwarded-for";
const HOST: &str = "x-forwarded-host";
const PROTO: &str = "x-forwarded-proto";

/// Finds the client of a request that a trusted `peer` passed on.
///
/// Host and protocol are lists too, if every proxy appends. When they are as long as the list of addresses, the
/// entry beside the client counts; otherwise the rightmost, which the nearest proxy wrote.
pub(super) fn client_info(
    proxies: &TrustedProxies,
    peer: SocketAddr,
    headers: &HeaderMap,
) -> ClientInfo {
    let addrs = entries(headers, FOR);
    let (mut client, taken) =
        walk(proxies, peer, addrs.iter().rev().map(|entry| parse_node(entry)));
    let beside = |name| {
        let entries = entries(headers, name);
        let from_right = if entries.len() == addrs.len() { taken.max(1) } else { 1 };
        entries.len().checked_sub(from_right).map(|idx| entries[idx])
    };
    client.host = beside(HOST).and_then(parse_host);
    client.proto = beside(PROTO).and_then(ForwardedProto::parse);
    client
}

/// Returns the entries of all lines of a header, left to right. An entry that is not text means nothing, and
/// does not spoil its neighbours: a client must not be able to hide what a proxy appended.
fn entries<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let lines = headers.get_all(name).iter().map(http::HeaderValue::as_bytes);
    let entries = lines.flat_map(|line| line.split(|byte| *byte == b','));
    entries.map(|entry| str::from_utf8(entry).unwrap_or("").trim()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(lines: &[(&'static str, &str)]) -> ClientInfo {
        let proxies = TrustedProxies::parse(["10.0.0.0/8"]).unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        client_info(&proxies, "10.0.0.1:99".parse().unwrap(), &headers)
    }

    #[track_caller]
    fn check(value: &str, expected: &str, port: Option<u16>) {
        let info = run(&[(FOR, value)]);
        assert_eq!((info.addr.to_string().as_str(), info.port), (expected, port));
    }

    #[test]
    fn trusted_hops_are_skipped_from_the_right() {
        check("203.0.113.7", "203.0.113.7", None);
        check("6.6.6.6, 203.0.113.7, 10.2.2.2", "203.0.113.7", None);
        check("203.0.113.7:4711,10.2.2.2:80", "203.0.113.7", Some(4711));
        check("[2001:db8::1]:5", "2001:db8::1", Some(5));
    }

    #[test]
    fn if_every_hop_is_trusted_the_leftmost_is_the_client() {
        check("10.3.3.3, 10.2.2.2", "10.3.3.3", None);
    }

    #[test]
    fn a_malformed_hop_ends_the_walk_at_the_last_good_one() {
        check("6.6.6.6, junk, 10.2.2.2", "10.2.2.2", None);
        check("6.6.6.6, unknown", "10.0.0.1", Some(99));
        check("6.6.6.6,", "10.0.0.1", Some(99));
        check("6.6.6.6, \u{fc}", "10.0.0.1", Some(99));
        check("junk, 203.0.113.7", "203.0.113.7", None);
        check("\u{fc}, 203.0.113.7", "203.0.113.7", None);
    }

    #[test]
    fn bytes_that_are_not_text_do_not_hide_the_next_entry() {
        let proxies = TrustedProxies::parse(["10.0.0.1"]).unwrap();
        let value = http::HeaderValue::from_bytes(b"\xff\xfe, 203.0.113.7").unwrap();
        let headers = HeaderMap::from_iter([(http::HeaderName::from_static(FOR), value)]);
        let info = client_info(&proxies, "10.0.0.1:99".parse().unwrap(), &headers);
        assert_eq!(info.addr.to_string(), "203.0.113.7");
    }

    #[test]
    fn several_lines_are_one_list() {
        let info = run(&[(FOR, "6.6.6.6"), (FOR, "203.0.113.7"), (FOR, "10.2.2.2")]);
        assert_eq!(info.addr.to_string(), "203.0.113.7");
    }

    #[test]
    fn host_and_proto_stand_beside_the_client_if_every_proxy_appends() {
        let lines = [
            (FOR, "6.6.6.6, 1.1.1.1, 10.2.2.2"),
            (PROTO, "http, https, http"),
            (HOST, "evil, a.test, b.test"),
        ];
        let info = run(&lines);
        assert_eq!(
            (info.host.as_deref(), info.proto),
            (Some("a.test"), Some(ForwardedProto::Https))
        );
    }

    #[test]
    fn otherwise_the_nearest_proxy_has_the_word() {
        let info = run(&[(FOR, "1.1.1.1, 10.2.2.2"), (PROTO, "WSS"), (HOST, "x, y, a.test:8443")]);
        assert_eq!(
            (info.host.as_deref(), info.proto),
            (Some("a.test:8443"), Some(ForwardedProto::Https))
        );
        let info = run(&[(PROTO, "http")]);
        assert_eq!(
            (info.addr.to_string().as_str(), info.proto),
            ("10.0.0.1", Some(ForwardedProto::Http))
        );
    }

    #[test]
    fn hosts_and_protocols_that_are_none_are_ignored() {
        let info = run(&[(FOR, "1.1.1.1"), (PROTO, "gopher"), (HOST, "a b")]);
        assert_eq!((info.host, info.proto), (None, None));
    }
}
