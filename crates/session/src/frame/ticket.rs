//! What says who a client is, and other secrets.

use std::fmt;

use bytes::Bytes;

/// A ticket, as the application defines it, or a token. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket(pub Bytes);

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({} bytes)", self.0.len())
    }
}
