//! Version 1, a line of text: `PROXY TCP4 192.0.2.1 198.51.100.1 4711 443` CR LF. See §2.1.

use std::net::{IpAddr, SocketAddr};

use super::{ProxiedAddrs, ProxyHeader, ProxyParse, ProxyProtocolError, malformed};

pub(super) const PREFIX: &[u8] = b"PROXY ";
/// §2.1: "a 108-byte buffer is always enough to store all the line and a trailing zero".
const MAX_LEN: usize = 107;
/// `PROXY UNKNOWN` CR LF.
pub(super) const MIN_LEN: usize = 15;

pub(super) fn parse(buf: &[u8]) -> Result<ProxyParse, ProxyProtocolError> {
    let head = &buf[..buf.len().min(MAX_LEN)];
    match head.windows(2).position(|pair| pair == b"\r\n") {
        Some(end) => Ok(ProxyParse::Done(ProxyHeader {
            len: end + 2,
            addrs: parse_line(&head[PREFIX.len()..end])?,
        })),
        None if head.len() == MAX_LEN => {
            Err(ProxyProtocolError::TooLong { len: buf.len(), limit: MAX_LEN })
        }
        // Below the shortest line more can be asked for; after that, any byte may be the last one.
        None => Ok(ProxyParse::Incomplete { missing: MIN_LEN.saturating_sub(head.len()).max(1) }),
    }
}

fn parse_line(line: &[u8]) -> Result<Option<ProxiedAddrs>, ProxyProtocolError> {
    let Ok(line) = std::str::from_utf8(line) else {
        return malformed("not text");
    };
    let mut words = line.split(' ');
    let is_ipv6 = match words.next() {
        // §2.1: what follows UNKNOWN is to be ignored.
        Some("UNKNOWN") => return Ok(None),
        Some("TCP4") => false,
        Some("TCP6") => true,
        _ => return malformed("expected TCP4, TCP6 or UNKNOWN"),
    };
    let mut addr = || {
        words
            .next()
            .and_then(|word| word.parse().ok())
            .filter(|ip: &IpAddr| ip.is_ipv6() == is_ipv6)
    };
    let (Some(src), Some(dst)) = (addr(), addr()) else {
        return malformed("expected two addresses of its family");
    };
    let mut port = || words.next().and_then(parse_port);
    let (Some(src_port), Some(dst_port)) = (port(), port()) else {
        return malformed("expected two ports");
    };
    if words.next().is_some() {
        return malformed("text after the ports");
    }
    Ok(Some(ProxiedAddrs {
        src: SocketAddr::new(src, src_port),
        dst: SocketAddr::new(dst, dst_port),
    }))
}

fn parse_port(word: &str) -> Option<u16> {
    // The parser of the standard library would take a plus sign.
    word.parse().ok().filter(|_| word.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, check_err};

    #[tokio::test]
    async fn both_families_are_understood() {
        let line = b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n";
        check(line, Some(("192.0.2.1:4711", "198.51.100.1:443"))).await;
        let line = b"PROXY TCP6 2001:db8::1 2001:db8::2 0 65535\r\n";
        check(line, Some(("[2001:db8::1]:0", "[2001:db8::2]:65535"))).await;
    }

    #[tokio::test]
    async fn unknown_has_no_addresses() {
        check(b"PROXY UNKNOWN\r\n", None).await;
        check(b"PROXY UNKNOWN ffff::1 whatever \xc3\xbc\r\n", None).await;
    }

    #[test]
    fn lines_that_are_not_well_formed_are_refused() {
        for (line, problem) in [
            ("UDP4 1.1.1.1 2.2.2.2 1 2", "expected TCP4, TCP6 or UNKNOWN"),
            (" TCP4 1.1.1.1 2.2.2.2 1 2", "expected TCP4, TCP6 or UNKNOWN"),
            ("TCP4 1.1.1.1 2.2.2.2 1", "expected two ports"),
            ("TCP4 1.1.1.1 2.2.2.2 1 +2", "expected two ports"),
            ("TCP4 1.1.1.1 2.2.2.2 1 65536", "expected two ports"),
            ("TCP4 1.1.1.1  2.2.2.2 1 2", "expected two addresses of its family"),
            ("TCP4 ::1 ::1 1 2", "expected two addresses of its family"),
            ("TCP6 1.1.1.1 2.2.2.2 1 2", "expected two addresses of its family"),
            ("TCP4 1.1.1.1 2.2.2.2 1 2 ", "text after the ports"),
        ] {
            let expected = format!("malformed PROXY protocol header: {problem}");
            check_err(format!("PROXY {line}\r\n").as_bytes(), &expected);
        }
    }

    #[test]
    fn a_line_of_more_than_107_bytes_is_refused() {
        let line = format!("PROXY UNKNOWN {}", "x".repeat(93));
        check_err(line.as_bytes(), "PROXY protocol header of 107 bytes exceeds the limit of 107");
    }
}
