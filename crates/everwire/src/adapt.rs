//! Connections on streams that somebody else opened: an HTTP stack, a tunnel, a test.

mod attach;
mod http_upgrade;

pub use self::{attach::Attach, http_upgrade::HttpUpgrade};
