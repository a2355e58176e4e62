//! The `Forwarded` header of RFC 7239.

use std::borrow::Cow;
use std::net::SocketAddr;

use http::{HeaderMap, header};

use super::TrustedProxies;
use super::client_info::{ClientInfo, ForwardedProto, Node, parse_host, parse_node, walk};

/// What one proxy said about the hop before it. See RFC 7239 §4.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Element {
    /// `None` if it is absent, `unknown`, obfuscated or malformed.
    node: Node,
    host: Option<String>,
    proto: Option<ForwardedProto>,
}

/// Finds the client of a request that a trusted `peer` passed on.
///
/// Host and protocol come from the element that names the client: the outermost trusted proxy wrote it. What
/// breaks the grammar counts as an element that says nothing, so the walk ends there.
pub(super) fn client_info(
    proxies: &TrustedProxies,
    peer: SocketAddr,
    headers: &HeaderMap,
) -> ClientInfo {
    let lines = headers.get_all(header::FORWARDED).iter();
    let elements: Vec<_> = lines
        .flat_map(|line| parse_or_salvage(&String::from_utf8_lossy(line.as_bytes())))
        .collect();
    let (mut client, taken) =
        walk(proxies, peer, elements.iter().rev().map(|element| element.node));
    // An element without an address still tells host and protocol, if the nearest proxy wrote it.
    if let Some(element) = elements.len().checked_sub(taken.max(1)).map(|idx| &elements[idx]) {
        client.host.clone_from(&element.host);
        client.proto = element.proto;
    }
    client
}

/// Parses one line; of a broken one it keeps the elements on the right that are whole by themselves.
///
/// A client may send `for="` and the proxy append `, for=192.0.2.1` to it: the open quote must not swallow what
/// the proxy wrote, or the client could hide behind the proxy's address.
fn parse_or_salvage(line: &str) -> Vec<Element> {
    parse(line).unwrap_or_else(|| {
        let mut elements: Vec<_> = line.rsplit(',').map_while(parse).flatten().collect();
        elements.push(Element::default());
        elements.reverse();
        elements
    })
}

/// Parses one line, or returns `None` if it breaks the grammar:
///
/// ```text
/// Forwarded         = 1#forwarded-element
/// forwarded-element = [ forwarded-pair ] *( ";" [ forwarded-pair ] )
/// forwarded-pair    = token "=" ( token / quoted-string )
/// ```
/// We also accept blanks around `;`, which RFC 7239 does not have but many proxies write.
fn parse(line: &str) -> Option<Vec<Element>> {
    let (mut elements, mut rest) = (Vec::new(), line);
    loop {
        let mut element = Builder::default();
        loop {
            rest = skip_blanks(rest);
            if !rest.starts_with([',', ';']) && !rest.is_empty() {
                rest = skip_blanks(element.parse_pair(rest)?);
            }
            match rest.strip_prefix(';') {
                Some(after) => rest = after,
                None => break,
            }
        }
        // RFC 9110 §5.6.1: "a recipient MUST parse and ignore a reasonable number of empty list elements".
        if !element.is_empty {
            elements.push(element.element);
        }
        if rest.is_empty() {
            return Some(elements);
        }
        rest = rest.strip_prefix(',')?;
    }
}

/// An element and which of its parameters have been seen.
struct Builder<'a> {
    element: Element,
    seen: Vec<Cow<'a, str>>,
    is_empty: bool,
}

impl Default for Builder<'_> {
    fn default() -> Self {
        Self { element: Element::default(), seen: Vec::new(), is_empty: true }
    }
}

impl<'a> Builder<'a> {
    /// Parses one pair and returns what follows it.
    fn parse_pair(&mut self, text: &'a str) -> Option<&'a str> {
        let (name, rest) = take_token(text)?;
        let (value, rest) = take_value(rest.strip_prefix('=')?)?;
        // §4: "Each parameter MUST NOT occur more than once per field-value" element.
        if self.seen.iter().any(|it| it.eq_ignore_ascii_case(name)) {
            return None;
        }
        match name.to_ascii_lowercase().as_str() {
            "for" => self.element.node = parse_forwarded_node(&value),
            "host" => self.element.host = parse_host(&value),
            "proto" => self.element.proto = ForwardedProto::parse(&value),
            // "by" and extensions.
            _ => {}
        }
        self.seen.push(name.into());
        self.is_empty = false;
        Some(rest)
    }
}

/// §6: `node = nodename [ ":" node-port ]`. A port may be obfuscated (`_x`) and is then unknown; IPv6 stands in
/// brackets always.
fn parse_forwarded_node(value: &str) -> Node {
    let bare_ipv6 = !value.starts_with('[') && value.matches(':').count() > 1;
    match value.rsplit_once(":_") {
        Some((name, port)) if port.bytes().all(is_obfuscated) => {
            parse_node(name).filter(|(_, port)| port.is_none())
        }
        _ if bare_ipv6 => None,
        _ => parse_node(value),
    }
}

fn is_obfuscated(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

fn skip_blanks(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

/// RFC 9110 §5.6.2: one or more `tchar`.
fn take_token(text: &str) -> Option<(&str, &str)> {
    let is_tchar = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let end = text.find(|c| !is_tchar(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// RFC 9110 §5.6.4: a token or a quoted string, in which `\` takes the next character as it is.
fn take_value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        return take_token(text).map(|(token, rest)| (token.into(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((idx, c)) = chars.next() {
        match c {
            '"' => return Some((value.into(), &quoted[idx + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(lines: &[&str]) -> ClientInfo {
        let proxies = TrustedProxies::parse(["10.0.0.0/8"]).unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::FORWARDED, line.parse().unwrap());
        }
        client_info(&proxies, "10.0.0.1:99".parse().unwrap(), &headers)
    }

    #[track_caller]
    fn check(line: &str, expected: &str, port: Option<u16>) {
        let info = run(&[line]);
        assert_eq!((info.addr.to_string().as_str(), info.port), (expected, port), "{line}");
    }

    #[test]
    fn the_examples_of_rfc_7239_are_understood() {
        check("for=\"_gazonk\"", "10.0.0.1", Some(99));
        check("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17", Some(4711));
        check("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60", None);
        check("for=192.0.2.43, for=198.51.100.17", "198.51.100.17", None);
        check("for=192.0.2.43,for=\"[2001:db8:cafe::17]\",for=unknown", "10.0.0.1", Some(99));
        check("for=_hidden, for=_SEVKISEK", "10.0.0.1", Some(99));
    }

    #[test]
    fn trusted_hops_are_skipped_and_the_client_s_element_counts() {
        let info = run(&[
            "for=6.6.6.6;host=evil",
            "for=1.1.1.1;host=a.test;proto=https, for=10.2.2.2;proto=http",
        ]);
        assert_eq!(info.addr.to_string(), "1.1.1.1");
        assert_eq!(
            (info.host.as_deref(), info.proto),
            (Some("a.test"), Some(ForwardedProto::Https))
        );
    }

    #[test]
    fn an_obfuscated_port_is_an_unknown_one() {
        check("for=\"1.1.1.1:_p0rt\"", "1.1.1.1", None);
        check("for=\"[2001:db8::1]:_x\"", "2001:db8::1", None);
        check("for=\"1.1.1.1:80:_x\"", "10.0.0.1", Some(99));
    }

    #[test]
    fn quotes_escapes_blanks_and_empty_elements_are_allowed() {
        check(" , for=\"1.1.\\1.1\" ; proto=\"https\";; ,, ", "1.1.1.1", None);
        check("by=\"a,b;\\\"c\";for=1.1.1.1", "1.1.1.1", None);
        check("secret=x;for=1.1.1.1", "1.1.1.1", None);
    }

    #[test]
    fn a_line_that_breaks_the_grammar_says_nothing() {
        for line in [
            "for=\"1.1.1.1",
            "for=[2001:db8::1]",
            "for=1.1.1.1;for=2.2.2.2",
            "for=1.1.1.1;proto",
            "=1.1.1.1",
            "for=1.1.1.1 proto=http",
            "for = 1.1.1.1",
            "for=\"2001:db8::1\"",
        ] {
            check(line, "10.0.0.1", Some(99));
        }
    }

    #[test]
    fn a_broken_line_of_the_client_does_not_hide_what_the_proxy_appended() {
        check("for=\", for=1.1.1.1", "1.1.1.1", None);
        check("for=6.6.6.6;\", for=1.1.1.1, for=10.2.2.2", "1.1.1.1", None);
        check("for=6.6.6.6, for=\", for=10.2.2.2", "10.2.2.2", None);
        assert_eq!(run(&["for=\"", "for=1.1.1.1"]).addr.to_string(), "1.1.1.1");
    }

    #[test]
    fn an_element_without_an_address_still_tells_the_protocol() {
        let info = run(&["proto=https;host=a.test"]);
        assert_eq!(
            (info.addr.to_string().as_str(), info.proto),
            ("10.0.0.1", Some(ForwardedProto::Https))
        );
    }

    proptest::proptest! {
        #[test]
        fn no_line_panics(line in "[ -~\t]{0,64}") {
            let _ = parse_or_salvage(&line);
        }

        #[test]
        fn no_line_made_of_pieces_panics(pieces in proptest::collection::vec(
            proptest::sample::select(vec!["for=", "\"", "[::1]", ":80", ";", ",", "\\", "1.1.1.1", " ", "proto=https"]), 0..12)
        ) {
            run(&[&pieces.concat()]);
        }
    }
}
