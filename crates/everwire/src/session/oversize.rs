//! Connections that end for a message's size.

use everwire_proto::{Cause, CloseCode, CloseFrame};
use everwire_session::Oversize;

/// Returns whose message was refused, if that is why a connection ends, given the peer's Close.
pub(super) fn oversize(cause: &Cause, received: Option<&CloseFrame>) -> Option<Oversize> {
    match cause {
        Cause::MessageTooBig { size, .. } | Cause::FrameTooBig { size, .. } => {
            Some(Oversize::Theirs(*size))
        }
        Cause::TooManyFragments { limit } => Some(Oversize::Fragments(*limit)),
        _ => (received?.code == CloseCode::MESSAGE_TOO_BIG).then_some(Oversize::Ours),
    }
}
