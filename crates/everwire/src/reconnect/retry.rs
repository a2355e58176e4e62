//! Stands in for `Closure::retry`.

use std::time::Duration;

use everwire_proto::{Cause, CloseCode, Closure};

/// Whether another attempt makes sense, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retry {
    /// Now.
    Now,
    /// Later.
    After {
        /// Not before.
        after: Duration,
        /// Spread.
        spread: Duration,
    },
    /// Once with a new token.
    RefreshTokenOnce,
    /// Once with a new session.
    FreshSessionOnce,
    /// Never.
    Never,
}

pub(super) trait ClosureExt {
    fn retry(&self) -> Retry;
}

impl ClosureExt for Closure {
    fn retry(&self) -> Retry {
        if let Some((after, spread)) = advice(self.reason()) {
            return Retry::After { after, spread };
        }
        match self.cause {
            Cause::LocalClosed | Cause::Kicked | Cause::Idle => Retry::Never,
            Cause::PeerClosed => match u16::from(self.code()) {
                1000 | 1008 | 1009 | 4500..=4999 | 3500..=3999 => Retry::Never,
                1002 | 1003 | 1007 | 1010 => Retry::FreshSessionOnce,
                1012 => {
                    Retry::After { after: Duration::from_secs(5), spread: Duration::from_secs(25) }
                }
                1013 => {
                    Retry::After { after: Duration::from_secs(30), spread: Duration::from_secs(30) }
                }
                3000 | 3003 => Retry::RefreshTokenOnce,
                _ => Retry::Now,
            },
            _ => Retry::Now,
        }
    }
}

fn advice(reason: &str) -> Option<(Duration, Duration)> {
    let (mut after, mut spread) = (None, Duration::ZERO);
    for field in reason.split(';') {
        match field.trim().split_once('=') {
            Some(("retry", ms)) => after = Some(Duration::from_millis(ms.parse().ok()?)),
            Some(("spread", ms)) => spread = Duration::from_millis(ms.parse().ok()?),
            _ => {}
        }
    }
    after.map(|after| (after, spread))
}

#[allow(unused)]
fn _code(_: CloseCode) {}
