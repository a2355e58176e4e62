//! What waits for `recv`.

use std::{collections::VecDeque, task::Waker};

use everwire_proto::{Cause, CloseFrame};

use crate::websocket::Received;

/// Why a connection ends, and the peer's Close.
pub(crate) type Decided = Box<(Cause, Option<CloseFrame>)>;

/// Messages that were received and not yet taken. Only the pull face has one.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pub(crate) queue: VecDeque<Received>,
    pub(crate) bytes: usize,
    /// Who waits for the next.
    pub(crate) receiver: Option<Waker>,
    /// Nobody will ever call `recv`.
    pub(crate) receiver_gone: bool,
    /// The driver stopped reading because it is full.
    pub(crate) was_full: bool,
    /// Why nothing more comes; taken once.
    pub(crate) decided: Option<Decided>,
}
