//! The same-origin rule for browsers.

/// Tells whether a page from `origin` is from the server that the request was sent to.
///
/// Browsers send `Origin` with every WebSocket request and ask nobody; a server that does not compare it can be used by
/// any page its user visits (RFC 6455 §10.2). The origin is compared by host and port, ASCII case-insensitively.
/// The scheme is not compared, since a server behind a TLS proxy does not know its own; it tells the default port, of
/// the origin and of a `Host` without one.
///
/// Without an `Origin` the client is no browser, and allowed. `null` (a sandbox, a file), a list of origins and all that
/// is not of the form `scheme://host[:port]` (RFC 6454 §6.2) is not the same.
///
/// # Examples
/// ```
/// # use everwire_proto::handshake::is_same_origin;
/// assert!(is_same_origin(Some("https://example.com"), "EXAMPLE.com:443"));
/// assert!(is_same_origin(None, "example.com"));
/// assert!(!is_same_origin(Some("https://example.com.evil.org"), "example.com"));
/// assert!(!is_same_origin(Some("null"), "example.com"));
/// ```
pub fn is_same_origin(origin: Option<&str>, host: &str) -> bool {
    let Some(origin) = origin else { return true };
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let Some((origin_host, origin_port)) = split_authority(authority) else { return false };
    let Some((host, port)) = split_authority(host) else { return false };
    let default = default_port(scheme);
    host.eq_ignore_ascii_case(origin_host) && port.or(default) == origin_port.or(default)
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

/// Splits `host[:port]`; `None` if it is anything else (RFC 3986 §3.2, without user information).
pub(super) fn split_authority(authority: &str) -> Option<(&str, Option<u16>)> {
    let host_end = if authority.starts_with('[') { authority.find(']')? + 1 } else { 0 };
    let (host, port) = match authority[host_end..].find(':') {
        Some(colon) => (&authority[..host_end + colon], &authority[host_end + colon + 1..]),
        None => (authority, ""),
    };
    let name = if host_end > 0 { &host[1..host_end - 1] } else { host };
    let in_name = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || b"-._~%!$&'()*+;=".contains(&byte)
            || (host_end > 0 && byte == b':')
    };
    if name.is_empty() || (host_end > 0 && host.len() != host_end) || !name.bytes().all(in_name) {
        return None;
    }
    match port {
        // RFC 3986 §6.2.3: `host:` is `host`.
        "" => Some((host, None)),
        port if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some((host, Some(port.parse().ok()?)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(origin: &str, host: &str, expected: bool) {
        assert_eq!(is_same_origin(Some(origin), host), expected, "{origin} at {host}");
    }

    #[test]
    fn host_and_port_are_compared_without_case() {
        check("http://example.com", "example.com", true);
        check("HTTPS://Example.COM", "eXample.com", true);
        check("http://example.com:8080", "example.com:8080", true);
        check("http://[::1]:8080", "[::1]:8080", true);
        check("app://local", "local", true);
        check("http://example.com:8080", "example.com:8081", false);
        check("http://example.com", "www.example.com", false);
        check("http://a.example.com", "example.com", false);
        check("http://[::1]", "[::2]", false);
    }

    #[test]
    fn default_ports_follow_the_scheme_of_the_origin() {
        check("http://example.com", "example.com:80", true);
        check("https://example.com:443", "example.com", true);
        check("https://example.com", "example.com:80", false);
        check("http://example.com:443", "example.com", false);
        check("app://local:80", "local", false);
    }

    #[test]
    fn what_is_no_origin_is_another() {
        for origin in [
            "null",
            "",
            "example.com",
            "://example.com/",
            "http://",
            "http://example.com/",
            "http://u@example.com",
            "http://example.com http://example.com",
            "http://example.com:x",
            "http://example.com:+80",
            "http://example.com:99999",
            "http://example.com:80:80",
            "http://[::1",
            "http://[::1]x",
            "http://example.com?",
            "http://example.com#",
            "http://exa\\mple.com",
        ] {
            check(origin, "example.com", false);
        }
        check("http://", "", false);
    }

    #[test]
    fn no_origin_is_allowed() {
        assert!(is_same_origin(None, "example.com"));
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(origin: String, host in ".{0,8}") {
            is_same_origin(Some(&origin), &host);
            is_same_origin(Some(&format!("a://{origin}")), &origin);
        }
    }
}
