//! `/connections`: what is connected, and how to end it.

use std::{
    net::IpAddr,
    time::{Instant, SystemTime},
};

use everwire::{CloseCode, ConnectionId, ConnectionInfo, DeflateParams, Registry};
use http::StatusCode;
use serde::Serialize;

use crate::serve::reply::{Reply, json};

/// A connection as the API shows it.
#[derive(Debug, Serialize)]
struct Shown {
    id: u64,
    path: String,
    /// The address that the socket is connected to, or `unix`.
    remote: String,
    client_ip: Option<IpAddr>,
    since: String,
    last_received: String,
    bytes_received: u64,
    bytes_sent: u64,
    messages_received: u64,
    messages_sent: u64,
    /// The round-trip time in milliseconds, once a ping was answered.
    rtt_ms: Option<f64>,
    /// What waits to be sent.
    queued_bytes: usize,
    state: &'static str,
    subprotocol: Option<String>,
    /// What was agreed upon about compression.
    deflate: Option<Deflate>,
}

/// The parameters of RFC 7692 §7.1, seen from the server.
#[derive(Debug, Serialize)]
struct Deflate {
    server_max_window_bits: u8,
    server_no_context_takeover: bool,
    client_max_window_bits: u8,
    client_no_context_takeover: bool,
}

impl From<DeflateParams> for Deflate {
    fn from(params: DeflateParams) -> Self {
        Self {
            server_max_window_bits: params.send_window_bits,
            server_no_context_takeover: !params.send_takeover,
            client_max_window_bits: params.recv_window_bits,
            client_no_context_takeover: !params.recv_takeover,
        }
    }
}

impl From<ConnectionInfo> for Shown {
    fn from(info: ConnectionInfo) -> Self {
        Self {
            id: info.id.into(),
            path: info.path.to_string(),
            remote: info.remote_addr.map_or_else(|| "unix".into(), |addr| addr.to_string()),
            client_ip: info.client_ip,
            since: rfc3339(info.since),
            last_received: rfc3339(info.last_received),
            bytes_received: info.counters.bytes_received,
            bytes_sent: info.counters.bytes_sent,
            messages_received: info.counters.messages_received,
            messages_sent: info.counters.messages_sent,
            rtt_ms: info.rtt.map(|rtt| rtt.as_micros() as f64 / 1000.0),
            queued_bytes: info.queued_bytes,
            state: if info.is_closing { "closing" } else { "open" },
            subprotocol: info.subprotocol,
            deflate: info.deflate.map(Deflate::from),
        }
    }
}

/// Lists all connections.
pub(super) fn list(registry: &Registry) -> Reply {
    let shown: Vec<Shown> = registry.list().into_iter().map(Shown::from).collect();
    json(StatusCode::OK, &shown)
}

/// Shows one connection.
pub(super) fn get(registry: &Registry, id: &str) -> Reply {
    let info = id.parse::<u64>().ok().and_then(|id| registry.info(id.into()));
    match info {
        Some(info) => json(StatusCode::OK, &Shown::from(info)),
        None => unknown(id),
    }
}

/// Ends one connection with the code and reason of the query.
pub(super) fn close(registry: &Registry, id: &str, query: &str) -> Reply {
    let (code, reason) = match parse_query(query) {
        Ok(parsed) => parsed,
        Err(problem) => return failed(StatusCode::BAD_REQUEST, problem),
    };
    let Ok(number) = id.parse::<u64>() else { return unknown(id) };
    if registry.info(number.into()).is_some_and(|info| info.is_closing) {
        // What was asked for is not what the peer is told.
        return failed(StatusCode::CONFLICT, format!("connection {number} is closing already"));
    }
    match registry.close(ConnectionId::from(number), code, &reason) {
        Ok(true) => json(
            StatusCode::ACCEPTED,
            &serde_json::json!({
                "id": number, "state": "closing", "code": u16::from(code), "reason": reason,
            }),
        ),
        Ok(false) => unknown(id),
        Err(error) => failed(StatusCode::BAD_REQUEST, error.to_string()),
    }
}

/// Reads `code` and `reason`; what is missing is a normal closure without a reason.
fn parse_query(query: &str) -> Result<(CloseCode, String), String> {
    let (mut code, mut reason) = (CloseCode::NORMAL_CLOSURE, String::new());
    let mut seen = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if seen.contains(&name) {
            return Err(format!("parameter {name:?} is there twice"));
        }
        match &*name {
            "code" if value.is_empty() => {}
            "code" => {
                let sendable = value.parse().ok().and_then(CloseCode::new);
                code = sendable.filter(|code| code.is_sendable()).ok_or_else(|| {
                    format!(
                        "code {value:?} cannot be sent: expected 1000 to 1003, 1007 to 1014, or \
                         3000 to 4999"
                    )
                })?;
            }
            "reason" if value.len() > 123 => {
                return Err(format!("reason has {} bytes, more than 123", value.len()));
            }
            "reason" => reason = value.into_owned(),
            _ => return Err(format!("unknown parameter {name:?}: expected code or reason")),
        }
        seen.push(name);
    }
    Ok((code, reason))
}

fn unknown(id: &str) -> Reply {
    failed(StatusCode::NOT_FOUND, format!("there is no connection {id:?}"))
}

fn failed(status: StatusCode, error: String) -> Reply {
    json(status, &serde_json::json!({ "error": error }))
}

fn rfc3339(instant: Instant) -> String {
    let time = SystemTime::now() - instant.elapsed();
    humantime::format_rfc3339_millis(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_a_code_and_a_reason() {
        let code = |code| CloseCode::new(code).unwrap();
        assert_eq!(parse_query(""), Ok((code(1000), String::new())));
        assert_eq!(parse_query("code=&reason="), Ok((code(1000), String::new())));
        assert_eq!(
            parse_query("code=4000&reason=so%20long%2C+gr%C3%B6%C3%9Fe"),
            Ok((code(4000), "so long, größe".into()))
        );
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let long = format!("reason={}", "x".repeat(124));
        for query in [
            "code=1004",
            "code=1005",
            "code=1006",
            "code=999",
            "code=5000",
            "code=x",
            "cod=1",
            &long,
        ] {
            assert!(parse_query(query).is_err(), "{query}");
        }
    }
}
