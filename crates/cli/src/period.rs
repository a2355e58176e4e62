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

/// Reads a duration that is not nothing.
///
/// # Errors
/// What was expected.
pub(crate) fn some_time(text: &str) -> Result<Period, &'static str> {
    let some = text.parse().ok().filter(|Period(period)| *period > Duration::ZERO);
    some.ok_or("expected a duration of more than 0s, such as 10s, 500ms or 2m")
}

/// Reads a duration of whole milliseconds, as they go on the wire, that is not nothing.
///
/// # Errors
/// What was expected.
pub(crate) fn millisecond_or_more(text: &str) -> Result<Period, &'static str> {
    let some = text.parse().ok().filter(|Period(period)| *period >= Duration::from_millis(1));
    some.ok_or("expected a duration of at least 1ms, such as 10s, 500ms or 2m")
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
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

/// A keepalive policy, or none: `25s/20s`, `fast`, `standard`, `off`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct KeepaliveArg(pub(crate) Option<Keepalive>);

impl FromStr for KeepaliveArg {
    type Err = KeepaliveError;

    fn from_str(text: &str) -> Result<Self, KeepaliveError> {
        match text {
            "off" => return Ok(Self(None)),
            "standard" => return Ok(Self(Some(Keepalive::standard()))),
            "fast" => return Ok(Self(Some(Keepalive::fast()))),
            _ => {}
        }
        let period = |text: &str| match text.parse() {
            Ok(Period(period)) if period > Duration::ZERO => Ok(period),
            _ => Err(KeepaliveError),
        };
        let (interval, timeout) = text.split_once('/').ok_or(KeepaliveError)?;
        Ok(Self(Some(Keepalive::new(period(interval)?, period(timeout)?))))
    }
}

/// A text is not a keepalive policy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KeepaliveError;

impl fmt::Display for KeepaliveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected INTERVAL/TIMEOUT such as 25s/20s, fast, standard or off")
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
    fn some_time_is_more_than_nothing() {
        assert_eq!(some_time("1ms"), Ok(Period(Duration::from_millis(1))));
        assert!(["0s", "0ms", "1", ""].into_iter().all(|text| some_time(text).is_err()));
    }

    #[test]
    fn fast_notices_a_dead_peer_within_five_seconds() {
        let KeepaliveArg(Some(fast)) = "fast".parse().unwrap() else { panic!("fast is off") };
        // The interval is spread by a tenth, and both deadlines are rounded up to 250 ms.
        let latest = fast.interval.mul_f64(1.1) + fast.timeout + Duration::from_millis(500);
        assert!(latest <= Duration::from_secs(5), "{latest:?}");
    }

    #[test]
    fn a_keepalive_is_an_interval_and_a_timeout_or_off() {
        let [two, one] = [2, 1].map(Duration::from_secs);
        assert_eq!("off".parse(), Ok(KeepaliveArg(None)));
        assert_eq!("2s/1s".parse(), Ok(KeepaliveArg(Some(Keepalive::new(two, one)))));
        assert_eq!("standard".parse(), Ok(KeepaliveArg(Some(Keepalive::standard()))));
        for text in
            ["", "on", "2s", "5s", "2s/", "/1s", "0s/1s", "1s/0s", "2/1", "2s/1s/1s", "Fast"]
        {
            assert_eq!(text.parse::<KeepaliveArg>(), Err(KeepaliveError), "{text:?}");
        }
    }
}
