//! What a close reason says about coming back.

use std::{fmt, time::Duration};

/// When to come back, as the peer advised in the reason of its Close: `retry=1500;spread=20000`,
/// both in milliseconds.
///
/// The wait is `after` and a random part of `spread`, so that many clients which were told the same
/// do not come back at the same moment. Whoever closes many connections writes it; everwire's own
/// clients obey, and for others it is just a reason.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use everwire_proto::Advice;
///
/// let advice = Advice::new(Duration::from_millis(1500), Duration::from_secs(20));
/// assert_eq!(advice.to_string(), "retry=1500;spread=20000");
/// assert_eq!(Advice::parse("deploy; retry=1500; spread=20000"), Some(advice));
/// assert_eq!(Advice::parse("going home"), None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Advice {
    /// The least time to wait.
    pub after: Duration,
    /// Up to so much more is waited, at random.
    pub spread: Duration,
}

impl Advice {
    /// Returns the advice to wait for `after` and a random part of `spread`.
    #[must_use]
    pub const fn new(after: Duration, spread: Duration) -> Self {
        Self { after, spread }
    }

    /// Reads the advice in a close reason; `None` if there is none.
    ///
    /// The parts of the reason are separated by semicolons; those that say something else, or
    /// nothing that can be understood, are passed over.
    #[must_use]
    pub fn parse(reason: &str) -> Option<Self> {
        let (mut after, mut spread) = (None, None);
        for part in reason.split(';') {
            let Some((name, millis)) = part.split_once('=') else { continue };
            let Ok(millis) = millis.trim().parse() else { continue };
            match name.trim() {
                "retry" => after = Some(Duration::from_millis(millis)),
                "spread" => spread = Some(Duration::from_millis(millis)),
                _ => {}
            }
        }
        let is_advice = after.is_some() || spread.is_some();
        is_advice.then(|| Self::new(after.unwrap_or_default(), spread.unwrap_or_default()))
    }
}

impl fmt::Display for Advice {
    /// Writes it as it stands in a close reason.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "retry={};spread={}", self.after.as_millis(), self.spread.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(reason: &str, expected: Option<(u64, u64)>) {
        let millis = Duration::from_millis;
        let expected = expected.map(|(after, spread)| Advice::new(millis(after), millis(spread)));
        assert_eq!(Advice::parse(reason), expected);
    }

    #[test]
    fn advice_is_found_among_other_words() {
        check("retry=1500;spread=20000", Some((1500, 20_000)));
        check(" spread = 7 ; moving house ; retry = 3 ", Some((3, 7)));
        check("retry=0", Some((0, 0)));
        check("spread=5", Some((0, 5)));
    }

    #[test]
    fn what_is_not_advice_is_none() {
        for reason in ["", "bye", "retry", "retry=", "retry=soon", "retry=-1", "retry=1e3", "a=1"] {
            check(reason, None);
        }
        check(&format!("retry={}0", u64::MAX), None);
        check(&format!("retry={}", u64::MAX), Some((u64::MAX, 0)));
    }
}
