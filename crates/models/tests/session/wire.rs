//! Sockets, which deliver in order, late, or not at all.

/// A frame of `everwire.v1`, with what a model needs to see: a message shows which it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Frame {
    Hello {
        attempt: u8,
        token: u8,
        recv: u8,
        next: u8,
        lo: u8,
    },
    Welcome(Answer),
    Data {
        incarnation: u8,
        number: u8,
    },
    Gap {
        from: u8,
        to: u8,
    },
    Ack {
        recv: u8,
        sent: u8,
    },
    Bye {
        recv: u8,
        sent: u8,
    },
    ByeReply {
        recv: u8,
    },
    /// The Close with 4509.
    Superseded,
}

/// What WELCOME says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    Resumed { epoch: u8, recv: u8, sent: u8, token: u8 },
    Lost { token: u8, incarnation: u8 },
    Ended,
    Stale,
}

/// A socket, named by the attempt for which it was opened. A client that has fenced one forgets it;
/// a server may go on believing in one that is dead.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Socket {
    pub(crate) name: u8,
    pub(crate) up: Vec<Frame>,
    pub(crate) down: Vec<Frame>,
    pub(crate) up_works: bool,
    pub(crate) down_works: bool,
}

impl Socket {
    pub(crate) const fn new(name: u8) -> Self {
        Self { name, up: Vec::new(), down: Vec::new(), up_works: true, down_works: true }
    }
}
