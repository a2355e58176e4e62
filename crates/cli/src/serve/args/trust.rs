//! Which pages and which proxies are trusted.

use everwire::{
    OriginPolicy,
    trust::{ForwardedSource, TrustedProxies},
};

use crate::{flag::yes_or_no, serve::origin::Origin};

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Trust")]
pub(in crate::serve) struct TrustArgs {
    /// The origin of a page that may connect, beside pages of this server; may be given several
    /// times, or several with commas between them.
    #[arg(long, value_name = "ORIGIN", env = "EVERWIRE_ORIGIN", value_delimiter = ',')]
    origin: Vec<Origin>,

    /// Lets pages of every origin connect.
    #[arg(
        long,
        env = "EVERWIRE_DANGER_ANY_ORIGIN",
        conflicts_with = "origin",
        value_parser = yes_or_no
    )]
    danger_any_origin: bool,

    /// A network of proxies that are believed what they say about the client, such as 10.0.0.0/8;
    /// may be given several times, or several with commas between them.
    #[arg(long, value_name = "CIDR", env = "EVERWIRE_TRUSTED_PROXY", value_delimiter = ',')]
    trusted_proxy: Vec<String>,

    /// Which header of a trusted proxy counts: X-Forwarded-For, Forwarded, or the one that is
    /// there (the first, if both are).
    #[arg(
        long,
        value_name = "WHICH",
        env = "EVERWIRE_FORWARDED_HEADER",
        default_value = "either",
        requires = "trusted_proxy"
    )]
    forwarded_header: ForwardedHeader,

    /// Expects the PROXY protocol from trusted proxies.
    #[arg(
        long,
        env = "EVERWIRE_PROXY_PROTOCOL",
        requires = "trusted_proxy",
        value_parser = yes_or_no
    )]
    pub(in crate::serve) proxy_protocol: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ForwardedHeader {
    Either,
    Forwarded,
    XForwarded,
}

impl TrustArgs {
    /// Returns from which pages a browser may connect.
    pub(in crate::serve) fn origins(&self) -> OriginPolicy {
        if self.danger_any_origin {
            return OriginPolicy::DangerAnyOrigin;
        }
        OriginPolicy::AllowList(self.origin.iter().map(|Origin(origin)| origin.clone()).collect())
    }

    /// Returns the proxies that are believed.
    ///
    /// # Errors
    /// A network that cannot be understood.
    pub(in crate::serve) fn proxies(&self) -> anyhow::Result<TrustedProxies> {
        let nets = self.trusted_proxy.iter().map(String::as_str);
        let source = match self.forwarded_header {
            ForwardedHeader::Either => ForwardedSource::Either,
            ForwardedHeader::Forwarded => ForwardedSource::Forwarded,
            ForwardedHeader::XForwarded => ForwardedSource::XForwarded,
        };
        let proxies = TrustedProxies::parse(nets)
            .map_err(|error| anyhow::anyhow!("--trusted-proxy: {error}"))?;
        Ok(proxies.with_source(source))
    }
}
