//! `everwire serve`, as its users see it: the real program, talked to over real sockets.

mod admin;
mod chat;
mod cut;
mod deflate;
mod http;
mod limits;
mod listen;
mod notify;
mod process;
mod session;
mod shutdown;
mod start;
mod tls;
mod visitor;
mod websocket;

use std::time::Duration;

/// No wait in these tests is longer.
const DEADLINE: Duration = Duration::from_secs(20);
