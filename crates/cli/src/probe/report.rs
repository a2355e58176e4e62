//! What was found, as `--json` prints it. docs/probe.md describes it; fields are added, never
//! changed.

use std::time::Duration;

use serde::Serialize;

use super::{
    closing::Closing, fault::Fault, idle::Idle, message::Largest, ping::Pings, upgrade::Upgrade,
};

/// The name of this form of report.
const SCHEMA: &str = "everwire-probe/1";

/// Everything that was found. What was not examined is absent (`null`).
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) schema: &'static str,
    pub(super) url: String,
    pub(super) verdict: Verdict,
    pub(super) took_ms: f64,
    /// In the order in which they were found.
    pub(super) faults: Vec<Fault>,
    /// What was not examined, and why.
    pub(super) notes: Vec<Note>,
    pub(super) dns: Option<Dns>,
    pub(super) tcp: Option<Tcp>,
    pub(super) tls: Option<Tls>,
    pub(super) upgrade: Option<Upgrade>,
    pub(super) extensions: Option<Extensions>,
    pub(super) ping: Option<Pings>,
    pub(super) message: Option<Largest>,
    pub(super) close: Option<Closing>,
    pub(super) idle: Option<Idle>,
}

impl Report {
    pub(super) fn new(url: String) -> Self {
        Self {
            schema: SCHEMA,
            url,
            verdict: Verdict::Ok,
            took_ms: 0.0,
            faults: Vec::new(),
            notes: Vec::new(),
            dns: None,
            tcp: None,
            tls: None,
            upgrade: None,
            extensions: None,
            ping: None,
            message: None,
            close: None,
            idle: None,
        }
    }

    pub(super) fn note(&mut self, check: &'static str, text: impl Into<String>) {
        self.notes.push(Note { check, text: text.into() });
    }
}

/// How it turned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// Nothing is wrong.
    Ok,
    /// There is a connection, and something is wrong.
    Wrong,
    /// There is no connection.
    NoConnection,
}

impl Verdict {
    /// Returns the exit status.
    pub(super) fn status(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Wrong => 1,
            Self::NoConnection => 3,
        }
    }
}

/// Something that is no fault and should be known.
#[derive(Debug, Serialize)]
pub(super) struct Note {
    pub(super) check: &'static str,
    pub(super) text: String,
}

/// The name and what became of it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Dns {
    pub(super) host: String,
    pub(super) addresses: Vec<String>,
    pub(super) took_ms: f64,
}

/// The connection of TCP; through a proxy it is the proxy's.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Tcp {
    /// Absent when what followed failed and there was a choice.
    pub(super) address: Option<String>,
    /// The proxy that was gone through, without its credentials.
    pub(super) proxy: Option<String>,
    pub(super) took_ms: f64,
}

/// What TLS agreed upon.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Tls {
    pub(super) version: Option<String>,
    pub(super) cipher: Option<String>,
    pub(super) alpn: Option<String>,
    /// Whether the certificate was found good; not so with `-k`.
    pub(super) verified: bool,
    pub(super) certificate: Option<Certificate>,
    pub(super) took_ms: f64,
}

/// The server's certificate.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Certificate {
    pub(super) not_before: String,
    pub(super) not_after: String,
    pub(super) days_left: i64,
    #[serde(skip)]
    pub(super) ends_soon: bool,
}

/// Which extensions the server takes of those that are offered.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Extensions {
    pub(super) offered: Vec<String>,
    pub(super) accepted: Vec<String>,
}

/// Returns milliseconds, to the microsecond.
pub(super) fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}
