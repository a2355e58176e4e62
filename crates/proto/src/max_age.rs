//! The age at which a connection is renewed.

use std::time::Duration;

use crate::{Advice, Cause, CloseFrame};

/// How old a connection may become, and how it is told.
///
/// Some limits on a path are on the whole life of a connection, which no Ping prolongs, and
/// connections that never end cannot be spread anew over the servers. So a connection is closed
/// before, with [`Cause::MaxAge`](crate::Cause::MaxAge), and the peer told to come back.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use everwire_proto::{Config, MaxAge};
///
/// let mut config = Config::default();
/// config.max_age = Some(MaxAge::new(Duration::from_secs(3600)));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MaxAge {
    /// The age in the middle.
    pub age: Duration,
    /// The age is moved by at most so much either way, so that connections that were opened
    /// together do not end together. Default: a tenth of `age`.
    pub spread: Duration,
    /// The Close that is sent. Default: 1001 with the advice to come back within 5 s, each at a
    /// moment of its own ([`Advice`]): however the ages are spread, some of a large fleet end in
    /// the same moment.
    pub notice: CloseFrame,
}

impl MaxAge {
    /// RFC 6455 §7.2.3: "A delay chosen randomly between 0 and 5 seconds is a reasonable initial
    /// delay".
    pub(crate) const ADVICE: Advice = Advice::new(Duration::ZERO, Duration::from_secs(5));

    /// Returns a maximum age of `age` ± 10 %.
    #[must_use]
    pub fn new(age: Duration) -> Self {
        let notice = Cause::MaxAge.close_frame().expect("this cause has a Close");
        Self { age, spread: age / 10, notice }
    }

    /// Returns the age of a connection with this seed; 0 moves nothing.
    pub(crate) fn of(&self, seed: u8) -> Duration {
        let offset = self.spread.mul_f64(f64::from((seed as i8).unsigned_abs()) / 128.0);
        match (seed as i8) < 0 {
            true => self.age.saturating_sub(offset),
            false => self.age.saturating_add(offset),
        }
    }
}
