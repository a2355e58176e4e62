//! The list of hosts that are reached without a proxy: `no_proxy`.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::dial::Target;

/// A parsed `no_proxy` value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NoProxy {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    All,
    Net(IpNet),
    Ip(IpAddr, Option<u16>),
    /// The name, whether it matches itself, and the port.
    Domain {
        suffix: String,
        exact: bool,
        port: Option<u16>,
    },
}

impl NoProxy {
    /// Parses entries separated by commas or blanks, by the rules most programs share (Go's in detail):
    ///
    /// | entry | means |
    /// |---|---|
    /// | `*` | every host |
    /// | `example.com` | that name and all below it |
    /// | `.example.com`, `*.example.com` | only names below it |
    /// | `192.0.2.1`, `2001:db8::1`, `[2001:db8::1]` | that address |
    /// | `10.0.0.0/8` | literal addresses of that network |
    /// | a name or an address with `:8080` | only that port |
    ///
    /// Addresses match hosts that are written as addresses; no name is resolved. What cannot be understood is
    /// skipped.
    pub(super) fn parse(value: &str) -> Self {
        let entries = value.split([',', ' ', '\t']).filter(|entry| !entry.is_empty());
        Self { rules: entries.filter_map(Rule::parse).collect() }
    }

    /// Returns whether `target` is to be reached directly.
    pub(super) fn matches(&self, target: &Target) -> bool {
        self.rules.iter().any(|rule| rule.matches(target))
    }
}

impl Rule {
    fn parse(entry: &str) -> Option<Self> {
        if entry == "*" {
            return Some(Self::All);
        }
        if let Ok(net) = entry.parse::<IpNet>() {
            return Some(Self::Net(net));
        }
        if let Ok(ip) = entry.trim_start_matches('[').trim_end_matches(']').parse() {
            return Some(Self::Ip(ip, None));
        }
        let (name, port) = match entry.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok()?)),
            None => (entry, None),
        };
        if let Ok(ip) = name.trim_start_matches('[').trim_end_matches(']').parse() {
            return Some(Self::Ip(ip, port));
        }
        let name = name.strip_prefix('*').unwrap_or(name);
        let exact = !name.starts_with('.');
        let suffix = name.trim_matches('.').to_ascii_lowercase();
        (!suffix.is_empty()).then_some(Self::Domain { suffix, exact, port })
    }

    fn matches(&self, target: &Target) -> bool {
        match self {
            Self::All => true,
            Self::Net(net) => target.ip().is_some_and(|ip| net.contains(&ip.to_canonical())),
            Self::Ip(ip, port) => {
                target.ip().is_some_and(|it| it.to_canonical() == *ip)
                    && port.is_none_or(|port| port == target.port())
            }
            Self::Domain { suffix, exact, port } => {
                let host = target.host().trim_end_matches('.');
                let below =
                    host.strip_suffix(suffix.as_str()).is_some_and(|head| head.ends_with('.'));
                (below || *exact && host == suffix) && port.is_none_or(|port| port == target.port())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(no_proxy: &str, url: &str, expected: bool) {
        assert_eq!(
            NoProxy::parse(no_proxy).matches(&Target::parse(url).unwrap()),
            expected,
            "{no_proxy} {url}"
        );
    }

    #[test]
    fn a_name_matches_itself_and_what_is_below() {
        check("example.com", "ws://example.com", true);
        check("Example.COM", "ws://a.b.example.com.", true);
        check("example.com", "ws://badexample.com", false);
        check("a.test, example.com", "ws://example.com", true);
        check("a.test example.com", "ws://example.com", true);
        check("", "ws://example.com", false);
    }

    #[test]
    fn a_leading_dot_matches_only_what_is_below() {
        check(".example.com", "ws://a.example.com", true);
        check(".example.com", "ws://example.com", false);
        check("*.example.com", "ws://a.example.com", true);
        check("*.example.com", "ws://example.com", false);
    }

    #[test]
    fn a_port_narrows_the_rule() {
        check("example.com:8080", "ws://example.com:8080", true);
        check("example.com:443", "wss://example.com", true);
        check("example.com:8080", "ws://example.com", false);
        check("192.0.2.1:81", "ws://192.0.2.1", false);
        check("[2001:db8::1]:81", "ws://[2001:db8::1]:81", true);
        check("example.com:nope", "ws://example.com", false);
    }

    #[test]
    fn addresses_and_networks_match_literals() {
        check("192.0.2.1", "ws://192.0.2.1", true);
        check("2001:db8::1", "ws://[2001:db8::1]", true);
        check("10.0.0.0/8", "ws://10.255.0.1:9", true);
        check("10.0.0.0/8", "ws://11.0.0.1", false);
        check("10.0.0.0/8", "ws://[::ffff:10.0.0.1]", true);
        check("2001:db8::/32", "ws://[2001:db8:5::1]", true);
        check("10.0.0.0/8", "ws://10.example.com", false);
    }

    #[test]
    fn a_star_matches_everything() {
        check("*", "ws://example.com", true);
        check("a.test,*", "ws://192.0.2.1", true);
    }
}
