//! From the name to a byte stream: DNS, TCP, a proxy, TLS, each with a deadline of its own.

use std::{
    net::SocketAddr,
    pin::pin,
    time::{Duration, SystemTime},
};

use everwire::{
    dial::{DialError, DialStream, Dialer, Phase, PhaseTracker, ProxyError},
    tls::TlsError,
};
use tokio::time::{Instant, sleep_until};

use super::{
    certificate::Validity,
    fault::{Blame, Fault, FaultId},
    report::{Certificate, Dns, Tcp, Tls, millis},
    setup::Setup,
};
use crate::connect::escape;

/// What was learned on the way.
#[derive(Debug, Default)]
pub(super) struct Way {
    pub(super) dns: Option<Dns>,
    pub(super) tcp: Option<Tcp>,
    pub(super) tls: Option<Tls>,
}

impl Setup {
    /// Opens a stream to the server and notes in `way` what is learned, also when it fails.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) async fn reach(&self, way: &mut Way) -> Result<DialStream, Fault> {
        let tracker = PhaseTracker::default();
        let result = self.dial(&self.dialer, &tracker).await;
        way.dns = self.resolver.get(self.target.host()).map(|(addresses, took)| Dns {
            host: self.target.host().to_owned(),
            addresses,
            took_ms: millis(took),
        });
        if tracker.entered(Phase::Proxy).or(tracker.entered(Phase::Tls)).is_some() {
            // Whom it connects to is known from the stream, if there is one.
            way.tcp = Some(self.tcp(self.only_address(way.dns.as_ref()), &tracker));
        }
        let result = result.map_err(|error| self.fault(&error));
        if let Ok(stream) = &result {
            way.tcp = Some(self.tcp(peer(stream), &tracker));
            way.tls = tls(stream, &tracker).map(|tls| Tls { verified: !self.accepts_any, ..tls });
        }
        if let Err(Fault { id: FaultId::TlsCertificate, .. }) = &result {
            // Somebody who is told that a certificate is bad wants to see it.
            let tracker = PhaseTracker::default();
            if let Ok(stream) = self.dial(&self.careless, &tracker).await {
                way.tcp = Some(self.tcp(peer(&stream), &tracker));
                way.tls = tls(&stream, &tracker);
            }
        }
        result
    }

    /// Dials; each phase has the whole timeout.
    async fn dial(&self, dialer: &Dialer, tracker: &PhaseTracker) -> Result<DialStream, DialError> {
        let began = Instant::now();
        let mut dial = pin!(dialer.dial(&self.target, tracker));
        loop {
            let phase = tracker.current();
            let until = tracker.entered(phase).unwrap_or(began) + self.timeout;
            tokio::select! {
                result = &mut dial => return result,
                () = sleep_until(until) => {
                    let now = tracker.current();
                    // It may have gone on meanwhile, or begun again with another address.
                    if now == phase && tracker.entered(now).unwrap_or(began) + self.timeout <= until {
                        return Err(DialError::Timeout { phase, after: self.timeout });
                    }
                }
            }
        }
    }

    /// Returns the address that was connected to where there is no other.
    fn only_address(&self, dns: Option<&Dns>) -> Option<String> {
        let port = self.target.port();
        let ip = match (self.target.ip(), dns.map(|dns| dns.addresses.as_slice())) {
            _ if self.proxy.is_some() => return None,
            (Some(ip), _) => ip,
            (None, Some([only])) => only.parse().ok()?,
            _ => return None,
        };
        Some(SocketAddr::new(ip, port).to_string())
    }

    fn tcp(&self, address: Option<String>, tracker: &PhaseTracker) -> Tcp {
        let next = [Phase::Proxy, Phase::Tls, Phase::Handshake];
        let connected = next.into_iter().find_map(|phase| tracker.entered(phase));
        Tcp {
            address,
            proxy: self.proxy.clone(),
            took_ms: millis(between(tracker.entered(Phase::Connect), connected)),
        }
    }

    fn fault(&self, error: &DialError) -> Fault {
        let host = self.target.host();
        let came = escape(&error.to_string());
        match error {
            DialError::Resolve { .. } => Fault::new(
                FaultId::DnsFailed,
                format!("an address for {host}"),
                came,
                "check the spelling of the name, and the name service of this machine",
            )
            .blame(Blame::Dns),
            DialError::Connect(_) => Fault::new(
                FaultId::TcpFailed,
                format!("a connection to port {}", self.target.port()),
                came,
                "check that the server runs and listens on this address and port, and that no firewall refuses it",
            )
            .blame(Blame::Network),
            DialError::Proxy { source, .. } => proxy_fault(source, came),
            DialError::Tls(error) => tls_fault(error, host, came),
            DialError::Timeout { phase, .. } => self.timeout_fault(*phase),
            _ => Fault::new(FaultId::TcpFailed, "a connection", came, "check the URL").blame(Blame::Caller),
        }
    }

    fn timeout_fault(&self, phase: Phase) -> Fault {
        let (after, host) = (self.timeout, self.target.host());
        let came = format!("nothing in the {phase} for {after:?}");
        let new = |id, expected: &str, advice| {
            Fault::new(id, format!("{expected} within {after:?}"), came.clone(), advice)
        };
        match phase {
            Phase::Resolve => new(
                FaultId::DnsTimeout,
                &format!("an address for {host}"),
                "check the name service of this machine",
            )
            .blame(Blame::Dns),
            Phase::Proxy => new(
                FaultId::ProxyTimeout,
                "an answer of the proxy",
                "check the proxy, or use --no-proxy",
            )
            .blame(Blame::Proxy),
            Phase::Tls => new(
                FaultId::TlsTimeout,
                "the end of the TLS handshake",
                "check that this port speaks TLS; a server without it is reached by ws://",
            ),
            _ => new(
                FaultId::TcpTimeout,
                "a connection",
                "a firewall that drops packets, or a machine that is down: check both",
            )
            .blame(Blame::Network),
        }
    }
}

fn peer(stream: &DialStream) -> Option<String> {
    stream.tcp()?.peer_addr().ok().map(|addr| addr.to_string())
}

fn proxy_fault(source: &ProxyError, came: String) -> Fault {
    let advice = match source {
        ProxyError::Resolve(_) | ProxyError::Connect(_) => {
            "check the address of the proxy, or use --no-proxy"
        }
        _ => "check what the proxy allows and its credentials, or use --no-proxy",
    };
    Fault::new(FaultId::ProxyFailed, "a way through the proxy", came, advice).blame(Blame::Proxy)
}

fn tls_fault(error: &TlsError, host: &str, came: String) -> Fault {
    let expected = format!("a TLS handshake with {host}");
    if !matches!(error, TlsError::Handshake { .. }) {
        return Fault::new(
            FaultId::TlsFailed,
            expected,
            came,
            "check the options for TLS and this system's certificates",
        )
        .blame(Blame::Caller);
    }
    if came.contains("invalid peer certificate") {
        let advice = if came.contains("CA:TRUE") {
            "issue a certificate for the server with that authority; one that stands for itself is made with openssl \
             req -x509 -addext basicConstraints=critical,CA:FALSE, and --ca trusts it; -k accepts anything for a look"
        } else {
            "give the server a valid certificate with its whole chain; --ca trusts a private authority, -k accepts \
             anything for a look"
        };
        let expected = format!("a certificate for {host} of an authority that is trusted here");
        return Fault::new(FaultId::TlsCertificate, expected, came, advice);
    }
    let advice = "check that this port speaks TLS 1.2 or 1.3 and http/1.1; a server without TLS is reached by ws://";
    Fault::new(FaultId::TlsFailed, expected, came, advice)
}

/// Returns what TLS agreed upon.
fn tls(stream: &DialStream, tracker: &PhaseTracker) -> Option<Tls> {
    let DialStream::Tls(stream) = stream else { return None };
    let session = stream.get_ref().1;
    let certificate = session.peer_certificates().and_then(<[_]>::first);
    let version =
        session.protocol_version().map(|version| format!("{version:?}").replace("TLSv1_", "1."));
    Some(Tls {
        version,
        cipher: session.negotiated_cipher_suite().map(|cipher| format!("{:?}", cipher.suite())),
        alpn: session.alpn_protocol().map(|alpn| escape(&String::from_utf8_lossy(alpn))),
        verified: false,
        certificate: certificate.and_then(|der| Validity::parse(der)).map(describe),
        took_ms: millis(between(tracker.entered(Phase::Tls), tracker.entered(Phase::Handshake))),
    })
}

fn describe(validity: Validity) -> Certificate {
    let shown = |time| humantime::format_rfc3339_seconds(time).to_string();
    let now = SystemTime::now();
    Certificate {
        not_before: shown(validity.not_before),
        not_after: shown(validity.not_after),
        days_left: validity.days_left(now),
        ends_soon: validity.ends_soon(now),
    }
}

fn between(from: Option<Instant>, to: Option<Instant>) -> Duration {
    match (from, to) {
        (Some(from), Some(to)) => to.saturating_duration_since(from),
        _ => Duration::ZERO,
    }
}

/// Returns the fault of a certificate that is about to expire.
pub(super) fn expiry_fault(tls: &Tls) -> Option<Fault> {
    let certificate = tls.certificate.as_ref().filter(|it| tls.verified && it.ends_soon)?;
    Some(Fault::new(
        FaultId::TlsExpiresSoon,
        "a certificate that is renewed in time",
        format!(
            "one that ends at {}, {} days from now",
            certificate.not_after, certificate.days_left
        ),
        "renew the certificate, and find out why that did not happen by itself",
    ))
}
