//! How long to wait before an attempt.

use std::time::Duration;

use everwire_proto::Random;

/// How often a client that lost its connection tries again. Plain data.
///
/// ```text
///   first retry             U(0, first_spread)
///   the nth after it        U(0, min(cap, base · 2ⁿ))      full jitter
///   from slow_after on      U(slow_min, slow_max)
///   the server's advice     after + U(0, spread)           instead of all these
/// ```
/// Every attempt draws anew, so that clients which lost their connections together do not come
/// back together.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use everwire::reconnect::ReconnectPolicy;
///
/// let mut policy = ReconnectPolicy::default();
/// policy.first_spread = Duration::from_secs(20); // a large fleet
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ReconnectPolicy {
    /// The first retry comes after a random time up to this. Default: 1 s.
    pub first_spread: Duration,
    /// What doubles from retry to retry. Default: 0.5 s.
    pub base: Duration,
    /// The longest time between attempts before [`slow_after`](Self::slow_after). Default: 30 s.
    pub cap: Duration,
    /// How long an outage lasts before attempts become rare. Default: 5 min.
    pub slow_after: Duration,
    /// The shortest time between rare attempts. Default: 30 s.
    pub slow_min: Duration,
    /// The longest time between rare attempts. Default: 5 min.
    pub slow_max: Duration,
    /// How long a connection must have been open for the count to begin anew. Default: 10 s, and a
    /// [`ReconnectingClient`](super::ReconnectingClient) takes twice its keepalive interval if that
    /// is longer, up to a minute.
    pub stable_after: Duration,
    /// The longest wait that a server may ask for, and the longest spread. Default: 1 h.
    pub advice_limit: Duration,
    /// The shortest time between the beginnings of attempts that
    /// [`wake`](super::Reconnector::wake) asks for. Default: 1 s.
    pub wake_spacing: Duration,
    /// The longest time that an attempt may take; it adapts between
    /// [`attempt_min`](Self::attempt_min) and this. Default: 10 s.
    pub attempt_max: Duration,
    /// The shortest time that an attempt is given. Default: 4 s.
    pub attempt_min: Duration,
}

impl Default for ReconnectPolicy {
    fn default() -> Self {
        Self {
            first_spread: Duration::from_secs(1),
            base: Duration::from_millis(500),
            cap: Duration::from_secs(30),
            slow_after: Duration::from_secs(300),
            slow_min: Duration::from_secs(30),
            slow_max: Duration::from_secs(300),
            stable_after: Duration::from_secs(10),
            advice_limit: Duration::from_secs(3600),
            wake_spacing: Duration::from_secs(1),
            attempt_max: Duration::from_secs(10),
            attempt_min: Duration::from_secs(4),
        }
    }
}

impl ReconnectPolicy {
    /// Returns the longest time before a retry: `n_retries` came before it, and the outage has
    /// lasted for `outage`.
    #[must_use]
    pub fn longest_delay(&self, n_retries: u32, outage: Duration) -> Duration {
        if outage >= self.slow_after {
            return self.slow_max.max(self.slow_min);
        }
        match n_retries {
            0 => self.first_spread,
            n => self.base.saturating_mul(1_u32.checked_shl(n).unwrap_or(u32::MAX)).min(self.cap),
        }
    }

    /// Draws the time before a retry.
    pub(super) fn delay(&self, n: u32, outage: Duration, random: &mut dyn Random) -> Duration {
        let longest = self.longest_delay(n, outage);
        if outage >= self.slow_after {
            self.slow_min + uniform(longest.saturating_sub(self.slow_min), random)
        } else {
            uniform(longest, random)
        }
    }

    /// Draws the time before a retry that the server advised. It is bounded.
    pub(super) fn advised(
        &self,
        after: Duration,
        spread: Duration,
        random: &mut dyn Random,
    ) -> Duration {
        let spread = uniform(spread.min(self.advice_limit), random);
        after.min(self.advice_limit).saturating_add(spread)
    }
}

/// Draws a time from nothing up to, and without, `longest`.
fn uniform(longest: Duration, random: &mut dyn Random) -> Duration {
    let mut bytes = [0; 8];
    random.fill(&mut bytes);
    let longest = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
    let nanos = (u128::from(longest) * u128::from(u64::from_le_bytes(bytes))) >> 64;
    Duration::from_nanos(u64::try_from(nanos).expect("a product's upper half is below a factor"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn highest(bytes: &mut [u8]) {
        bytes.fill(0xFF);
    }

    fn lowest(bytes: &mut [u8]) {
        bytes.fill(0);
    }

    #[test]
    fn delays_double_from_half_a_second_to_half_a_minute() {
        let policy = ReconnectPolicy::default();
        let longest = |n| policy.longest_delay(n, NOW).as_millis();
        let expected = [1000, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000];
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(longest), expected);
        assert_eq!([31, 32, 33, u32::MAX].map(longest), [30_000; 4]);
    }

    #[test]
    fn a_delay_is_drawn_from_nothing_up_to_the_longest() {
        let policy = ReconnectPolicy::default();
        assert_eq!(policy.delay(3, NOW, &mut lowest), Duration::ZERO);
        let high = policy.delay(3, NOW, &mut highest);
        assert!(high < Duration::from_secs(4) && high > Duration::from_millis(3_999), "{high:?}");
    }

    #[test]
    fn after_five_minutes_attempts_become_rare() {
        let policy = ReconnectPolicy::default();
        let outage = Duration::from_secs(300);
        assert_eq!(policy.delay(2, outage, &mut lowest), Duration::from_secs(30));
        let high = policy.delay(2, outage, &mut highest);
        assert!(high < Duration::from_secs(300) && high > Duration::from_secs(299), "{high:?}");
    }

    #[test]
    fn advice_is_bounded() {
        let policy = ReconnectPolicy::default();
        let hour = Duration::from_secs(3600);
        let advised = |after, spread| policy.advised(after, spread, &mut lowest);
        assert_eq!(advised(Duration::MAX, Duration::MAX), hour);
        assert_eq!(advised(Duration::from_secs(7), NOW), Duration::from_secs(7));
        let far = policy.advised(Duration::MAX, Duration::MAX, &mut highest);
        assert!(far < hour * 2, "{far:?}");
    }

    #[test]
    fn bounds_the_wrong_way_round_are_no_trouble() {
        let policy = ReconnectPolicy { slow_max: Duration::ZERO, ..ReconnectPolicy::default() };
        let outage = Duration::from_secs(400);
        assert_eq!(policy.delay(2, outage, &mut highest), Duration::from_secs(30));
    }
}
