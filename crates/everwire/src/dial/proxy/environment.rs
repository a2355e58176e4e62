//! The proxy that the environment asks for.

use std::env;

use super::no_proxy::NoProxy;
use super::{ProxyError, ProxyUrl};
use crate::dial::{DialError, Scheme, Target, UrlError};

/// A snapshot of the proxy variables.
///
/// For `wss` the first that is set and not empty of `wss_proxy`, `https_proxy` and `all_proxy` counts, for
/// `ws` of `ws_proxy`, `http_proxy` and `all_proxy`; each is looked up in lower case, then in upper case.
/// `HTTP_PROXY` in upper case is ignored where `REQUEST_METHOD` is set, because in a CGI program a request
/// header can set it (CVE-2016-5385). Hosts in `no_proxy`, loopback addresses and `localhost` are reached
/// directly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyEnvironment {
    ws: Option<Box<Entry>>,
    wss: Option<Box<Entry>>,
    no_proxy: NoProxy,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    variable: String,
    url: Result<ProxyUrl, UrlError>,
}

impl ProxyEnvironment {
    /// Reads the variables of this process, now.
    pub fn read() -> Self {
        Self::from_vars(|name| env::var(name).ok())
    }

    /// Reads the variables from `var`.
    ///
    /// # Examples
    /// ```
    /// # use everwire::dial::{ProxyEnvironment, Target};
    /// let env = ProxyEnvironment::from_vars(|name| (name == "HTTPS_PROXY").then(|| "proxy:3128".to_owned()));
    /// let target = Target::parse("wss://example.com")?;
    /// assert_eq!(env.proxy_for(&target)?.unwrap().to_string(), "http://proxy:3128");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Self {
        let var = |name: &str| {
            var(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let is_cgi = var("REQUEST_METHOD").is_some();
        let either = |name: &str| {
            let upper = name.to_ascii_uppercase();
            let in_upper = |upper: String| {
                if is_cgi && upper == "HTTP_PROXY" {
                    None
                } else {
                    var(&upper).map(|value| (upper, value))
                }
            };
            var(name).map(|value| (name.to_owned(), value)).or_else(|| in_upper(upper))
        };
        let first = |names: [&str; 3]| {
            let (variable, value) = names.into_iter().find_map(either)?;
            Some(Box::new(Entry { variable, url: ProxyUrl::parse(&value) }))
        };
        Self {
            ws: first(["ws_proxy", "http_proxy", "all_proxy"]),
            wss: first(["wss_proxy", "https_proxy", "all_proxy"]),
            no_proxy: either("no_proxy")
                .map(|(_, value)| NoProxy::parse(&value))
                .unwrap_or_default(),
        }
    }

    /// Returns the proxy for `target`, or `None` if it is to be reached directly.
    ///
    /// # Errors
    /// A variable that would be used but holds no proxy URL is an error that names the variable: going
    /// around the proxy silently could send traffic where it must not go.
    pub fn proxy_for(&self, target: &Target) -> Result<Option<&ProxyUrl>, DialError> {
        if is_loopback(target) || self.no_proxy.matches(target) {
            return Ok(None);
        }
        let entry = match target.scheme() {
            Scheme::Ws => &self.ws,
            Scheme::Wss => &self.wss,
        };
        let Some(entry) = entry else {
            return Ok(None);
        };
        match &entry.url {
            Ok(url) => Ok(Some(url)),
            Err(error) => Err(DialError::Proxy {
                proxy: format!("from ${}", entry.variable),
                source: ProxyError::Url(error.clone()),
            }),
        }
    }
}

fn is_loopback(target: &Target) -> bool {
    // RFC 6761 §6.3: names below "localhost" are loopback as well.
    let host = target.host().trim_end_matches('.');
    host == "localhost"
        || host.ends_with(".localhost")
        || target.ip().is_some_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(vars: &[(&str, &str)]) -> ProxyEnvironment {
        let find = |name: &str| vars.iter().find(|(it, _)| *it == name);
        ProxyEnvironment::from_vars(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    #[track_caller]
    fn check(vars: &[(&str, &str)], url: &str, expected: Option<&str>) {
        let environment = environment(vars);
        let proxy = environment.proxy_for(&Target::parse(url).unwrap()).unwrap();
        assert_eq!(proxy.map(ProxyUrl::to_string).as_deref(), expected);
    }

    #[test]
    fn each_scheme_has_its_variables_in_order() {
        let all = [("all_proxy", "socks5h://c")];
        check(&all, "ws://x", Some("socks5h://c:1080"));
        check(&all, "wss://x", Some("socks5h://c:1080"));
        let https = [("https_proxy", "b"), ("all_proxy", "c")];
        check(&https, "wss://x", Some("http://b:80"));
        check(&https, "ws://x", Some("http://c:80"));
        let wss =
            [("wss_proxy", "a"), ("ws_proxy", "d"), ("https_proxy", "b"), ("http_proxy", "e")];
        check(&wss, "wss://x", Some("http://a:80"));
        check(&wss, "ws://x", Some("http://d:80"));
        check(&[("http_proxy", "e")], "wss://x", None);
    }

    #[test]
    fn lower_case_wins_and_empty_counts_as_unset() {
        check(&[("http_proxy", "low"), ("HTTP_PROXY", "up")], "ws://x", Some("http://low:80"));
        check(&[("http_proxy", " "), ("HTTP_PROXY", "up")], "ws://x", Some("http://up:80"));
    }

    #[test]
    fn http_proxy_in_upper_case_is_ignored_in_cgi() {
        check(&[("HTTP_PROXY", "evil"), ("REQUEST_METHOD", "GET")], "ws://x", None);
        check(
            &[("http_proxy", "good"), ("REQUEST_METHOD", "GET")],
            "ws://x",
            Some("http://good:80"),
        );
        check(
            &[("HTTPS_PROXY", "good"), ("REQUEST_METHOD", "GET")],
            "wss://x",
            Some("http://good:80"),
        );
    }

    #[test]
    fn loopback_is_never_proxied() {
        for url in [
            "ws://localhost",
            "ws://LOCALHOST.:1",
            "ws://a.localhost",
            "ws://127.9.9.9",
            "ws://[::1]",
        ] {
            check(&[("all_proxy", "p")], url, None);
        }
    }

    #[test]
    fn no_proxy_is_heeded_in_both_cases() {
        check(&[("all_proxy", "p"), ("NO_PROXY", "example.com")], "ws://a.example.com", None);
        check(&[("all_proxy", "p"), ("no_proxy", "*")], "ws://a.example.com", None);
    }

    #[test]
    fn a_broken_variable_is_an_error_only_when_it_is_used() {
        let environment = environment(&[("HTTPS_PROXY", "ftp://p")]);
        assert!(environment.proxy_for(&Target::parse("ws://x").unwrap()).unwrap().is_none());
        let error = environment.proxy_for(&Target::parse("wss://x").unwrap()).unwrap_err();
        assert!(
            error.to_string().starts_with("proxy from $HTTPS_PROXY: url scheme \"ftp\""),
            "{error}"
        );
    }
}
