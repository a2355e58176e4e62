//! Where to go and with what: made once of the arguments, used for every connection.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use everwire::{
    dial::{
        Dialer, ProxyConfig, ProxyEnvironment, Resolve, Resolving, Scheme, SystemResolver, Target,
    },
    tls::ClientTls,
};
use everwire_proto::handshake::{ClientHandshake, ClientRequest, Extension, RequestError};
use http::{
    HeaderMap, HeaderValue,
    header::{AUTHORIZATION, HOST, ORIGIN},
};
use tokio::time::Instant;

use super::args::Args;
use crate::{
    connect::{escape, masked},
    destination::{Destination, Header},
};

/// What every connection is made with.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) target: Target,
    pub(super) timeout: Duration,
    pub(super) dialer: Dialer,
    /// The proxy that will be gone through.
    pub(super) proxy: Option<String>,
    pub(super) resolver: Resolved,
    pub(super) accepts_any: bool,
    /// A dialer that only looks at certificates.
    pub(super) careless: Dialer,
    headers: HeaderMap,
    subprotocols: Vec<String>,
}

impl Setup {
    /// Checks the arguments.
    ///
    /// # Errors
    /// What is wrong with them, for people.
    pub(super) fn new(args: &Args) -> Result<Self, String> {
        let destination = &args.destination;
        let target = Target::parse(&destination.url).map_err(|error| error.to_string())?;
        let proxy = destination
            .proxy()
            .unwrap_or_else(|| ProxyConfig::Environment(ProxyEnvironment::read()));
        let resolver = Resolved::default();
        let bare = Dialer::new().with_resolver(resolver.clone()).with_proxy(proxy.clone());
        let careless = ClientTls::builder().danger_accept_any_certificate().build();
        let dialer = match destination.tls()? {
            Some(tls) => bare.clone().with_tls(tls),
            None => bare.clone(),
        };
        let setup = Self {
            headers: headers(destination, &target),
            subprotocols: destination.subprotocols.clone(),
            timeout: args.timeout.0,
            dialer,
            proxy: proxy.proxy_for(&target).ok().flatten().map(ToString::to_string),
            resolver,
            accepts_any: destination.danger_accept_any_certificate,
            careless: bare.with_tls(careless.map_err(|error| error.to_string())?),
            target,
        };
        // What cannot be asked for is found before anything is sent.
        setup.handshake(&[]).map_err(|error| format!("request cannot be made: {error}"))?;
        Ok(setup)
    }

    /// Makes an opening handshake with a fresh key.
    ///
    /// # Errors
    /// A header or a subprotocol cannot be sent; found out by [`new`](Self::new).
    pub(super) fn handshake(&self, offer: &[Extension]) -> Result<ClientHandshake, RequestError> {
        let base = ClientRequest::new(match self.target.scheme() {
            Scheme::Ws => "ws://target/",
            Scheme::Wss => "wss://target/",
        })?;
        let named = self
            .subprotocols
            .iter()
            .fold(base.headers(self.headers.clone()), ClientRequest::subprotocol);
        let request = offer.iter().cloned().fold(named, ClientRequest::extension);
        let mut key = [0; 16];
        random(&mut key);
        ClientHandshake::new(&request, key)
    }

    /// Returns whether subprotocols are offered.
    pub(super) fn has_subprotocols(&self) -> bool {
        !self.subprotocols.is_empty()
    }

    /// Returns the URL without what is secret in it.
    pub(super) fn shown_url(&self) -> String {
        let scheme = self.target.scheme().as_str();
        format!("{scheme}://{}{}", self.target.host_header(), self.shown_path())
    }

    /// Returns path and query without what is secret in them.
    pub(super) fn shown_path(&self) -> String {
        escape(&masked(self.target.path_and_query()))
    }
}

/// Fills `bytes` unpredictably.
pub(super) fn random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the system has a source of randomness");
}

fn headers(destination: &Destination, target: &Target) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for Header(name, value) in &destination.headers {
        headers.append(name.clone(), value.clone());
    }
    if let Some(origin) = &destination.origin {
        headers.insert(ORIGIN, origin.clone());
    }
    if let Some(credentials) = target.credentials()
        && !headers.contains_key(AUTHORIZATION)
    {
        headers.insert(AUTHORIZATION, credentials.basic());
    }
    if !headers.contains_key(HOST) {
        let host = HeaderValue::try_from(target.host_header());
        headers.insert(HOST, host.expect("a host is visible ASCII"));
    }
    headers
}

/// The system's resolver, which remembers what it answered and how long that took.
#[derive(Clone, Debug, Default)]
pub(super) struct Resolved(Arc<Mutex<HashMap<String, Answer>>>);

/// Addresses, and how long they took.
type Answer = (Vec<String>, Duration);

impl Resolved {
    /// Returns what the first look-up of `host` gave.
    pub(super) fn get(&self, host: &str) -> Option<Answer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(host).cloned()
    }
}

impl Resolve for Resolved {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a> {
        Box::pin(async move {
            let began = Instant::now();
            let addrs = SystemResolver.resolve(host, port).await?;
            let shown = addrs.iter().map(|addr| addr.ip().to_string()).collect();
            let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            seen.entry(host.to_owned()).or_insert((shown, began.elapsed()));
            Ok(addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn setup(args: &[&str]) -> Result<Setup, String> {
        let args = ["probe"].iter().chain(args);
        let cli = Cli::try_parse_from(args).map_err(|error| error.to_string())?;
        Setup::new(&cli.args)
    }

    #[track_caller]
    fn check(url: &str, expected: &str) {
        assert_eq!(setup(&[url]).unwrap().shown_url(), expected);
    }

    #[test]
    fn secrets_of_the_url_are_not_shown() {
        check("ws://user:pass@h.test/a?b=c", "ws://h.test/a?b=c");
        check(
            "wss://h.test/?access_token=x&room=1&SIG=y",
            "wss://h.test/?access_token=***&room=1&SIG=***",
        );
        check("ws://h.test:81/?token", "ws://h.test:81/?token");
    }

    #[test]
    fn what_cannot_be_asked_for_is_refused_at_once() {
        for args in [
            &["ftp://h.test/"][..],
            &["ws://h.test/", "-H", "Upgrade: x"],
            &["ws://h.test/", "--subprotocol", "a b"],
            &["ws://h.test/", "--timeout", "0s"],
            &["ws://h.test/", "--max-message", "2GiB"],
            &["ws://h.test/", "--ca", "/nonexistent"],
        ] {
            setup(args).unwrap_err();
        }
    }
}
