//! The address of a proxy, and what to say to it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::{HeaderMap, HeaderName, HeaderValue};
use url::Host;

use crate::dial::authority::{Authority, bare_host, host_ip};
use crate::dial::{Credentials, UrlError};

/// How a proxy is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProxyScheme {
    /// HTTP CONNECT over TCP; port 80 unless the URL says otherwise.
    Http,
    /// HTTP CONNECT over TLS; port 443 unless the URL says otherwise.
    Https,
    /// SOCKS5 with addresses that we resolve; port 1080 unless the URL says otherwise.
    Socks5,
    /// SOCKS5 with names that the proxy resolves; port 1080 unless the URL says otherwise.
    Socks5h,
}

impl ProxyScheme {
    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
            Self::Socks5 | Self::Socks5h => 1080,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Socks5 => "socks5",
            Self::Socks5h => "socks5h",
        }
    }
}

/// A proxy: `[scheme://][user:password@]host[:port]`, where no scheme means `http`.
///
/// `Display` leaves the credentials out, and `Debug` hides the password and the values of the headers.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl {
    scheme: ProxyScheme,
    credentials: Option<Credentials>,
    host: Host,
    bare_host: String,
    port: u16,
    headers: HeaderMap,
}

impl ProxyUrl {
    /// Parses a proxy URL. `socks` is read as `socks5`.
    ///
    /// # Errors
    /// [`UrlError`] says which part is wrong and what was expected.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let with_scheme =
            if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let Authority { scheme, credentials, host, port, rest } = Authority::parse(&with_scheme)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => ProxyScheme::Http,
            "https" => ProxyScheme::Https,
            "socks5" | "socks" => ProxyScheme::Socks5,
            "socks5h" => ProxyScheme::Socks5h,
            _ => {
                let expected = "http, https, socks5 or socks5h";
                return Err(UrlError::Scheme { found: scheme.to_owned(), expected });
            }
        };
        if !matches!(rest, "" | "/") {
            return Err(UrlError::ProxyPath { found: rest.to_owned() });
        }
        let (bare_host, port) = (bare_host(&host), port.unwrap_or(scheme.default_port()));
        Ok(Self { scheme, credentials, host, bare_host, port, headers: HeaderMap::new() })
    }

    /// Adds a header to the CONNECT request. `Host` and `Proxy-Authorization` replace what we would send;
    /// SOCKS5 has no headers and ignores them.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// Sets the credentials, replacing those of the URL.
    #[must_use]
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Returns how the proxy is spoken to.
    pub fn scheme(&self) -> ProxyScheme {
        self.scheme
    }

    /// Returns the credentials.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// Returns the host in its ASCII form, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.bare_host
    }

    /// Returns the port, which may be the scheme's default.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the headers that CONNECT will carry in addition to our own.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the address if the host is a literal one.
    pub(in crate::dial) fn ip(&self) -> Option<IpAddr> {
        host_ip(&self.host)
    }
}

impl FromStr for ProxyUrl {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        Self::parse(url)
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme.as_str(), self.host, self.port)
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.keys().collect();
        f.debug_struct("ProxyUrl")
            .field("url", &self.to_string())
            .field("credentials", &self.credentials)
            .field("headers", &headers)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: &str) {
        assert_eq!(ProxyUrl::parse(url).unwrap().to_string(), expected);
    }

    #[test]
    fn a_missing_scheme_means_http() {
        check("proxy.corp:3128", "http://proxy.corp:3128");
        check("user:pass@proxy.corp", "http://proxy.corp:80");
    }

    #[test]
    fn each_scheme_has_its_port() {
        check("https://p/", "https://p:443");
        check("socks5://p", "socks5://p:1080");
        check("socks://[::1]/", "socks5://[::1]:1080");
        check("SOCKS5H://p:9050", "socks5h://p:9050");
    }

    #[test]
    fn a_path_or_an_unknown_scheme_is_refused() {
        assert_eq!(ProxyUrl::parse("http://p/x"), Err(UrlError::ProxyPath { found: "/x".into() }));
        let message = ProxyUrl::parse("ftp://p").unwrap_err().to_string();
        assert_eq!(
            message,
            "url scheme \"ftp\" is not supported: expected http, https, socks5 or socks5h"
        );
    }

    #[test]
    fn secrets_are_not_printed() {
        let header = (HeaderName::from_static("x-token"), HeaderValue::from_static("s3cret"));
        let proxy = ProxyUrl::parse("http://u:s3cret@p").unwrap().with_header(header.0, header.1);
        assert!(!format!("{proxy:?} {proxy}").contains("s3cret"));
    }
}
