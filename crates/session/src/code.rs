//! Codes of BYE, ENDED and of the sockets' Close frames (protocol §11).

use std::fmt;

/// Why a session or a socket ends: a number of 1000, or 3000 to 4999.
///
/// 4000 to 4499 say that it makes sense to come back, 4500 to 4999 that it does not.
///
/// # Examples
///
/// ```
/// use everwire_session::Code;
///
/// let mine = Code::new(4600).expect("3000 to 4999 can be said");
/// assert!(!mine.may_come_back() && Code::BUSY.may_come_back());
/// assert_eq!(Code::new(1001), None); // It says why a connection closes, which ends no session.
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(u16);

impl Code {
    /// All is said.
    pub const NORMAL: Self = Self(1000);
    /// Come back later.
    pub const BUSY: Self = Self(4400);
    /// Come back elsewhere.
    pub const MOVED: Self = Self(4402);
    /// Nothing came in time.
    pub const TIMEOUT: Self = Self(4408);
    /// The ends count differently.
    pub const COUNTERS: Self = Self(4410);
    /// A message was begun without credit.
    pub const WINDOW: Self = Self(4411);
    /// The peer does not keep up.
    pub const SLOW_CONSUMER: Self = Self(4413);
    /// Too many attaches or frames that say nothing.
    pub const RATE: Self = Self(4429);
    /// A frame breaks the layout, or must not come.
    pub const MALFORMED: Self = Self(4500);
    /// The ticket is missing, expired or refused.
    pub const UNAUTHENTICATED: Self = Self(4501);
    /// A message is larger than agreed.
    pub const TOO_BIG: Self = Self(4502);
    /// Thrown out by the server.
    pub const ENDED: Self = Self(4503);
    /// A ticket of another principal.
    pub const FORBIDDEN: Self = Self(4504);
    /// The version is unknown.
    pub const VERSION: Self = Self(4505);
    /// Somebody else has the session.
    pub const SUPERSEDED: Self = Self(4509);

    /// Returns the code of this number, if a BYE may have it: 1000, or 3000 to 4999.
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        match number {
            1000 | 3000..=4999 => Some(Self(number as u16)),
            _ => None,
        }
    }

    /// Returns the number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Returns whether a client may begin a new session of its own accord after an end with this
    /// code.
    #[must_use]
    pub const fn may_come_back(self) -> bool {
        matches!(self.0, 3000..=4499)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
