//! Why a socket was given up before there was anything to answer.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tracing::field::{DisplayValue, display};

use super::Context;
use crate::trust::ProxyProtocolError;

/// How often it is logged that something looks like a mistake of the operator's.
const WARN_EVERY: Duration = Duration::from_secs(5);

/// Why an opening handshake ended without an answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// A trusted proxy sent no PROXY protocol header, or a bad one.
    ProxyHeader(ProxyProtocolError),
    /// The TLS handshake failed.
    #[cfg(feature = "tls")]
    Tls(io::Error),
    /// It took too long.
    Timeout,
    /// The client went before its request was complete.
    Eof,
    /// The socket failed.
    Io(io::Error),
}

impl Failure {
    /// Returns the word for metrics.
    fn label(&self) -> &'static str {
        match self {
            Self::ProxyHeader(_) => "proxy_header",
            #[cfg(feature = "tls")]
            Self::Tls(_) => "tls",
            Self::Timeout => "timeout",
            Self::Eof => "eof",
            Self::Io(_) => "io",
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Eof,
            _ => Self::Io(error),
        }
    }
}

impl From<ProxyProtocolError> for Failure {
    fn from(error: ProxyProtocolError) -> Self {
        match error {
            ProxyProtocolError::Io(error) => error.into(),
            error => Self::ProxyHeader(error),
        }
    }
}

#[cfg(feature = "tls")]
impl From<crate::tls::TlsError> for Failure {
    fn from(error: crate::tls::TlsError) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        match error {
            crate::tls::TlsError::Handshake { source, .. } => match source.kind() {
                UnexpectedEof | BrokenPipe | ConnectionAborted | ConnectionReset => source.into(),
                _ => Self::Tls(source),
            },
            error => Self::Tls(io::Error::other(error)),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ProxyHeader(error) => error.fmt(f),
            #[cfg(feature = "tls")]
            Self::Tls(error) => write!(f, "TLS handshake failed: {error}"),
            Self::Timeout => f.write_str("opening handshake took too long"),
            Self::Eof => f.write_str("client went before its request was complete"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl Context {
    /// Counts a handshake that ended without an answer, and says what looks like a mistake in the
    /// set-up.
    pub(super) fn failed(&self, remote: Option<SocketAddr>, failure: &Failure) {
        self.registry.count_failed(failure.label());
        if matches!(failure, Failure::ProxyHeader(_)) && self.warnings.is_due(crate::clock::now()) {
            tracing::warn!(
                remote = bare(remote), %failure,
                "trusted proxy refused: let it send the PROXY protocol, or do not expect it"
            );
        } else {
            tracing::debug!(remote = bare(remote), %failure, "opening handshake failed");
        }
    }

    /// Says that a header of the PROXY protocol came from somebody who is not believed.
    pub(super) fn warn_of_untrusted_proxy(&self, remote: Option<SocketAddr>) {
        if self.warnings.is_due(crate::clock::now()) {
            tracing::warn!(
                remote = bare(remote),
                "PROXY protocol header refused: its sender is not one of the trusted proxies"
            );
        }
    }
}

/// Returns an address as the log shows it; nothing for a socket that has none, such as a Unix one.
fn bare(remote: Option<SocketAddr>) -> Option<DisplayValue<SocketAddr>> {
    remote.map(display)
}

/// Lets something be said now and then.
#[derive(Debug, Default)]
pub(super) struct Warnings(Mutex<Option<Instant>>);

impl Warnings {
    /// Returns whether the last time was long enough ago; then this is the last time.
    fn is_due(&self, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| now >= last + WARN_EVERY);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_due_once_in_five_seconds() {
        let (warnings, start) = (Warnings::default(), Instant::now());
        let is_due = |millis| warnings.is_due(start + Duration::from_millis(millis));
        assert_eq!(
            [0, 1, 4999, 5000, 9999, 10_000].map(is_due),
            [true, false, false, true, false, true]
        );
    }

    #[test]
    fn an_early_end_is_the_same_wherever_it_comes() {
        let eof = || io::Error::from(io::ErrorKind::UnexpectedEof);
        assert_eq!(Failure::from(eof()).label(), "eof");
        assert_eq!(Failure::from(ProxyProtocolError::Io(eof())).label(), "eof");
        assert_eq!(Failure::from(ProxyProtocolError::NoHeader).label(), "proxy_header");
        #[cfg(feature = "tls")]
        {
            let tls = |source| crate::tls::TlsError::Handshake { peer: "client".into(), source };
            assert_eq!(Failure::from(tls(eof())).label(), "eof");
            let reset = io::ErrorKind::ConnectionReset.into();
            assert_eq!(Failure::from(tls(reset)).label(), "io");
            let invalid = io::ErrorKind::InvalidData.into();
            assert_eq!(Failure::from(tls(invalid)).label(), "tls");
        }
    }
}
