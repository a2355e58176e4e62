//! The reconnecting client over real sockets. The policy itself is tested in virtual time.

#[path = "../common/mod.rs"]
mod common;

mod answers;
mod controls;
mod endings;
mod hooks;
mod messages;
mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use common::{Notes, soon, until};
use everwire::{
    Cause, Client, CloseCode, Reject, Server, WebSocket,
    dial::ProxyConfig,
    reconnect::{AttemptError, NotSent, ReconnectingClient, Retry, Sent, State, Stop, WhileDown},
};
use futures_util::FutureExt;
use support::*;
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc},
};
