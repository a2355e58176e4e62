//! Why a connection ended.

use std::{fmt, io, time::Duration};

use crate::{CloseCode, CloseFrame, MaxAge, ProtocolError};

/// Private codes of everwire: 4000 to 4499 say come back, 4500 to 4999 do not.
const SLOW_CONSUMER: CloseCode = CloseCode::new(4413).expect("in range");
const SUPERSEDED: CloseCode = CloseCode::new(4509).expect("in range");

/// Who or what ended a connection.
///
/// A connection ends of itself with what it finds out: the peer's Close, the end of the stream, a
/// failure, a deadline, a broken rule. The others are said by the engine or the application:
///
/// | cause | said by |
/// |---|---|
/// | [`LocalClosed`](Self::LocalClosed) | [`Connection::close`](crate::Connection::close) |
/// | [`Kicked`](Self::Kicked), [`Shutdown`](Self::Shutdown), [`Superseded`](Self::Superseded), [`SlowConsumer`](Self::SlowConsumer) | [`Connection::close_because`](crate::Connection::close_because) |
/// | [`HandlerPanicked`](Self::HandlerPanicked), [`Cancelled`](Self::Cancelled) | [`Connection::fail`](crate::Connection::fail) |
/// | [`Aborted`](Self::Aborted) | [`Connection::abort`](crate::Connection::abort) |
///
/// What was decided is not forgotten when the closing handshake then comes to nothing: an end that
/// began as `Kicked`, `Shutdown`, `MaxAge`, `Superseded`, `SlowConsumer` or `Idle` keeps that cause, and
/// [`Closure::failure`](crate::Closure::failure) says what came in the way, such as
/// [`CloseTimeout`](Self::CloseTimeout). `LocalClosed` says no more than that we closed, which
/// [`Closure::ours`](crate::Closure::ours) says as well, so there what came in the way is the cause.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Cause {
    /// The peer sent Close first, and the closing handshake was done.
    PeerClosed,
    /// We sent Close first, and the closing handshake was done.
    LocalClosed,
    /// Ended from elsewhere by its id.
    Kicked,
    /// The server shuts down.
    Shutdown,
    /// The connection reached its maximum age.
    MaxAge,
    /// A newer connection took its place.
    Superseded,
    /// The peer ended the stream after a whole frame, without a Close.
    EofBetweenFrames,
    /// The peer ended the stream inside a frame.
    EofMidFrame,
    /// The peer's system reset the connection.
    Reset,
    /// The system gave up: data was not acknowledged in time.
    PathTimeout,
    /// The network said that the peer cannot be reached.
    Unreachable,
    /// TLS failed, or its stream ended without a goodbye.
    Tls,
    /// Another failure of the system.
    Io(io::ErrorKind),
    /// The peer stopped answering.
    KeepaliveTimeout {
        /// How long nothing was received.
        silent_for: Duration,
    },
    /// The application's own heartbeat went unanswered.
    HeartbeatTimeout,
    /// The peer did not answer our Close in time.
    CloseTimeout,
    /// The peer took nothing of what we had to send for the write timeout.
    WriteTimeout,
    /// The peer did not keep up with what was sent to it.
    SlowConsumer,
    /// No message went either way for the idle timeout.
    Idle,
    /// A message did not finish in time.
    MessageTimeout {
        /// How many bytes of it had arrived.
        received: u64,
    },
    /// The peer sent too many control frames.
    RateLimited,
    /// The peer broke RFC 6455.
    Protocol(ProtocolError),
    /// A frame of the peer is over the limit on frames.
    FrameTooBig {
        /// The limit in bytes.
        limit: u64,
        /// The size that was announced, in bytes.
        size: u64,
    },
    /// A message of the peer is over the limit.
    MessageTooBig {
        /// The limit in bytes.
        limit: u64,
        /// The size that was announced, in bytes; of a compressed message what had been inflated when
        /// it was too much.
        size: u64,
    },
    /// A message of the peer has more frames than allowed.
    TooManyFragments {
        /// The limit.
        limit: u32,
    },
    /// A text message of the peer is not UTF-8.
    InvalidUtf8,
    /// A compressed message of the peer is corrupt (RFC 7692 §7.2.2).
    InvalidDeflate,
    /// The application's handler panicked.
    HandlerPanicked,
    /// Our side dropped the connection without closing it.
    Cancelled,
    /// Our side cut the connection on purpose.
    Aborted,
}

impl Cause {
    /// Returns the Close frame that tells the peer, for causes that are found while it can still
    /// read one.
    #[must_use]
    pub fn close_frame(&self) -> Option<CloseFrame> {
        let (code, reason) = match self {
            Self::Protocol(error) => (error.close_code(), error.to_string()),
            Self::FrameTooBig { .. }
            | Self::MessageTooBig { .. }
            | Self::TooManyFragments { .. } => (CloseCode::MESSAGE_TOO_BIG, self.to_string()),
            Self::InvalidUtf8 | Self::InvalidDeflate => {
                (CloseCode::INVALID_FRAME_PAYLOAD_DATA, self.to_string())
            }
            Self::RateLimited | Self::MessageTimeout { .. } => {
                (CloseCode::POLICY_VIOLATION, self.to_string())
            }
            // 1008 would say: do not come back.
            Self::SlowConsumer => (SLOW_CONSUMER, self.to_string()),
            Self::HandlerPanicked => (CloseCode::INTERNAL_ERROR, String::new()),
            Self::KeepaliveTimeout { .. } => {
                (CloseCode::INTERNAL_ERROR, "keepalive timeout".into())
            }
            Self::HeartbeatTimeout => (CloseCode::INTERNAL_ERROR, "heartbeat timeout".into()),
            Self::LocalClosed => (CloseCode::NORMAL_CLOSURE, String::new()),
            Self::Kicked => (CloseCode::POLICY_VIOLATION, String::new()),
            Self::Shutdown => (CloseCode::SERVICE_RESTART, String::new()),
            Self::MaxAge => (CloseCode::GOING_AWAY, MaxAge::ADVICE.to_string()),
            Self::Superseded => (SUPERSEDED, "superseded".into()),
            Self::Idle => (CloseCode::NORMAL_CLOSURE, "idle".into()),
            Self::Cancelled => (CloseCode::GOING_AWAY, String::new()),
            _ => return None,
        };
        Some(CloseFrame::internal(code, &reason))
    }

    /// Returns a word for metrics and logs, such as `peer_closed`.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::PeerClosed => "peer_closed",
            Self::LocalClosed => "local_closed",
            Self::Kicked => "kicked",
            Self::Shutdown => "shutdown",
            Self::MaxAge => "max_age",
            Self::Superseded => "superseded",
            Self::EofBetweenFrames => "eof_between_frames",
            Self::EofMidFrame => "eof_mid_frame",
            Self::Reset => "reset",
            Self::PathTimeout => "path_timeout",
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::Io(_) => "io",
            Self::KeepaliveTimeout { .. } => "keepalive_timeout",
            Self::HeartbeatTimeout => "heartbeat_timeout",
            Self::CloseTimeout => "close_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::SlowConsumer => "slow_consumer",
            Self::Idle => "idle",
            Self::MessageTimeout { .. } => "message_timeout",
            Self::RateLimited => "rate_limited",
            Self::Protocol(_) => "protocol",
            Self::FrameTooBig { .. } => "frame_too_big",
            Self::MessageTooBig { .. } => "message_too_big",
            Self::TooManyFragments { .. } => "too_many_fragments",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::InvalidDeflate => "invalid_deflate",
            Self::HandlerPanicked => "handler_panicked",
            Self::Cancelled => "cancelled",
            Self::Aborted => "aborted",
        }
    }

    /// Returns whether a closing handshake is how this cause ends.
    pub(crate) fn is_handshake(&self) -> bool {
        use Cause::{
            Idle, Kicked, LocalClosed, MaxAge, PeerClosed, Shutdown, SlowConsumer, Superseded,
        };
        let ours = matches!(self, LocalClosed | Kicked | Shutdown | MaxAge | Superseded);
        ours || matches!(self, PeerClosed | SlowConsumer | Idle)
    }

    /// Returns whether it is a decision of ours that tells more than that we closed.
    pub(crate) fn is_decision(&self) -> bool {
        self.is_handshake() && !matches!(self, Self::PeerClosed | Self::LocalClosed)
    }
}

impl Cause {
    /// Returns the cause that a failure of a TLS stream is: what TLS itself reports, and what
    /// its socket does.
    pub(crate) fn from_tls(error: &io::Error) -> Self {
        match error.kind() {
            // A record that is not TLS, a certificate that is refused; an end without
            // close_notify.
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Self::Tls,
            _ => Self::from(error),
        }
    }
}

impl From<&io::Error> for Cause {
    /// Sorts a failure of the socket; what is not listed keeps its kind.
    ///
    /// It is never [`Cause::Tls`], because only the engine knows what the stream is: see
    /// [`Connection::set_tls`](crate::Connection::set_tls).
    fn from(error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        match error.kind() {
            Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe => Self::Reset,
            Kind::TimedOut => Self::PathTimeout,
            Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown => {
                Self::Unreachable
            }
            kind => Self::Io(kind),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PeerClosed => f.write_str("the peer closed"),
            Self::LocalClosed => f.write_str("we closed"),
            Self::Kicked => f.write_str("closed from elsewhere"),
            Self::Shutdown => f.write_str("the server shut down"),
            Self::MaxAge => f.write_str("the connection reached its maximum age"),
            Self::Superseded => f.write_str("a newer connection took its place"),
            Self::EofBetweenFrames => f.write_str("the peer ended the stream without a Close"),
            Self::EofMidFrame => f.write_str("the peer ended the stream inside a frame"),
            Self::Reset => f.write_str("the connection was reset by the peer's system"),
            Self::PathTimeout => f.write_str("the path died: data was not acknowledged in time"),
            Self::Unreachable => f.write_str("the peer cannot be reached"),
            Self::Tls => f.write_str("TLS failed or was cut short"),
            Self::Io(kind) => write!(f, "the system failed: {kind}"),
            Self::KeepaliveTimeout { silent_for } => write!(
                f,
                "the peer stopped answering: nothing received for {:.1} s, last ping unanswered",
                silent_for.as_secs_f64()
            ),
            Self::HeartbeatTimeout => f.write_str("the peer did not answer the heartbeat"),
            Self::CloseTimeout => f.write_str("the peer did not answer our Close in time"),
            Self::WriteTimeout => f.write_str("the peer took no data for the write timeout"),
            Self::SlowConsumer => f.write_str("the peer did not keep up with what was sent to it"),
            Self::Idle => f.write_str("no message for the idle timeout"),
            Self::MessageTimeout { received } => {
                write!(f, "a message did not finish in time: {received} bytes of it arrived")
            }
            Self::RateLimited => f.write_str("too many control frames (control_rate)"),
            Self::Protocol(error) => write!(f, "protocol error: {error}"),
            Self::FrameTooBig { limit, size } => {
                write!(f, "frame of {size} bytes exceeds the limit of {limit} (frame)")
            }
            Self::MessageTooBig { limit, size } => {
                write!(f, "message of {size} bytes exceeds the limit of {limit} (message)")
            }
            Self::TooManyFragments { limit } => {
                write!(f, "message has more than {limit} fragments (fragments)")
            }
            Self::InvalidUtf8 => f.write_str("text is not UTF-8"),
            Self::InvalidDeflate => f.write_str("a compressed message is corrupt"),
            Self::HandlerPanicked => f.write_str("the handler panicked"),
            Self::Cancelled => f.write_str("dropped by our side without a closing handshake"),
            Self::Aborted => f.write_str("cut by our side"),
        }
    }
}
