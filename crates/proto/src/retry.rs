//! Whether it makes sense to come back.

use std::time::Duration;

use crate::{Advice, Cause, CloseCode, Closure};

/// Whether to connect again after a connection has ended, and when.
///
/// [`Closure::retry`] follows this table. What the peer's Close says counts first; without one, the
/// cause does. Advice in the peer's reason ([`Advice`]) turns [`Now`](Self::Now) and
/// [`After`](Self::After) into an `After` of its own; it does not make a final code less final.
///
/// | the peer's code | verdict |
/// |---|---|
/// | 1000 | never: all is said |
/// | 1001, 1005, 1006, 1011, 1014 | now |
/// | 1012 | after 5 s, spread over 25 s |
/// | 1013 | after 30 s, spread over 30 s |
/// | 1002, 1003, 1007, 1010 | once, with a fresh session |
/// | 1008 | never |
/// | 1009 | now; what was too big must not be sent again |
/// | 3000 (unauthorised), 4401, 4501 | once, with a fresh token |
/// | 3003 (forbidden), 3500–3999, 4500–4999 | never |
/// | other 3000–3499, 4000–4499 | now |
///
/// | without a Close of the peer | verdict |
/// |---|---|
/// | our side ended it: closed, kicked, shut down, idle, dropped, cut | never |
/// | our side's maximum age | now |
/// | the path or the peer's process went away, or fell silent | now |
/// | the peer broke the protocol or a limit; our handler panicked | once, with a fresh session |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retry {
    /// Connect again, by the client's own backoff.
    Now,
    /// Connect again, but not before `after`, and then spread at random over `spread`.
    After {
        /// The least time to wait.
        after: Duration,
        /// Up to so much more is waited, at random.
        spread: Duration,
    },
    /// Connect again once with a new token; if that ends in the same way, stop.
    RefreshTokenOnce,
    /// Connect again once without resuming anything; if that ends in the same way, stop.
    FreshSessionOnce,
    /// Do not connect again: it would end in the same way, or it is what was wanted.
    Never,
}

impl Retry {
    pub(crate) fn after(closure: &Closure) -> Self {
        let Some(received) = &closure.received else { return Self::without_close(closure) };
        if closure.ours && closure.cause != Cause::MaxAge {
            return Self::Never; // The peer only answered.
        }
        match Self::by_code(received.code) {
            verdict @ (Self::Now | Self::After { .. }) => {
                Advice::parse(&received.reason).map_or(verdict, |advice| Self::After {
                    after: advice.after,
                    spread: advice.spread,
                })
            }
            verdict => verdict,
        }
    }

    fn by_code(code: CloseCode) -> Self {
        let seconds = Duration::from_secs;
        match u16::from(code) {
            1012 => Self::After { after: seconds(5), spread: seconds(25) },
            1013 => Self::After { after: seconds(30), spread: seconds(30) },
            1002 | 1003 | 1007 | 1010 => Self::FreshSessionOnce,
            3000 | 4401 | 4501 => Self::RefreshTokenOnce,
            1000 | 1008 | 3003 | 3500..=3999 | 4500..=4999 => Self::Never,
            _ => Self::Now,
        }
    }

    fn without_close(closure: &Closure) -> Self {
        match &closure.cause {
            Cause::MaxAge => Self::Now,
            _ if closure.ours => Self::Never,
            Cause::Protocol(_)
            | Cause::FrameTooBig { .. }
            | Cause::MessageTooBig { .. }
            | Cause::TooManyFragments { .. }
            | Cause::InvalidUtf8
            | Cause::InvalidDeflate
            | Cause::RateLimited
            | Cause::HandlerPanicked => Self::FreshSessionOnce,
            _ => Self::Now,
        }
    }
}
