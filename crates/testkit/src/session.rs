//! Sessions over `everwire.v1` without a WebSocket.

mod host;

pub use self::host::Host;
