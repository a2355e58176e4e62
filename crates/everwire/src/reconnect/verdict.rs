//! Which failures are worth another attempt.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use everwire_proto::{CloseCode, Closure};
use http::StatusCode;

use super::{Failure, Retry};
use crate::{
    ConnectError,
    dial::{DialError, ProxyError},
    tls::TlsError,
};

/// An error of the application's own code.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// The shortest time over which clients spread that were all told the same `Retry-After`.
const SPREAD: Duration = Duration::from_secs(1);

/// How an attempt or a connection ended: what a decision about the next one is made of.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Ending {
    /// There was a connection, and it ended.
    Closed(Arc<Closure>),
    /// There was no connection.
    Failed(Arc<AttemptError>),
}

/// Why an attempt came to nothing.
#[derive(Debug)]
#[non_exhaustive]
pub enum AttemptError {
    /// The provider of URLs failed, or gave what is no URL.
    Url(BoxError),
    /// The provider of headers failed, or gave what cannot be sent.
    Headers(BoxError),
    /// The attempt to connect failed.
    Connect(ConnectError),
    /// The `on_connect` hook failed.
    Hook(BoxError),
    /// The provider of a session's tickets failed, or gave one that is too long.
    Ticket(BoxError),
    /// The server offers no sessions: it did not select `everwire.v1`.
    NoSessions {
        /// What it selected instead.
        selected: Option<String>,
    },
    /// The server answered a session's HELLO, and did not attach the session.
    NotAttached(Refusal),
}

/// Why a server that speaks `everwire.v1` did not attach a session. Another attempt follows; but where there
/// is no provider of tickets, or a fresh ticket is refused too, [`Ticket`](Self::Ticket) is the end.
///
/// # Examples
///
/// ```
/// use everwire::reconnect::{AttemptError, Ending, Refusal};
///
/// /// What to show while there is no connection.
/// fn hint(last: &Ending) -> &'static str {
///     match last {
///         Ending::Failed(error) => match **error {
///             AttemptError::NotAttached(Refusal::Busy { .. }) => "the server is busy",
///             AttemptError::NotAttached(Refusal::Ticket) => "signing in again",
///             _ => "connecting",
///         },
///         _ => "connection lost",
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It is busy.
    Busy {
        /// It wants to be tried again after this.
        after: Duration,
    },
    /// It sends its clients to another URL.
    Moved,
    /// It wants a ticket, or a newer one than it was shown.
    Ticket,
    /// It did not answer the HELLO in time.
    Silent,
}

/// A provider or a hook did not finish in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// The time that was allowed.
    pub after: Duration,
}

impl Ending {
    /// Returns what the policy does about it: what a function of one's own falls back to.
    ///
    /// | ending | verdict |
    /// |---|---|
    /// | a closure | [`Closure::retry`] |
    /// | a provider or a hook that failed | retry |
    /// | the caller's URL, headers, TLS or proxy settings | never |
    /// | no address, no answer, a timeout, a broken connection | retry |
    /// | a certificate that is not accepted | retry after 30 s and up to 30 s more |
    /// | status 401, 403 | once more with a new token, then never |
    /// | status 408, 425, 429, 5xx | retry, after what `Retry-After` says |
    /// | any other status, redirects that are not followed included | never |
    /// | an answer that breaks HTTP or RFC 6455 | once more, then never |
    /// | a server without sessions, where one is wanted | never |
    /// | a server that does not attach a session | retry, when and where it says |
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Closed(closure) => closure.retry(),
            Self::Failed(error) => match &**error {
                AttemptError::Connect(error) => connect_error(error),
                AttemptError::NoSessions { .. } => Retry::Never,
                _ => Retry::Now,
            },
        }
    }

    /// Returns the closure, if there was a connection.
    #[must_use]
    pub fn closure(&self) -> Option<&Arc<Closure>> {
        match self {
            Self::Closed(closure) => Some(closure),
            Self::Failed(_) => None,
        }
    }

    /// Returns why the attempt came to nothing, if there was no connection.
    #[must_use]
    pub fn error(&self) -> Option<&AttemptError> {
        match self {
            Self::Closed(_) => None,
            Self::Failed(error) => Some(error),
        }
    }

    /// Returns the HTTP status with which the server refused.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self.error()? {
            AttemptError::Connect(error) => error.status(),
            _ => None,
        }
    }

    /// Returns what the state machine is told, with this verdict.
    pub(crate) fn failure(&self, retry: Retry) -> Failure {
        let timed_out = matches!(
            self.error(), Some(AttemptError::Connect(error)) if error.is_timeout());
        let server_fault =
            self.closure().is_some_and(|closure| closure.code() == CloseCode::INTERNAL_ERROR);
        Failure { timed_out, server_fault, ..Failure::new(retry) }
    }
}

fn connect_error(error: &ConnectError) -> Retry {
    match error {
        ConnectError::Refused(refused) => status(refused.status, refused.retry_after()),
        ConnectError::Dial(error) => dial_error(error),
        // A deploy or a proxy in between may be the reason; a wrong server stays wrong.
        ConnectError::Handshake(_) => Retry::FreshSessionOnce,
        ConnectError::Io(_) | ConnectError::Closed { .. } => Retry::Now,
        ConnectError::Url(_)
        | ConnectError::Header { .. }
        | ConnectError::Request(_)
        | ConnectError::Tls
        | ConnectError::TooManyRedirects { .. }
        | ConnectError::InsecureRedirect { .. }
        | ConnectError::BadRedirect { .. } => Retry::Never,
    }
}

fn status(status: StatusCode, after: Option<Duration>) -> Retry {
    match (status.as_u16(), after) {
        (401 | 403, _) => Retry::RefreshTokenOnce,
        (408 | 425 | 429 | 500..=599, Some(after)) => retry_after(after),
        (408 | 425 | 429 | 500..=599, None) => Retry::Now,
        _ => Retry::Never,
    }
}

/// Returns the verdict on a refusal with `Retry-After`: everybody may have been told the same time,
/// so a tenth of it, and at least a second, is their spread. See RFC 9110 §10.2.3.
#[must_use]
pub fn retry_after(after: Duration) -> Retry {
    Retry::After { after, spread: (after / 10).max(SPREAD) }
}

fn dial_error(error: &DialError) -> Retry {
    match error {
        DialError::Url(_) => Retry::Never,
        DialError::Resolve { .. }
        | DialError::Connect(_)
        | DialError::Connector { .. }
        | DialError::Timeout { .. } => Retry::Now,
        DialError::Tls(error) => tls_error(error),
        DialError::Proxy { source, .. } => match source {
            ProxyError::Resolve(_) | ProxyError::Connect(_) | ProxyError::Io(_) => Retry::Now,
            ProxyError::Tls(error) => tls_error(error),
            // RFC 1928 §6: 3 to 6 are of the network and the host behind the proxy.
            ProxyError::Socks5Refused { reply: 1 | 3..=6 } => Retry::Now,
            ProxyError::Refused(refused) => match status(refused.status, None) {
                Retry::RefreshTokenOnce => Retry::Never, // The token is not for the proxy.
                retry => retry,
            },
            _ => Retry::Never,
        },
    }
}

/// A certificate may be renewed and a clock be set, but not within seconds.
fn tls_error(error: &TlsError) -> Retry {
    const PAUSE: Duration = Duration::from_secs(30);
    match error {
        TlsError::Handshake { source, .. } if source.kind() == std::io::ErrorKind::InvalidData => {
            Retry::After { after: PAUSE, spread: PAUSE }
        }
        TlsError::Handshake { .. } => Retry::Now,
        _ => Retry::Never,
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(closure) => closure.fmt(f),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for AttemptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(source) => write!(f, "provider of urls failed: {source}"),
            Self::Headers(source) => write!(f, "provider of headers failed: {source}"),
            Self::Connect(source) => source.fmt(f),
            Self::Hook(source) => write!(f, "on_connect failed: {source}"),
            Self::Ticket(source) => write!(f, "provider of tickets failed: {source}"),
            Self::NoSessions { selected } => {
                f.write_str("server offers no sessions here: expected it to select the subprotocol everwire.v1, it selected ")?;
                match selected {
                    Some(name) => write!(f, "{name}"),
                    None => f.write_str("none"),
                }
            }
            Self::NotAttached(refusal) => refusal.fmt(f),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("server did not attach the session: ")?;
        match self {
            Self::Busy { after } => {
                write!(f, "it is busy, and wants to be tried again after {after:?}")
            }
            Self::Moved => f.write_str("it sends its clients to another url"),
            Self::Ticket => f.write_str("it wants a ticket, or a newer one than it was shown"),
            Self::Silent => f.write_str("it did not answer the HELLO in time"),
        }
    }
}

impl Error for Refusal {}

impl Error for AttemptError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // The message repeats the inner error, so the chain goes on below it.
        match self {
            Self::Url(source)
            | Self::Headers(source)
            | Self::Hook(source)
            | Self::Ticket(source) => source.source(),
            Self::Connect(source) => source.source(),
            Self::NoSessions { .. } | Self::NotAttached(_) => None,
        }
    }
}

impl fmt::Display for Overdue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not done within {:?}", self.after)
    }
}

impl Error for Overdue {}
