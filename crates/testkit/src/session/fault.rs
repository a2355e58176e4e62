//! What two applications can see go wrong.

use std::fmt;

/// What two applications can see go wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A message was heard that had been heard before, or was told to be missing.
    Doubled {
        /// Its number.
        number: u64,
        /// What should have been heard.
        expected: u64,
    },
    /// Messages were passed over, and nobody was told.
    Lost {
        /// The number of the first.
        from: u64,
        /// The number of the last.
        to: u64,
    },
    /// A client was told that another has its session; there is no other.
    LockedOut,
    /// The session ended, and nobody had ended it.
    Ended(String),
    /// Nothing was heard any more.
    Stuck(String),
    /// Anything else.
    Other(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Doubled { number, expected } => {
                write!(f, "message {number} was heard again instead of {expected}")
            }
            Self::Lost { from, to } => write!(f, "messages {from} to {to} were lost in silence"),
            Self::LockedOut => f.write_str("the client was told that another has its session"),
            Self::Ended(how) => write!(f, "the session ended: {how}"),
            Self::Stuck(how) => write!(f, "nothing is heard any more: {how}"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

impl From<Fault> for String {
    fn from(fault: Fault) -> Self {
        fault.to_string()
    }
}

impl From<String> for Fault {
    fn from(what: String) -> Self {
        Self::Other(what)
    }
}
