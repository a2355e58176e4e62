//! Durations, as people write them, and the keepalive that is made of two.

use std::{error::Error, fmt, str::FromStr, time::Duration};

use everwire::Keepalive;

/// A duration: `10s`, `500ms`, `2m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period(pub(crate) Duration);

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        humantime::parse_duration(text).map(Self).map_err(|_| PeriodError)
    }
}

/// A text is not a duration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PeriodError;

impl fmt::Display for PeriodError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a duration such as 10s, 500ms or 2m")
    }
}

impl Error for PeriodError {}

/// A keepalive policy, or none: `25s/20s`, `25s`, `off`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct KeepaliveArg(pub(crate) Option<Keepalive>);

impl FromStr for KeepaliveArg {
    type Err = KeepaliveError;

    fn from_str(text: &str) -> Result<Self, KeepaliveError> {
        if text == "off" {
            return Ok(Self(None));
        }
        let period = |text: &str| match text.parse() {
            Ok(Period(period)) if period > Duration::ZERO => Ok(period),
            _ => Err(KeepaliveError),
        };
        let (interval, timeout) = match text.split_once('/') {
            Some((interval, timeout)) => (period(interval)?, period(timeout)?),
            None => (period(text)?, Keepalive::default().timeout),
        };
        Ok(Self(Some(Keepalive::new(interval, timeout))))
    }
}

/// A text is not a keepalive policy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KeepaliveError;

impl fmt::Display for KeepaliveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected INTERVAL/TIMEOUT such as 25s/20s, or off")
    }
}

impl Error for KeepaliveError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!("10s".parse(), Ok(Period(Duration::from_secs(10))));
        assert_eq!("500ms".parse(), Ok(Period(Duration::from_millis(500))));
        for text in ["", "10", "ten seconds", "-1s"] {
            assert_eq!(text.parse::<Period>(), Err(PeriodError), "{text:?}");
        }
    }

    #[test]
    fn a_keepalive_is_an_interval_and_a_timeout_or_off() {
        let [two, one] = [2, 1].map(Duration::from_secs);
        assert_eq!("off".parse(), Ok(KeepaliveArg(None)));
        assert_eq!("2s/1s".parse(), Ok(KeepaliveArg(Some(Keepalive::new(two, one)))));
        let only_interval = Keepalive::new(two, Keepalive::default().timeout);
        assert_eq!("2s".parse(), Ok(KeepaliveArg(Some(only_interval))));
        for text in ["", "on", "2s/", "/1s", "0s/1s", "2/1"] {
            assert_eq!(text.parse::<KeepaliveArg>(), Err(KeepaliveError), "{text:?}");
        }
    }
}
