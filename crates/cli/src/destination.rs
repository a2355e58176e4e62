//! Where to connect to and with what: which server, what to show to it, whom to trust, which way to
//! go.

use std::{path::PathBuf, str::FromStr};

use clap::ArgAction;
use everwire::{
    dial::{ProxyConfig, ProxyUrl},
    tls::{ClientTls, PemSource},
};
use http::{HeaderName, HeaderValue};

use crate::{flag::yes_or_no, token::token};

// What a command that connects was told of it. (A comment that clap saw would become the help of
// that command.)
#[derive(Debug, clap::Args)]
pub(crate) struct Destination {
    /// Where to connect to, such as `wss://example.com/live`.
    #[arg(env = "EVERWIRE_URL", hide_env_values = true)]
    pub(crate) url: String,

    /// Sends a header with the opening handshake; may be repeated.
    #[arg(
        short = 'H',
        long = "header",
        value_name = "NAME: VALUE",
        env = "EVERWIRE_HEADER",
        hide_env_values = true
    )]
    pub(crate) headers: Vec<Header>,

    /// Offers a subprotocol; may be repeated, the preferred one first.
    #[arg(long = "subprotocol", value_name = "NAME", env = "EVERWIRE_SUBPROTOCOL",
        value_parser = token)]
    pub(crate) subprotocols: Vec<String>,

    /// Connects as if from a page of this origin.
    #[arg(long, value_name = "ORIGIN", env = "EVERWIRE_CONNECT_ORIGIN", value_parser = origin)]
    pub(crate) origin: Option<HeaderValue>,

    /// Accepts every certificate. The connection is then secret from nobody.
    #[arg(
        short = 'k',
        long,
        alias = "insecure",
        env = "EVERWIRE_DANGER_ACCEPT_ANY_CERTIFICATE",
        value_parser = yes_or_no,
        action = ArgAction::SetTrue,
        conflicts_with = "ca"
    )]
    pub(crate) danger_accept_any_certificate: bool,

    /// Trusts the authorities in this PEM file instead of the system's.
    #[arg(long, value_name = "FILE", env = "EVERWIRE_CA")]
    ca: Option<PathBuf>,

    /// Shows the certificate in this PEM file to the server.
    #[arg(long, value_name = "FILE", env = "EVERWIRE_CERT", requires = "key")]
    cert: Option<PathBuf>,

    /// The key of --cert, a PEM file.
    #[arg(long, value_name = "FILE", env = "EVERWIRE_KEY", requires = "cert")]
    key: Option<PathBuf>,

    /// Connects through this proxy (http, https, socks5, socks5h) instead of the environment's.
    #[arg(long, value_name = "URL", env = "EVERWIRE_PROXY", hide_env_values = true)]
    proxy: Option<ProxyUrl>,

    /// Connects directly, whatever the environment says.
    #[arg(
        long,
        env = "EVERWIRE_NO_PROXY",
        value_parser = yes_or_no,
        action = ArgAction::SetTrue,
        conflicts_with = "proxy"
    )]
    no_proxy: bool,
}

impl Destination {
    /// Returns the proxy that was asked for; nothing if it is for the environment to say.
    pub(crate) fn proxy(&self) -> Option<ProxyConfig> {
        match &self.proxy {
            Some(proxy) => Some(ProxyConfig::Url(proxy.clone())),
            None => self.no_proxy.then_some(ProxyConfig::Direct),
        }
    }

    /// Returns what was asked for of TLS, if anything was.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub(crate) fn tls(&self) -> Result<Option<ClientTls>, String> {
        let mut builder = ClientTls::builder();
        if self.danger_accept_any_certificate {
            builder = builder.danger_accept_any_certificate();
        }
        if let Some(ca) = &self.ca {
            builder = builder.roots(PemSource::file(ca));
        }
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            builder = builder.identity(PemSource::file(cert), PemSource::file(key));
        }
        let is_default =
            !self.danger_accept_any_certificate && self.ca.is_none() && self.cert.is_none();
        if is_default {
            return Ok(None);
        }
        builder.build().map(Some).map_err(|error| error.to_string())
    }
}

/// Reads an origin; a server may be shown one that no browser would write.
///
/// # Errors
/// What was expected.
fn origin(text: &str) -> Result<HeaderValue, &'static str> {
    let value = HeaderValue::from_str(text).ok().filter(|value| !value.is_empty());
    value.ok_or("expected an origin such as https://example.com, without control characters")
}

/// A header, as in `Name: value`.
#[derive(Clone)]
pub(crate) struct Header(pub(crate) HeaderName, pub(crate) HeaderValue);

impl FromStr for Header {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "expected NAME: VALUE such as 'X-Trace: 7', without control characters";
        let (name, value) = text.split_once(':').ok_or(expected)?;
        let name = name.trim().parse().map_err(|_| expected)?;
        let value = HeaderValue::from_bytes(value.trim().as_bytes()).map_err(|_| expected)?;
        Ok(Self(name, value))
    }
}

impl std::fmt::Debug for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: ***", self.0)
    }
}
