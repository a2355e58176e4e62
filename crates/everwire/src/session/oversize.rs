//! Connections that ended for a message's size.

use everwire_proto::{Cause, CloseCode, Closure};
use everwire_session::Oversize;

/// Returns whose message was refused, if that is why a connection ended.
pub(super) fn oversize(closure: &Closure) -> Option<Oversize> {
    match closure.cause {
        Cause::MessageTooBig { size, .. } | Cause::FrameTooBig { size, .. } => {
            Some(Oversize::Theirs(size))
        }
        Cause::TooManyFragments { limit } => Some(Oversize::Fragments(limit)),
        _ => {
            let close = closure.received.as_ref()?;
            (close.code == CloseCode::MESSAGE_TOO_BIG).then_some(Oversize::Ours)
        }
    }
}
