//! Version 2, binary: a signature, version and command, family, length, addresses, TLVs. See §2.2.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{ProxiedAddrs, ProxyHeader, ProxyParse, ProxyProtocolError, malformed};

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and protocol, length.
pub(super) const FIXED_LEN: usize = 16;
/// The fixed part, and 520 bytes for addresses (216 at most) and TLVs.
pub(super) const MAX_LEN: usize = FIXED_LEN + 520;

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

pub(super) fn parse(buf: &[u8]) -> Result<ProxyParse, ProxyProtocolError> {
    let Some((fixed, rest)) = buf.split_at_checked(FIXED_LEN) else {
        return Ok(ProxyParse::Incomplete { missing: FIXED_LEN - buf.len() });
    };
    let (command, family) = (fixed[12], fixed[13]);
    let body_len = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    let len = FIXED_LEN + body_len;
    if !matches!(command, LOCAL | PROXY) {
        return malformed("expected version 2 with the command LOCAL or PROXY");
    }
    if len > MAX_LEN {
        return Err(ProxyProtocolError::TooLong { len, limit: MAX_LEN });
    }
    let Some(body) = rest.get(..body_len) else {
        return Ok(ProxyParse::Incomplete { missing: body_len - rest.len() });
    };
    // §2.2: for LOCAL, the receiver must ignore the rest, family included.
    let addrs = if command == LOCAL { None } else { parse_addrs(family, body)? };
    Ok(ProxyParse::Done(ProxyHeader { len, addrs }))
}

fn parse_addrs(family: u8, body: &[u8]) -> Result<Option<ProxiedAddrs>, ProxyProtocolError> {
    match family {
        // UNSPEC.
        0x00 => Ok(None),
        // TCP or UDP over IPv4.
        0x11 | 0x12 => match body.first_chunk::<12>() {
            Some(&[a, b, c, d, e, f, g, h, ref ports @ ..]) => {
                let (src_port, dst_port) = split_ports(*ports);
                let src = SocketAddr::from((Ipv4Addr::new(a, b, c, d), src_port));
                let dst = SocketAddr::from((Ipv4Addr::new(e, f, g, h), dst_port));
                Ok(Some(ProxiedAddrs { src, dst }))
            }
            None => malformed("too short for two IPv4 addresses"),
        },
        // TCP or UDP over IPv6.
        0x21 | 0x22 => {
            let parts = body.split_first_chunk::<16>().and_then(|(src, rest)| {
                let (dst, rest) = rest.split_first_chunk::<16>()?;
                Some((src, dst, rest.first_chunk::<4>()?))
            });
            let Some((src, dst, ports)) = parts else {
                return malformed("too short for two IPv6 addresses");
            };
            let (src_port, dst_port) = split_ports(*ports);
            let src = SocketAddr::from((Ipv6Addr::from(*src), src_port));
            let dst = SocketAddr::from((Ipv6Addr::from(*dst), dst_port));
            Ok(Some(ProxiedAddrs { src, dst }))
        }
        // Unix sockets: 108 bytes for each path, which name no client.
        0x31 | 0x32 if body.len() >= 216 => Ok(None),
        0x31 | 0x32 => malformed("too short for two unix addresses"),
        _ => malformed("unassigned address family or protocol"),
    }
}

fn split_ports([a, b, c, d]: [u8; 4]) -> (u16, u16) {
    (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, check_err};
    use super::*;

    fn header(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut header = SIGNATURE.to_vec();
        header.extend([command, family]);
        header.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        header.extend(body);
        header
    }

    const V4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 1, 0x12, 0x67, 1, 187];

    #[tokio::test]
    async fn ipv4_is_understood_and_tlvs_are_skipped() {
        let expected = Some(("192.0.2.1:4711", "198.51.100.1:443"));
        check(&header(PROXY, 0x11, &V4), expected).await;
        let with_tlv = [&V4[..], &[0x04, 0, 3, 0, 0, 0]].concat();
        check(&header(PROXY, 0x12, &with_tlv), expected).await;
    }

    #[tokio::test]
    async fn ipv6_is_understood() {
        let mut body = Vec::new();
        body.extend("2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
        body.extend("2001:db8::2".parse::<Ipv6Addr>().unwrap().octets());
        body.extend([0, 80, 1, 187]);
        check(&header(PROXY, 0x21, &body), Some(("[2001:db8::1]:80", "[2001:db8::2]:443"))).await;
    }

    #[tokio::test]
    async fn local_unspec_and_unix_have_no_addresses() {
        check(&header(LOCAL, 0x00, &[]), None).await;
        check(&header(LOCAL, 0x11, &V4), None).await;
        check(&header(LOCAL, 0xff, &[1, 2, 3]), None).await;
        check(&header(PROXY, 0x00, &[1, 2, 3]), None).await;
        check(&header(PROXY, 0x31, &[0; 216]), None).await;
        check(
            &header(PROXY, 0x11, &[&V4[..], &[0; 508]].concat()),
            Some(("192.0.2.1:4711", "198.51.100.1:443")),
        )
        .await;
    }

    #[test]
    fn headers_that_are_not_well_formed_are_refused() {
        for (header, problem) in [
            (header(0x11, 0x11, &V4), "expected version 2 with the command LOCAL or PROXY"),
            (header(0x22, 0x11, &V4), "expected version 2 with the command LOCAL or PROXY"),
            (header(PROXY, 0x11, &V4[..11]), "too short for two IPv4 addresses"),
            (header(PROXY, 0x21, &[0; 35]), "too short for two IPv6 addresses"),
            (header(PROXY, 0x31, &[0; 215]), "too short for two unix addresses"),
            (header(PROXY, 0x41, &V4), "unassigned address family or protocol"),
            (header(PROXY, 0x13, &V4), "unassigned address family or protocol"),
        ] {
            check_err(&header, &format!("malformed PROXY protocol header: {problem}"));
        }
    }

    #[test]
    fn the_limit_is_checked_before_the_body_arrives() {
        let header = header(PROXY, 0x11, &[0; 521]);
        check_err(&header[..16], "PROXY protocol header of 537 bytes exceeds the limit of 536");
    }
}
