//! The exit status, and the last line that says why.

use everwire::{
    Cause, CloseCode, Closure, ConnectError,
    reconnect::AttemptError,
    session::{ClientEnd, ClientStop, Code, EndedBy},
};

use super::interrupts::Interrupt;

/// What a session saw before its end.
pub(super) struct Course {
    /// A server has attached it.
    pub(super) attached: bool,
    /// The code that the user wanted it to end with, once it was to end.
    pub(super) asked: Option<Code>,
    /// Messages were lost.
    pub(super) lost: bool,
    /// What is stored is not the session as it was left.
    pub(super) behind: bool,
}

/// How it all ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) status: u8,
    /// What to say on stderr.
    pub(super) line: Option<String>,
}

impl Verdict {
    /// The command line is wrong, or the input is.
    pub(super) fn usage(what: impl AsRef<str>) -> Self {
        Self { status: 2, line: Some(format!("everwire: {}", what.as_ref())) }
    }

    /// There is no connection.
    pub(super) fn no_connection(error: &ConnectError) -> Self {
        let is_ours = matches!(
            error,
            ConnectError::Url(_) | ConnectError::Header { .. } | ConnectError::Request(_)
        );
        let status = if is_ours { 2 } else { 3 };
        Self { status, line: Some(format!("everwire: {error}")) }
    }

    /// Time is up.
    pub(super) fn timeout(after: std::time::Duration, what: &str) -> Self {
        Self { status: 6, line: Some(format!("everwire: timed out after {after:?}: {what}")) }
    }

    /// The user does not want to wait for the end.
    pub(super) fn interrupted(by: Interrupt) -> Self {
        Self { status: by.status(), line: None }
    }

    /// Nobody reads what we write.
    pub(super) fn unread() -> Self {
        Self { status: 0, line: None }
    }

    /// A reconnecting client stopped while no connection was open.
    pub(super) fn down(why: &str, missing: Option<String>) -> Self {
        let missing = missing.map(|missing| format!("; {missing}")).unwrap_or_default();
        Self { status: 3, line: Some(format!("everwire: {why}{missing}")) }
    }

    /// A session has ended, or its client has stopped.
    pub(super) fn session(end: &ClientEnd, course: &Course, missing: Option<String>) -> Self {
        let is_fine = match &end.why {
            ClientStop::Failed(error) => {
                if let AttemptError::Connect(error) = &**error {
                    return Self::no_connection(error);
                }
                let hint = match &**error {
                    AttemptError::NoSessions { .. } => " (connect without --session)",
                    _ => "",
                };
                return Self::down(&format!("{end}{hint}"), missing);
            }
            ClientStop::Left if course.behind => {
                let line = "session left, but not stored: the next run does not find it as it is";
                return Self { status: 4, line: Some(line.to_owned()) };
            }
            ClientStop::Left => true,
            // The code may be the user's (--close). Another is the client's, which gave up.
            ClientStop::Session { by: EndedBy::Us, code, .. } => {
                let is_asked = course.asked == Some(*code);
                match (course.attached, is_asked) {
                    (true, _) => is_asked && end.unacknowledged.is_empty(),
                    (false, true) => return Self::down("there was no connection", missing),
                    (false, false) => return Self::down(&end.to_string(), missing),
                }
            }
            _ => end.is_clean(),
        };
        let status = if is_fine && !course.lost && missing.is_none() { 0 } else { 4 };
        let missing = missing.map(|missing| format!("; {missing}")).unwrap_or_default();
        Self { status, line: Some(format!("{end}{missing}")) }
    }

    /// The connection has ended. `missing` says what should have come before.
    pub(super) fn closed(closure: &Closure, missing: Option<String>) -> Self {
        let status = if is_fine(closure) && missing.is_none() { 0 } else { 4 };
        let missing = missing.map(|missing| format!("; {missing}")).unwrap_or_default();
        Self { status, line: Some(format!("{}{missing}", explain(closure))) }
    }
}

/// Tells whether the closing handshake was done, and not because of a failure.
fn is_fine(closure: &Closure) -> bool {
    let good = [CloseCode::NORMAL_CLOSURE, CloseCode::GOING_AWAY, CloseCode::NO_STATUS_RCVD];
    let is_echo = closure.cause != Cause::PeerClosed
        && closure.sent.as_ref().is_some_and(|sent| sent.code == closure.code());
    closure.is_clean() && (is_echo || good.contains(&closure.code()))
}

/// Says how a connection ended, and what that means.
fn explain(closure: &Closure) -> String {
    let Some(received) = closure.received.as_ref().filter(|_| closure.is_clean()) else {
        return format!("connection lost: {closure}{}", hint(&closure.cause));
    };
    let who = match closure.cause {
        Cause::PeerClosed => "closed by the server",
        _ => "closed",
    };
    let code = match received.code {
        CloseCode::NO_STATUS_RCVD => "without a code".to_owned(),
        code => format!("with {code}"),
    };
    let reason = match closure.reason() {
        "" => String::new(),
        reason => format!(" {reason:?}"),
    };
    format!("{who} {code}{reason} ({})", words(received.code))
}

/// Says what a close code means. See RFC 6455 §7.4.
fn words(code: CloseCode) -> String {
    let text = match u16::from(code) {
        1000 => "normal closure: all is said",
        1001 => "going away: the server shuts down, or a page is left",
        1002 => "protocol error: we broke the protocol, says the server",
        1003 => "unsupported data: it does not take this type of message",
        1005 => "no status: it closed properly but gave no code",
        1007 => "invalid payload: a text message was not UTF-8, or its content is wrong",
        1008 => "policy violation: it does not allow what we did",
        1009 => "message too big: send smaller messages",
        1010 => "mandatory extension: it needs an extension that was not agreed on",
        1011 => "internal error: the server failed",
        1012 => "service restart: connect again in a moment",
        1013 => "try again later: the server is overloaded",
        1014 => "bad gateway: a server behind it gave an invalid answer",
        3000 => "unauthorized: the credentials are missing or have expired",
        3003 => "forbidden: the credentials do not allow this",
        3008 => "timeout: we took too long",
        code if code < 3000 => "reserved for the protocol, with no meaning yet",
        code if code < 4000 => "registered by a library or framework",
        _ => "private: its meaning is the application's",
    };
    text.to_owned()
}

/// Says what to think of an end without a closing handshake.
fn hint(cause: &Cause) -> &'static str {
    match cause {
        Cause::EofBetweenFrames | Cause::EofMidFrame | Cause::Reset => {
            " (the server, or something on the way, cut the connection without a Close frame; browsers call this 1006)"
        }
        Cause::MessageTooBig { .. } => " (raise it with --max-message)",
        Cause::KeepaliveTimeout { .. } => {
            " (the server or the network is gone; --keepalive sets how soon this is noticed)"
        }
        Cause::CloseTimeout => {
            " (the server did not answer our Close frame; --close-timeout sets how long to wait)"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_words() {
        for code in (1000..=4999).filter_map(CloseCode::new) {
            assert!(!words(code).is_empty());
        }
        assert!(words(CloseCode::new(4001).unwrap()).starts_with("private"));
    }
}
