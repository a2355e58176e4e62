//! `/sessions`: which sessions live, with a connection or without.

use everwire::session::{SessionSender, Sessions};
use http::StatusCode;
use serde::Serialize;

use crate::serve::reply::{Reply, json};

/// A session as the API shows it.
#[derive(Debug, Serialize)]
struct Shown {
    /// Its name in hexadecimal, which is not secret.
    id: String,
    path: &'static str,
    /// Who it belongs to, if that is known.
    principal: Option<String>,
    state: &'static str,
    /// How many connections it has had.
    connections: u64,
    /// The round-trip time in milliseconds between the two ends.
    rtt_ms: Option<f64>,
    /// What is kept until the client has it.
    kept_bytes: usize,
    kept_messages: usize,
}

impl Shown {
    fn new(path: &'static str, session: &SessionSender) -> Self {
        let (kept_bytes, kept_messages) = session.buffered();
        Self {
            id: data_encoding::HEXLOWER.encode(session.id().as_bytes()),
            path,
            principal: session.principal().name().map(str::to_owned),
            state: if session.is_attached() { "attached" } else { "detached" },
            connections: session.epoch(),
            rtt_ms: session.rtt().map(|rtt| rtt.as_micros() as f64 / 1000.0),
            kept_bytes,
            kept_messages,
        }
    }
}

/// Lists all sessions.
pub(super) fn list(sessions: &[(&'static str, Sessions)]) -> Reply {
    let shown: Vec<Shown> = sessions
        .iter()
        .flat_map(|(path, sessions)| {
            sessions.all().into_iter().map(|session| Shown::new(path, &session))
        })
        .collect();
    json(StatusCode::OK, &shown)
}
